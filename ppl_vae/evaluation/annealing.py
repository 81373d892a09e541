"""Annealed importance sampling of log p(x), from below, and its reverse from an exact posterior draw, from above.

    π_β(v) ∝ base(v) (p(x, v) / base(v))^β,   0 = β₀ < β₁ < … < β_T = 1
    log w = Σₜ (βₜ − βₜ₋₁) log [p(x, vₜ₋₁) / base(vₜ₋₁)],   v₀ ~ base,   vₜ ~ Hamiltonian transition that leaves π_βₜ

E[w] = p(x), so log 1/C Σ w over C chains is below log p(x) in expectation (Neal 2001). Run from β = 1 down to 0 from a
posterior draw the same chain has E[1/w] = 1/p(x), so minus its log-mean is above log p(x) in expectation. An exact
posterior draw is at hand where x itself was drawn from the model: bidirectional Monte Carlo (Grosse et al. 2015; Wu et
al. 2017). Every chain of every datapoint moves at once.

Step sizes come from pilot chains, which adapt theirs to 65 % acceptance on the way up and are then thrown away.
Adapting them within the run, as published code does, makes each kernel depend on its chain's past, and then neither
expectation holds: on the oracle the "upper" bound was seen 0.05 to 0.26 nats below log p(x).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.estimates.streams import dealt, log_mean_over_draws
from ppl_vae.evaluation import hmc
from ppl_vae.evaluation.annealed import Annealed
from ppl_vae.evaluation.over_draws import NO_WEIGHTS
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import is_drawn, refuse_points
from ppl_vae.programs.effects import Recall, Remember
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_joint import draw, log_guide, log_prior_and_likelihood
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, Seed, checked, config, in_range
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.tracing.capture import Engine, NotTraceableError, refuse_untraced, worth_compiling

# The most that one call evaluates, in elements of x (chains × datapoints × event).
_CALL_ELEMENTS = 2**23
# Steepness of the sigmoid schedule (Wu et al. 2017).
_STEEPNESS = 4.0
_FEWEST_PILOT = 50

Temperatures = Annotated[int, Field(gt=0, le=10_000_000)]
Schedule = Literal["sigmoid", "linear"]


@config
class AnnealingConfig:
    """How to anneal."""

    temperatures: Temperatures = 1000
    """Annealing: T, densities passed between the start and the posterior."""
    leapfrog: Count = 10
    """Annealing: leapfrog steps of the transition at each temperature."""
    schedule: Schedule = "sigmoid"
    """Annealing: how the temperatures are spaced; sigmoid has more of them near both ends."""
    start: Literal["prior", "guide"] = "prior"
    """Annealing: from p(z), which owes nothing to the guide, or from q(z given x), which may be nearer."""
    engine: Engine = "auto"
    """How the densities are evaluated: eager, plain Pyro; traced, compiled once; auto, what ends sooner."""

    @property
    def pilot(self) -> int:
        """Temperatures of the pilot chains."""
        return min(self.temperatures, max(_FEWEST_PILOT, self.temperatures // 5))

    @property
    def total(self) -> int:
        """Temperatures that each datapoint passes in all, what a progress bar counts."""
        return self.temperatures + self.pilot


def temperatures(count: int, schedule: str = "sigmoid") -> Tensor:
    """β₀ = 0, …, β_count = 1, ``(count + 1,)`` in float64, evenly spaced if ``linear``, or along a sigmoid."""
    even = torch.linspace(0.0, 1.0, count + 1, dtype=torch.float64)
    if schedule == "linear":
        return even
    curve = torch.sigmoid(_STEEPNESS * (2 * even - 1))
    return (curve - curve[0]) / (curve[-1] - curve[0])


@in_range
def annealed_importance_bound(
    model: nn.Module,
    guide: nn.Module | None,
    data: Dataset,
    num_chains: Count = 16,
    settings: AnnealingConfig | None = None,
    latents: Latents | None = None,
    seed: Seed = 0,
    advance: Callable[[int], object] | None = None,
) -> Annealed:
    """Annealed importance sampling: a bound on log p(x) from below.

    Args:
        model: p(x, z).
        guide: q(z | x), if the chains start there; it is looked at only then, and must not be a point.
        data: the datapoints, on the device of the pair.
        num_chains: C, at least 1.
        settings: how; the defaults of :class:`AnnealingConfig` if None.
        latents: of the model; read from it if None.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
        advance: called with datapoints × temperatures done, for a progress bar.

    Returns:
        the bound in nats per datapoint; bigger is better.
    """
    check_rows_are_there(data)
    return _run(model, guide, data.fixed(seed), None, num_chains, settings, latents, seed, advance)


@in_range
def reverse_annealed_bound(
    model: nn.Module,
    guide: nn.Module | None,
    data: Dataset,
    posterior: Tensor,
    num_chains: Count = 16,
    settings: AnnealingConfig | None = None,
    latents: Latents | None = None,
    seed: Seed = 0,
    advance: Callable[[int], object] | None = None,
) -> Annealed:
    """Reverse annealing: a bound on log p(x) from above, for datapoints of which an exact posterior draw is known.

    Args:
        model: p(x, z).
        guide: q(z | x), if the chains end there.
        data: the datapoints; not dynamic.
        posterior: one draw of p(z | x) for each, as flat unconstrained vectors ``(N, D)``: for simulated data, the
            latents that it was made from. Every chain of a datapoint starts from it.
        num_chains: C, at least 1.
        settings: as for :func:`annealed_importance_bound`, whose bound this one is to be laid beside.
        latents: of the model; read from it if None.
        seed: of the draws.
        advance: called with datapoints × temperatures done.

    Returns:
        the bound in nats per datapoint; smaller is tighter.

    Raises:
        ValueError: the data is dynamic.
    """
    if data.dynamic:
        raise ValueError("a posterior draw is one of fixed data: take data.fixed(seed) first")
    return _run(model, guide, data, posterior, num_chains, settings, latents, seed, advance)


def _run(
    model: nn.Module,
    guide: nn.Module | None,
    data: Dataset,
    posterior: Tensor | None,
    num_chains: int,
    settings: AnnealingConfig | None,
    latents: Latents | None,
    seed: int,
    advance: Callable[[int], object] | None,
) -> Annealed:
    settings, advance = checked(settings or AnnealingConfig()), advance or (lambda _: None)
    if settings.start == "guide" and guide is None:
        raise ValueError("chains that start at the guide need one")
    base = guide if settings.start == "guide" else None
    if base is not None:
        check_rows(base, data.first, len(data))
        refuse_points(base, data.probe(), NO_WEIGHTS)
    latents = latents or Latents.of(model, data.probe())
    betas = temperatures(settings.temperatures, settings.schedule).to(data.device, data.dtype)
    pilot_betas = temperatures(settings.pilot, settings.schedule).to(data.device, data.dtype)
    size = max(1, _CALL_ELEMENTS // (num_chains * data.event_size))
    starts = posterior.split(size) if posterior is not None else ()
    log_sums, acceptances = [], []
    programs = [program for program in (model, base) if program is not None]
    with frozen(*programs), seeded(stream(seed, "chains"), data.device):
        check_runs(data, model, base)
        for number, batch in enumerate(data.batches(size)):
            passed = partial(advance, len(batch.x))
            with Remember() as worked_out:  # one q for the whole run, also where its parameters come of noise
                vector = draw(base or model, latents, batch, num_chains)
            q = Recall(worked_out.calls)
            path = _compiled(_path(model, base, latents, batch, q), vector, settings, batch)
            # Upwards in both directions: pilots that began at the posterior's draw would let the kernels know of it.
            step_sizes = _pilot(path, vector, pilot_betas, len(betas) - 2, settings.leapfrog, passed)
            if posterior is None:
                with q:
                    vector, levels = draw(base or model, latents, batch, num_chains), betas
            else:
                # A copy: of what was made in inference mode no gradient can be asked.
                vector, levels = starts[number].expand(num_chains, -1, -1).clone(), betas.flip(0)
                step_sizes = step_sizes.flip(0)
            log_weight, mean_acceptance = _anneal(path, vector, levels, step_sizes, settings.leapfrog, passed)
            log_sums.append(dealt(log_weight, log=True))
            acceptances.append(mean_acceptance * len(batch.x) / len(data))
    bound = log_mean_over_draws(torch.cat(log_sums, dim=1).cpu(), num_chains)
    if posterior is not None:  # all chains of a datapoint begin at one z*: they do not tell how others would differ
        bound = Estimate(-bound.values)
    elif base is not None and is_drawn(base, data.probe()):  # all chains have the q of one run
        bound = replace(bound, noise=None)
    return Annealed(bound, float(torch.stack(acceptances).sum()))


def _path(model: nn.Module, base: nn.Module | None, latents: Latents, batch: Batch, q: Recall) -> hmc.Path:
    """The two ends of the path; the ratio is the target over the base."""

    def from_prior(vector: Tensor) -> tuple[Tensor, Tensor]:
        return log_prior_and_likelihood(model, latents, batch, vector)

    def from_guide(vector: Tensor) -> tuple[Tensor, Tensor]:
        assert base is not None
        prior, likelihood = log_prior_and_likelihood(model, latents, batch, vector)
        with q:
            log_q = log_guide(base, latents, batch, vector)
        return log_q, prior + likelihood - log_q

    return from_prior if base is None else from_guide


def _compiled(path: hmc.Path, vector: Tensor, settings: AnnealingConfig, batch: Batch) -> hmc.Path | hmc.CapturedPath:
    """The path, compiled where that ends the annealing sooner and can be done."""
    calls = settings.total * settings.leapfrog
    if not worth_compiling(settings.engine, calls, len(vector) * batch.x.numel(), vector.device):
        return path
    try:
        return hmc.CapturedPath(path, vector)
    except NotTraceableError as error:
        refuse_untraced(settings.engine, error)
        return path


def _pilot(
    path: hmc.Path | hmc.CapturedPath,
    vector: Tensor,
    betas: Tensor,
    num: int,
    num_leapfrog: int,
    advance: Callable[[], object],
) -> Tensor:
    """Step sizes for ``num`` inner temperatures, ``(num, batch)``, from chains that adapt theirs on the way up."""
    state = hmc.evaluate(path, vector)
    step_size = torch.full_like(state.base[0], hmc.FIRST_STEP_SIZE)
    found = []
    for number in range(1, len(betas)):
        state, acceptance = hmc.transition(path, state, betas[number], step_size, num_leapfrog)
        step_size = hmc.adapted(step_size, acceptance.mean(0))  # shared by a datapoint's chains: less noise
        found.append(step_size)
        advance()
    places = torch.linspace(0, len(found) - 1, num, device=betas.device).round().long()
    return torch.stack(found)[places]


def _anneal(
    path: hmc.Path | hmc.CapturedPath,
    vector: Tensor,
    betas: Tensor,
    step_sizes: Tensor,
    num_leapfrog: int,
    advance: Callable[[], object],
) -> tuple[Tensor, Tensor]:
    """Carry the chains along the temperatures, upwards or downwards.

    Args:
        path: the densities.
        vector: where the chains start, ``(chains, batch, D)``.
        betas: the T + 1 temperatures in the order in which they are passed.
        step_sizes: at the inner ones, ``(T − 1, batch)``.
        num_leapfrog: steps of each transition.
        advance: called at each temperature.

    Returns:
        Σ (βₜ − βₜ₋₁) ratio(vₜ₋₁), ``(chains, batch)``, which is log w upwards and log 1/w downwards; and the mean
        acceptance, ``()``.
    """
    state = hmc.evaluate(path, vector)
    log_weight = torch.zeros_like(state.base)
    acceptances = torch.zeros_like(state.base[0, 0])
    steps = betas.diff()
    for number in range(len(steps)):
        log_weight += steps[number] * state.ratio
        if number < len(step_sizes):  # at the end nothing comes after: a last transition would change no weight
            state, acceptance = hmc.transition(path, state, betas[number + 1], step_sizes[number], num_leapfrog)
            acceptances += acceptance.mean()
        advance()
    return log_weight, acceptances / len(step_sizes)
