"""Codes of observations, and what decodes from codes: where a walk through latent space begins and what it shows.

A code is the latents' flat, unconstrained vector (:class:`ppl_vae.programs.latents.Latents`), ``(..., D)``; for the
models here that is z itself. So a walk works on any model, whatever its sites and their supports.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.predictive.draws import decode, draw_at
from ppl_vae.predictive.posteriors import posterior_moments, posterior_samples
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.seeding import seeded

Path = Literal["linear", "spherical"]
CodeKind = Literal["means", "samples"]
Steps = Annotated[int, Field(ge=2, le=1000)]
"""Codes on a way, both ends included."""
Span = Annotated[float, Field(gt=0, le=1e3)]
"""How far a way goes to either side of 0."""

_BATCH_SIZE = 512  # datapoints of one call of the guide, codes of one call of the decoder


def codes_of(
    model: nn.Module, guide: nn.Module, data: Dataset, rows: Tensor | None = None, kind: CodeKind = "means"
) -> Tensor:
    """Where q puts each datapoint.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, not dynamic.
        rows: which of them, ``(N,)``; all if None.
        kind: ``means`` of q(z | x), or ``samples``, one draw each, from torch's own generator.

    Returns:
        ``(N, D)``.
    """
    latents = Latents.of(model, data.probe())
    parts = []
    rows = torch.arange(len(data), device=data.device) if rows is None else rows
    for batch in map(data.batch, rows.split(_BATCH_SIZE)):
        if kind == "means":
            values = {name: moments.mean for name, moments in posterior_moments(guide, batch).items()}
        else:
            values = {name: draws[0] for name, draws in posterior_samples(guide, batch, 1).items()}
        parts.append(latents.flattened(values))
    return torch.cat(parts)


def decode_codes(
    model: nn.Module,
    latents: Latents,
    codes: Tensor,
    event_shape: tuple[int, ...],
    y: Tensor | None = None,
    c: Tensor | None = None,
) -> Tensor:
    """E[x | z] at codes, or E[x | z, y, c].

    Args:
        model: p(x, z).
        latents: of the model.
        codes: ``(..., D)``.
        event_shape: shape of one observation.
        y: labels, ``(...)``, for a conditional model.
        c: conditions of all, ``(C,)``, likewise.

    Returns:
        means ``(..., *event)``.
    """
    flat = codes.flatten(0, -2)
    labels = None if y is None else y.flatten()
    parts = []
    for index in torch.arange(len(flat), device=flat.device).split(_BATCH_SIZE):
        values, _ = latents.mapped(flat[index])
        parts.append(decode(model, values, event_shape, None if labels is None else labels[index], c))
    means: Tensor = torch.cat(parts).unflatten(0, codes.shape[:-1])
    return means


def draws_along(
    model: nn.Module,
    latents: Latents,
    codes: Tensor,
    event_shape: tuple[int, ...],
    seed: int,
    c: Tensor | None = None,
) -> Tensor:
    """x ~ p(x | z) at codes, with the same noise at every step of a way: what changes along it is z's doing.

    Args:
        model: p(x, z).
        latents: of the model.
        codes: ``(W, S, D)``, W ways of S steps.
        event_shape: shape of one observation.
        seed: of the noise; the caller's generators are left alone.
        c: conditions of all, ``(C,)``, for a conditional model.

    Returns:
        ``(W, S, *event)``.
    """
    steps = []
    for step in codes.unbind(1):
        values, _ = latents.mapped(step)
        with seeded(seed, codes.device):
            steps.append(draw_at(model, values, event_shape, c=c).x)
    return torch.stack(steps, dim=1)


def prior_quantiles(num_steps: int) -> Tensor:
    """Points of equal mass under N(0, 1): Φ⁻¹((i + ½) / num_steps), ``(num_steps,)`` (Kingma and Welling 2014)."""
    quantiles: Tensor = torch.special.ndtri((torch.arange(num_steps) + 0.5) / num_steps)
    return quantiles
