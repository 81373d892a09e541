"""The gradients of a step's loss, with all that it reads as arguments, so that it can be traced."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.networks.precision import computing_in
from ppl_vae.programs.rows import collect_leaves
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.eager import EagerStep
from ppl_vae.tracing.capture import standing_in


class Gradients(NamedTuple):
    """What differentiating a batch finds.

    Args:
        terms: bound, reconstruction and KL of each datapoint, ``(3, batch)``.
        shared: of each parameter that is no table; None where the loss does not depend on it.
        rows: for each table the rows that were read, ``(batch,)``, and their gradients, ``(batch, width)``.
    """

    terms: Tensor
    shared: list[Tensor | None]
    rows: list[list[tuple[Tensor, Tensor | None]]]


def differentiate(
    eager: EagerStep | DistributedStep,
    params: Sequence[Tensor],
    tables: Sequence[Tensor],
    data: Sequence[Tensor],
    kl_weight: Tensor,
    index: Tensor,
    factor: float = 1.0,
) -> Gradients:
    """Differentiate a step's loss.

    Args:
        eager: the step.
        params: in place of its parameters.
        tables: in place of its tables' weights.
        data: in place of its data's tensors.
        kl_weight: β, the factor of the KL in the loss.
        index: rows of the data.
        factor: of the whole loss.
    """
    shared, own_tables = eager.optimizer.shared, eager.optimizer.tables
    leaves = [param.detach().requires_grad_(own.requires_grad) for param, own in zip(params, shared, strict=True)]
    stand_ins = {id(own): leaf for own, leaf in zip(shared, leaves, strict=True)}
    stand_ins |= {id(own.weight): new.detach().requires_grad_() for own, new in zip(own_tables, tables, strict=True)}
    with standing_in((eager.model, eager.guide), stand_ins), collect_leaves(own_tables) as read:
        batch = eager.data.replace(**dict(zip(eager.data.tensors, data, strict=True))).batch(index)
        with computing_in(eager.precision):
            terms = eager.objective.terms(eager.model, eager.guide, batch, kl_weight)
    handed_out = [leaf.values for leaves_of in read for leaf in leaves_of]
    moved = [leaf for leaf in (*leaves, *handed_out) if leaf.requires_grad]
    loss = terms.loss if factor == 1.0 else terms.loss * factor
    found = iter(torch.autograd.grad(loss, moved, allow_unused=True))
    gradients = [next(found) if leaf.requires_grad else None for leaf in (*leaves, *handed_out)]
    of_rows = iter(gradients[len(leaves) :])
    return Gradients(
        torch.stack([terms.bound, terms.reconstruction, terms.kl]),
        gradients[: len(leaves)],
        [[(leaf.rows, next(of_rows)) for leaf in leaves_of] for leaves_of in read],
    )
