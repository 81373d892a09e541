"""A pair and what it makes of data as ArviZ takes it: an ``xarray.DataTree`` of draws, data and log-likelihood.

Which log-likelihood. The parameters are learned and fixed; what a datapoint has of its own is its z, and given the
parameters the datapoints are independent. What leaving datapoint i out predicts of it is therefore

    p(x_i | the others) = p(x_i) = ∫ p(x_i | z) p(z) dz,

in which z is integrated out. The density of x_i at draws of its own posterior, log p(x_i | z), is another quantity:
leave-one-out by it asks for the harmonic mean of p(x_i | z), whose variance is infinite as a rule (Millar 2018; Merkle,
Furr and Rabe-Hesketh 2019), and by draws of a guide, which are not the posterior's, it has not even that limit. So what
stands under ``log_likelihood`` is log p(x_i), by importance weights of K draws of the guide, anew for each draw s:

    zₖ ~ q(z | x_i),   wₖ = p(x_i, zₖ) / q(zₖ | x_i),   log p̂ₛ(x_i) = log 1/K Σₖ wₖ,   z⁽ˢ⁾ = zₖ with chance wₖ / Σ w.

Each p̂ₛ is unbiased for p(x_i), so that the p̂ₛ differ by Monte Carlo noise alone, and their mean is the importance bound
of all S · K draws. ``loo`` gives that bound less what the noise takes of it, which it calls ``p``; its k̂ says whether
the noise has a tail too heavy for that. Where q is the posterior there is no noise, and ArviZ refuses ("All tail values
are the same"): then every draw is the answer. The z⁽ˢ⁾ are draws of q brought nearer to the posterior, which they reach
for K → ∞ (Rubin 1987; Cremer, Morris and Duvenaud 2017); at K = 1 they are draws of q. The parameters are fixed at what
training found: of training data ``loo`` says how well it is fitted, of test data how well the pair predicts.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Origin, Protocol, check_origin
from ppl_vae.evaluation.over_draws import NO_WEIGHTS, runs_for
from ppl_vae.evaluation.weight_tails import effective_sample_size, pareto_khat
from ppl_vae.predictive.draws import draw_at, prior_predictive
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import refuse_points
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks
from ppl_vae.programs.pair import frozen, run_pair, weigh
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded, stream

if TYPE_CHECKING:
    from xarray import DataTree

_FEWEST_WEIGHTS = 25  # of which a tail can be looked at


class _Chosen(NamedTuple):
    """Of one batch, or of all."""

    latents: dict[str, Tensor]  # by site, (S, batch, *event)
    log_px: Tensor  # (S, batch)
    reconstruction: Tensor  # of the chosen draws, (S, batch)
    log_weight: Tensor  # likewise
    weights: Tensor  # the logarithms of all, (S · K, batch)


@in_range
def to_datatree(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count = 200,
    num_candidates: Count = 50,
    seed: Seed = 0,
    *,
    origin: Origin | None = None,
    progress: bool | None = None,
) -> "DataTree":
    """The pair and the data as ArviZ takes them, for its ``loo``, its posterior predictive checks and its plots.

    Args:
        model: p(x, z).
        guide: q(z | x), from which the posterior's draws are chosen by their importance weights.
        data: the datapoints, on the device of the pair; a few hundred, since all draws of x are held in memory.
        num_samples: S, draws of each quantity, at least 1; ``loo`` looks at the tail of S values: 100 or more.
        num_candidates: K, draws of the guide of which each draw of the posterior is one, at least 1.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
        origin: where the data comes from, for the protocol.
        progress: show a progress bar; None shows it on a terminal and in a notebook.

    Returns:
        groups, whose variables have dimensions ``chain`` (1), ``draw`` (S), ``datapoint`` (N) and those of a value:
        ``posterior`` and ``prior``, the latents by site, ``(1, S, N, *latent_event)``; ``posterior_predictive`` and
        ``prior_predictive``, x drawn given these, ``(1, S, N, *event)``; ``observed_data``, x, ``(N, *event)``, NaN
        where it was not seen; ``constant_data``, labels y and conditions c where there are any; ``log_likelihood``, an
        estimate of log p(x) for each draw, ``(1, S, N)``, in nats, z integrated out; ``sample_stats``, of each chosen z
        ``reconstruction`` log p(x | z) and ``log_weight`` log p(x, z) − log q(z | x), and for each datapoint ``ess``
        and ``k_hat`` of all S · K weights, ``(N,)``.

    Raises:
        UserError: arviz-base is not installed; or as :func:`ppl_vae.evaluation.importance_bound`.

    Source: Merkle, Furr and Rabe-Hesketh 2019, on which log-likelihood; Rubin 1987, on the choice by weights.
    """
    try:
        from arviz_base import from_dict
    except ImportError:
        raise UserError("ArviZ is not installed; pip install 'ppl_vae[arviz]'.") from None
    check_origin(origin)
    check_rows_are_there(data)
    check_rows(guide, data.first, len(data))
    data = data.fixed(seed)
    check_runs(data, model, guide)
    refuse_points(guide, data.probe(), NO_WEIGHTS)
    found = _chosen(model, guide, data, num_samples, num_candidates, seed, progress)
    with seeded(stream(seed, "predictive"), data.device):
        prior, drawn = _predicted(model, data, found.latents, num_samples)
    groups: dict[str, Mapping[str, Tensor]] = {
        "posterior": found.latents,
        "prior": {name: value for name, value in prior.items() if name in found.latents},
        "posterior_predictive": {"x": drawn},
        "prior_predictive": {"x": prior["x"]},
        "log_likelihood": {"x": found.log_px},
        "sample_stats": {"reconstruction": found.reconstruction, "log_weight": found.log_weight},
    }
    sampled = {name: {key: value.unsqueeze(0) for key, value in group.items()} for name, group in groups.items()}
    x = data.values() if data.mask is None else data.values().masked_fill(~data.mask, math.nan)
    given = {name: value for name, value in (("y", data.y), ("c", data.c)) if value is not None}
    fixed: dict[str, Mapping[str, Tensor]] = {"observed_data": {"x": x}, **({"constant_data": given} if given else {})}
    values = {
        name: {key: value.cpu().numpy() for key, value in group.items()} for name, group in {**sampled, **fixed}.items()
    }
    dims = {
        **{name: _dims(name, value[0]) for name, value in (found.latents | {"x": drawn}).items()},
        **{name: ["datapoint"] for name in ("reconstruction", "log_weight", "y")},
        "c": ["datapoint", "condition"],
    }
    tree: Any = from_dict(values, dims=dims, coords={"datapoint": range(len(data))}, attrs=_attrs(num_candidates))
    of_weights = {"ess": effective_sample_size(found.weights.double()).cpu().numpy()}
    if len(found.weights) >= _FEWEST_WEIGHTS:
        of_weights["k_hat"] = pareto_khat(found.weights.double().cpu().mT.contiguous().numpy())
    stats = tree["sample_stats"]
    stats.dataset = stats.to_dataset().assign({name: ("datapoint", value) for name, value in of_weights.items()})
    protocol = Protocol.of(model, guide, data, origin, "iwae", len(found.weights), seed)
    tree.attrs["protocol"] = json.dumps(protocol.to_dict())
    return tree


def _dims(name: str, value: Tensor) -> list[str]:
    """Of a value of each datapoint."""
    return ["datapoint", *(f"{name}_dim_{number}" for number in range(value.dim() - 1))]


def _attrs(num_candidates: int) -> dict[str, dict[str, str]]:
    """What is to be known of each group by who opens the tree alone."""
    chosen = f"z, one of {num_candidates} draws of the guide, chosen by its importance weight"
    return {
        "posterior": {"what": chosen},
        "prior": {"what": "z from the model's prior, for each datapoint"},
        "posterior_predictive": {"what": "x given the posterior group's z"},
        "prior_predictive": {"what": "x given the prior group's z"},
        "log_likelihood": {
            "what": f"log p(x), z integrated out, estimated anew by {num_candidates} importance weights for each draw",
            "unit": "nats",
        },
        "sample_stats": {"what": "of the posterior group's z, and of the importance weights of all candidates"},
    }


def _chosen(
    model: nn.Module, guide: nn.Module, data: Dataset, num_samples: int, of: int, seed: int, progress: bool | None
) -> _Chosen:
    runs = runs_for(guide, data)
    generator = torch.Generator(data.device).manual_seed(stream(seed, "choice"))
    parts = []
    with (
        bar(len(data), "datapoint", "weighing", progress) as done,
        frozen(model, guide),
        seeded(stream(seed, "draws"), data.device),  # as those of the importance bound
    ):
        for batch in data.batches(BATCH_SIZE):
            # Where each call has a q of its own, the candidates of a draw share one, and other draws have others.
            counts = iter([of] * num_samples) if runs > 1 else chunks(num_samples * of, batch)
            parts.append(_chosen_of(model, guide, batch, num_samples, of, counts, generator))
            done.update(len(batch.x))
    return _Chosen(
        {name: torch.cat([part.latents[name] for part in parts], dim=1) for name in parts[0].latents},
        *(torch.cat(values, dim=1) for values in zip(*(part[1:] for part in parts), strict=True)),
    )


def _chosen_of(
    model: nn.Module,
    guide: nn.Module,
    batch: Batch,
    num_samples: int,
    of: int,
    counts: Iterator[int],
    generator: torch.Generator,
) -> _Chosen:
    """Of each ``of`` draws in turn one, the largest log w + Gumbel noise, which is each with chance w / Σ w."""
    shape, rows = (num_samples, len(batch.x)), torch.arange(len(batch.x), device=batch.x.device)
    best = batch.x.new_full(shape, -math.inf)
    kept: dict[str, Tensor] = {}
    weights, start = [], 0
    for count in counts:
        traces = run_pair(model, guide, batch, count)
        reconstruction, kl = weigh(traces, batch, count)
        log_w = reconstruction - kl
        noise = torch.empty_like(log_w).exponential_(generator=generator).log().neg()
        values = {"": reconstruction, " ": log_w}  # no site has such a name
        for name in traces.latents():
            site: Any = traces.guide.nodes[name]
            values[name] = site["value"].expand(count, len(rows), *site["fn"].event_shape)
        if not kept:
            kept = {name: value.new_empty(*shape, *value.shape[2:]) for name, value in values.items()}
        for draw in range(start // of, (start + count - 1) // of + 1):
            part = slice(max(draw * of - start, 0), min((draw + 1) * of - start, count))
            top, place = (log_w + noise)[part].max(0)
            better = top >= best[draw]
            best[draw] = torch.where(better, top, best[draw])
            for name, value in values.items():
                kept[name][draw, better] = value[part][place, rows][better]
        weights.append(log_w)
        start += count
    every = torch.cat(weights)
    log_px = every.unflatten(0, (num_samples, of)).logsumexp(1) - math.log(of)
    return _Chosen({name: kept[name] for name in kept if name.strip()}, log_px, kept[""], kept[" "], every)


def _predicted(
    model: nn.Module, data: Dataset, latents: Mapping[str, Tensor], num_samples: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Draws of the prior and of x given them, by name, and x given the latents; each ``(S, N, ...)``."""
    priors: list[dict[str, Tensor]] = []
    drawn, first = [], 0
    for batch in data.batches(BATCH_SIZE):
        size, start = len(batch.x), 0
        of_prior, of_posterior = [], []
        for count in chunks(num_samples, batch):
            y = None if batch.y is None else batch.y.repeat(count)
            c = None if batch.c is None else batch.c.repeat(count, 1)
            given = {
                name: value[start : start + count, first : first + size].flatten(0, 1)
                for name, value in latents.items()
            }
            of_posterior.append(draw_at(model, given, data.event_shape, y, c).x.unflatten(0, (count, size)))
            prior = prior_predictive(model, data.event_shape, count * size, y, c)
            named = {**prior.latents, "x": prior.x}
            of_prior.append({name: value.unflatten(0, (count, size)) for name, value in named.items()})
            start += count
        drawn.append(torch.cat(of_posterior))
        priors.append({name: torch.cat([each[name] for each in of_prior]) for name in of_prior[0]})
        first += size
    return {name: torch.cat([each[name] for each in priors], dim=1) for name in priors[0]}, torch.cat(drawn, dim=1)
