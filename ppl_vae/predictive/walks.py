"""Ways through latent space: codes of observations, and the points that one visits from them.

A code is the latents' flat, unconstrained vector (:class:`ppl_vae.programs.latents.Latents`), ``(..., D)``; for the
models here that is z itself. So a walk works on any model, whatever its sites and their supports.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.predictive.draws import decode, draw_at, posterior_moments, posterior_samples
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.seeding import seeded

Path = Literal["linear", "spherical"]
CodeKind = Literal["means", "samples"]

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
    rows = torch.arange(len(data), device=data.x.device) if rows is None else rows
    for batch in map(data.batch, rows.split(_BATCH_SIZE)):
        if kind == "means":
            values = {name: moments.mean for name, moments in posterior_moments(guide, batch).items()}
        else:
            values = {name: draws[0] for name, draws in posterior_samples(guide, batch, 1).items()}
        parts.append(latents.flattened(values))
    return torch.cat(parts)


def decode_codes(
    model: nn.Module, latents: Latents, codes: Tensor, event_shape: tuple[int, ...], y: Tensor | None = None
) -> Tensor:
    """E[x | z] at codes, or E[x | z, y].

    Args:
        model: p(x, z).
        latents: of the model.
        codes: ``(..., D)``.
        event_shape: shape of one observation.
        y: labels, ``(...)``, for a conditional model.

    Returns:
        means ``(..., *event)``.
    """
    flat = codes.flatten(0, -2)
    labels = None if y is None else y.flatten()
    parts = []
    for index in torch.arange(len(flat), device=flat.device).split(_BATCH_SIZE):
        values, _ = latents.mapped(flat[index])
        parts.append(decode(model, values, event_shape, None if labels is None else labels[index]))
    means: Tensor = torch.cat(parts).unflatten(0, codes.shape[:-1])
    return means


def draws_along(model: nn.Module, latents: Latents, codes: Tensor, event_shape: tuple[int, ...], seed: int) -> Tensor:
    """x ~ p(x | z) at codes, with the same noise at every step of a way: what changes along it is z's doing.

    Args:
        model: p(x, z).
        latents: of the model.
        codes: ``(W, S, D)``, W ways of S steps.
        event_shape: shape of one observation.
        seed: of the noise; the caller's generators are left alone.

    Returns:
        ``(W, S, *event)``.
    """
    steps = []
    for step in codes.unbind(1):
        values, _ = latents.mapped(step)
        with seeded(seed, codes.device):
            steps.append(draw_at(model, values, event_shape).x)
    return torch.stack(steps, dim=1)


def ways(points: Tensor, num_steps: int, path: Path = "linear") -> Tensor:
    """The way from each point to the next, both ends included.

    ``linear``: a + t (b − a). ``spherical``: sin((1 − t) θ) / sin θ a + sin(t θ) / sin θ b, θ the angle between a and
    b (Shoemake 1985; for latents White 2016). Draws of N(0, I) in many dimensions have nearly the same length √D; the
    linear way between two of them passes through shorter vectors, where the prior has hardly any mass, and the
    spherical one does not. Where θ is 0 or π, or an end is 0, there is no such circle, or no single one; then the way
    is linear.

    Args:
        points: ``(P, D)``, at least 2.
        num_steps: codes on each way, at least 2, t equally spaced from 0 to 1.
        path: which way.

    Returns:
        ``(P − 1, num_steps, D)``; it begins and ends at the points themselves.

    Raises:
        ValueError: fewer than 2 points or steps.
    """
    if len(points) < 2 or num_steps < 2:
        raise ValueError(f"a way needs 2 points and 2 steps or more, got {len(points)} and {num_steps}.")
    start, end = points[:-1, None], points[1:, None]  # (P − 1, 1, D)
    t = torch.linspace(0, 1, num_steps).to(points)[:, None]  # (num_steps, 1)
    way = start + t * (end - start)
    if path == "spherical":
        cosine = torch.nn.functional.cosine_similarity(start, end, dim=-1).clamp(-1, 1)[..., None]
        angle = cosine.acos()  # (P − 1, 1, 1)
        sine = angle.sin()
        arc = ((1 - t) * angle).sin() / sine * start + (t * angle).sin() / sine * end
        lengths = start.norm(dim=-1, keepdim=True) * end.norm(dim=-1, keepdim=True)
        way = torch.where((sine > 1e-4) & (lengths > 0), arc, way)
    way[:, :1], way[:, -1:] = start, end
    return way


def direction(start: Tensor, end: Tensor) -> Tensor:
    """The mean of one group's codes less the mean of another's: what must be added to go from the one to the other.

    Args:
        start: codes ``(n, D)``.
        end: codes ``(m, D)``.

    Returns:
        ``(D,)``.
    """
    return end.mean(0) - start.mean(0)


def shifted(codes: Tensor, along: Tensor, strengths: Tensor) -> Tensor:
    """Codes moved along a direction, by each of several multiples of it.

    Args:
        codes: ``(n, D)``.
        along: ``(D,)``.
        strengths: ``(S,)``; 0 is the code itself.

    Returns:
        ``(n, S, D)``.
    """
    return codes[:, None] + strengths[:, None] * along


def traversals(code: Tensor, units: Tensor, values: Tensor) -> Tensor:
    """One unit after the other set to each of several values, the others left as they are.

    Args:
        code: ``(D,)``.
        units: which, ``(U,)`` integers from 0.
        values: ``(S,)``.

    Returns:
        ``(U, S, D)``.
    """
    walks = code.expand(len(units), len(values), -1).clone()
    walks[torch.arange(len(units), device=code.device), :, units] = values.to(code)
    return walks


class Neighbours(NamedTuple):
    """The nearest codes to each of some queries, nearest first.

    Args:
        index: rows among the candidates, ``(M, k)``.
        distance: Euclidean, ``(M, k)``.
    """

    index: Tensor  # type: ignore[assignment]  # tuple.index, which nobody calls here
    distance: Tensor


def nearest(queries: Tensor, candidates: Tensor, count: int) -> Neighbours:
    """Nearest neighbours in latent space.

    Args:
        queries: codes ``(M, D)``.
        candidates: codes ``(N, D)``.
        count: k, at most N.

    Raises:
        ValueError: more neighbours than candidates.
    """
    if count > len(candidates):
        raise ValueError(f"there are {len(candidates)} candidates, so no {count} neighbours.")
    # Not through a matrix product, whose rounding would put a query at a distance from itself.
    distances = torch.cdist(queries, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = distances.topk(count, largest=False)
    return Neighbours(index, distance)


def prior_quantiles(num_steps: int) -> Tensor:
    """Points of equal mass under N(0, 1): Φ⁻¹((i + ½) / num_steps), ``(num_steps,)`` (Kingma and Welling 2014)."""
    quantiles: Tensor = torch.special.ndtri((torch.arange(num_steps) + 0.5) / num_steps)
    return quantiles
