"""What an objective may need of a pair, for its ``check``: samples with a gradient, and densities."""

from typing import Any, cast

from torch import nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import refuse_points
from ppl_vae.programs.pair import Traces, frozen, run_pair, unwrapped
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved


def require_pathwise(model: nn.Module, guide: nn.Module, batch: Batch) -> None:
    """See that whatever the guide draws is reparameterised: its gradient then comes through the draws themselves.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: a few datapoints; the programs and random generators are left as they were.

    Raises:
        UserError: a site that is not; the message names it.
    """
    with frozen(model, guide), preserved(batch.x.device):
        refuse_scores(run_pair(model, guide, batch, 2))


def refuse_scores(traces: Traces) -> None:
    """See that no site of these traces has draws without a gradient.

    Raises:
        UserError: one has; the message names it.
    """
    for name in traces.sampled():
        fn = cast(Any, traces.guide.nodes[name]["fn"])
        if not fn.has_rsample:
            raise UserError(
                f"site '{name}': {type(unwrapped(fn)).__name__} has no reparameterised sample, without which this "
                "objective has no gradient; take the objective 'elbo'."
            )


def require_density(guide: nn.Module, batch: Batch) -> None:
    """See that q has a density, without which its draws have no weights.

    Args:
        guide: q(z | x).
        batch: a few datapoints.

    Raises:
        UserError: the guide puts a point somewhere; the message names the site.
    """
    refuse_points(guide, batch, "take the objective 'elbo', or another family.")
