"""The guide with which a run meets unseen data: its own where that is a function of x, else one fitted to the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from ppl_vae.data import Dataset
from ppl_vae.guides import Family, PerDatapoint
from ppl_vae.inference.fitting import InferConfig, Inferred, infer
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import has_density
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.parts import factored
from ppl_vae.programs.rows import has_rows, tables_of
from ppl_vae.runtime.config import to_plain

# Shares from which on a warning is worth it: of fits that had not converged, of optima that one start alone has found.
_UNFINISHED, _ALONE = 0.05, 0.01


class Fitted(NamedTuple):
    """A guide with an answer to given datapoints.

    Args:
        guide: the trained one, or one fitted to the datapoints.
        fits: how its fits went; None where nothing was fitted.
    """

    guide: nn.Module
    fits: Inferred | None = None


class LocalFit(NamedTuple):
    """A guide fitted to given datapoints, and how the fits went."""

    guide: PerDatapoint
    fits: Inferred


def counts_of(fits: Inferred) -> dict[str, int | float]:
    """How fits went, ready for JSON: of so many datapoints how many converged, and how far their starts agree."""
    return {
        "num": len(fits.converged),
        "converged": int(fits.converged.sum()),
        "starts_disagree": int((fits.spread > 0).sum()),
        "largest_spread": float(fits.spread.max()),
        "found_by_one_start": int(fits.alone.sum()),
    }


def notes_on(fits: Inferred) -> list[str]:
    """What is to be known of fits whose starts did not all end alike, in words."""
    apart, alone, num = int((fits.spread > 0).sum()), int(fits.alone.sum()), len(fits.spread)
    if not apart:
        return []
    found = f"; on {alone} one start alone has found it" if alone else ""
    return [
        f"on {apart} of {num} datapoints the starts of the local fit end at different ELBOs, up to "
        f"{float(fits.spread.max()):.2f} nats apart; the best is kept{found}."
    ]


def doubts_about(fits: Inferred, settings: InferConfig) -> list[str]:
    """Signs that fits are no optima, in words, with what to do."""
    found, num = [], len(fits.converged)
    unfinished, alone = int((~fits.converged & ~fits.alone).sum()), int(fits.alone.sum())
    if unfinished > _UNFINISHED * num:
        advice = "or lower `infer_rate`" if settings.infer_rate >= InferConfig.infer_rate else "or `infer_rate`"
        found.append(f"{unfinished} of {num} local fits had not converged; raise `infer_steps` {advice}.")
    if alone > _ALONE * num:
        found.append(
            f"on {alone} of {num} datapoints one start alone has found the best local fit, so a better one may be "
            "missed; raise `infer_starts`."
        )
    return found


def told_of(fitted: Fitted, settings: InferConfig) -> dict[str, Any]:
    """How local inference went and by what settings, ready for JSON; nothing where there was none.

    Beside a protocol, not in it: it tells how the guide was come by, and guides are what a comparison compares.
    """
    return {} if fitted.fits is None else {"local_fits": counts_of(fitted.fits) | to_plain(settings)}


def lines_about(fitted: Fitted, settings: InferConfig) -> list[str]:
    """The same for readers: notes and warnings, a line each."""
    if fitted.fits is None:
        return []
    return [*notes_on(fitted.fits), *(f"warning: {doubt}" for doubt in doubts_about(fitted.fits, settings))]


def guide_for(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: InferConfig,
    advance: Callable[[int], object] | None = None,
) -> nn.Module:
    """The guide of :func:`fitted_for`, for those who do not ask how its fits went."""
    return fitted_for(model, guide, data, settings, advance).guide


def fitted_for(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: InferConfig,
    advance: Callable[[int], object] | None = None,
) -> Fitted:
    """A guide for these datapoints.

    Args:
        model: p(x, z), trained.
        guide: trained with it.
        data: not dynamic, on the device of the pair.
        settings: of local inference, where it is needed.
        advance: called with the number of datapoints done.

    Returns:
        the guide itself if it has an answer to this data: it takes any x, or was trained on these very rows; for any
        other per-datapoint guide one of the same family whose rows are fitted to this data, the model frozen.
    """
    parts = factored(guide)
    if parts is None or has_rows(guide, data.first, len(data)):
        return Fitted(guide)
    return Fitted(*fit_locally(model, parts.family, parts.latents, data, settings, advance=advance))


def is_point(guide: nn.Module, data: Dataset) -> bool:
    """Whether a guide puts its latents at points, also one that has rows for other datapoints than these.

    Args:
        guide: q(z | x).
        data: whose x and y it is tried on.
    """
    probe = data.head(2).fixed(0).probe()
    for table in tables_of(guide) if not has_rows(guide, data.first, len(data)) else ():
        probe = probe._replace(
            index=table.first + torch.arange(len(probe.x), device=probe.x.device) % len(table.weight)
        )
    return not has_density(guide, probe)


def fit_locally(
    model: nn.Module,
    family: Family,
    latents: Latents,
    data: Dataset,
    settings: InferConfig,
    init: Callable[[Batch], torch.Tensor] | None = None,
    advance: Callable[[int], object] | None = None,
    guide: nn.Module | None = None,
) -> LocalFit:
    """A per-datapoint guide with rows fitted to this data, the model and what the family has learned frozen.

    Args:
        model: p(x, z), trained.
        family: what q is.
        latents: of the model.
        data: not dynamic, on the device of the model.
        settings: of the fits.
        init: the first of their starts, for instance a trained guide's ``params``.
        advance: called with the number of datapoints done.
        guide: without ``init``, a q(z | x) with an answer to this data, whose means the first start is at.
    """
    family = family.to(data.device, data.dtype)  # a fresh one is in torch's default precision, on the CPU
    fits = infer(model, family, data, latents, init, settings, advance, guide)
    local = PerDatapoint(latents, family, len(data), data.first).to(data.device, data.dtype)
    with torch.no_grad():
        local.table.weight.copy_(fits.params)
    return LocalFit(local, fits)
