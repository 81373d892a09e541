"""The check that a model and a guide match each other, the data and the contracts."""

from collections.abc import Callable
from typing import Any, Literal, cast

import pyro
import torch
from pyro import poutine
from pyro.distributions import Unit
from pyro.distributions.util import is_identically_one
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import Bernoulli, constraints

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import hold_to_x, trace_in_plate
from ppl_vae.programs.density import called
from ppl_vae.programs.pair import frozen, in_particles, latent_sites, run_pair, unwrapped, weigh
from ppl_vae.programs.program import refuse_functions
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.seeding import preserved, seeded

Likelihood = Literal[
    "proper",
    "none (Bernoulli on grey levels)",
    "none (density on bits)",
    "up to a factor",
    "given each row's total",
]

# How many times the spread of another a column's is, before one scale no longer serves both.
_WIDE = 10
_UNDIVIDED = " (`integer_scale` 0 leaves the integers of an .npz or .npy as they are)"
_ADVICE: dict[Likelihood, str] = {
    "none (Bernoulli on grey levels)": (
        "grey levels under a Bernoulli likelihood: the numbers are not log-likelihoods and cannot be compared with "
        "others; binarize (dynamic, static, threshold), or take `likelihood` continuous-bernoulli or normal, for "
        "numbers that are."
    ),
    "none (density on bits)": (
        "bits under a density: the numbers are not log-likelihoods and cannot be compared with others; take "
        "`binarization` none where there are grey levels, or, of models that take one, `likelihood` bernoulli for bits."
    ),
    "up to a factor": (
        "the model has a factor (pyro.factor): the numbers are log-likelihoods only if p(x, z) with it sums to 1, "
        "and otherwise cannot be compared with others."
    ),
    "given each row's total": (
        "the likelihood is given the total of each row (`size_factors` total): the numbers are log-likelihoods of x "
        "given that total, at most, and comparable with those of models that are given it too."
    ),
}


def check_pair(model: nn.Module, guide: nn.Module, batch: Batch) -> None:
    """Run the pair on a batch and hold it against the contracts of ``models/base.py`` and ``guides/base.py``.

    They run in evaluation mode; modes, buffers and random generators are left as they were.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: a few datapoints.

    Raises:
        UserError: what does not match, with the site's name; a program changes its own parameters, or draws what no
            seed of PyTorch's repeats.
    """
    refuse_functions(model, guide)
    with preserved(batch.x.device), frozen(model, guide), pyro.validation_enabled():
        for num_particles in (1, 2):
            _check_once(model, guide, batch, num_particles)
    if not same(seeded_log_weights(model, guide, batch), seeded_log_weights(model, guide, batch)):
        raise UserError(
            "the pair gives other numbers when it is run again from the same seed, so that no estimate of it could be "
            "repeated: let it draw by pyro.sample or torch, not by NumPy or random, and keep counts in buffers."
        )


def seeded_log_weights(model: nn.Module, guide: nn.Module, batch: Batch) -> Tensor:
    """log p(x, z) − log q(z | x) of one draw for each datapoint, always from the same seed, nats, ``(batch,)``."""
    with seeded(0, batch.x.device), frozen(model, guide):
        parts = weigh(run_pair(model, guide, batch), batch, 1)
    return (parts.reconstruction - parts.kl)[0]


def same(log_weights: Tensor, others: Tensor) -> bool:
    """Whether two pairs' log-weights are those of one pair, but for the order in which a GPU adds up."""
    return torch.allclose(log_weights, others, rtol=1e-4, atol=1e-4, equal_nan=True)


def likelihood_label(model: nn.Module, batch: Batch) -> Likelihood:
    """Whether what the model says of this x is a likelihood.

    A Bernoulli's p(x) = λˣ (1 − λ)¹⁻ˣ is a probability for x in {0, 1}. On grey levels it is neither that nor a
    density: over x in [0, 1] it integrates to 1 / C(λ), where C(λ) = 2 artanh(1 − 2λ) / (1 − 2λ) is the factor that it
    leaves out (Loaiza-Ganem and Cunningham 2019). A density, on the other hand, says nothing of data that is bits
    alone: it can be as high as one likes at 0 and at 1. Of a factor, ``pyro.factor``, no more is known than its value.
    What is given the total of x is a probability of x among those of this total, and of them at most 1 in all.

    Args:
        model: p(x, z).
        batch: datapoints among which there is one with grey levels if there is any, as ``Dataset.probe`` gives;
            random generators are left as they were.

    Returns:
        ``"proper"``, or what it is instead.
    """
    with preserved(batch.x.device), frozen(model):
        trace = trace_in_plate(model, batch)
    for name in trace.observation_nodes:
        fn, value = cast(Any, trace.nodes[name]["fn"]), trace.nodes[name]["value"]
        if not isinstance(value, Tensor) or isinstance(fn, Unit):
            continue
        if isinstance(unwrapped(fn), Bernoulli) and _is_grey(value):
            return "none (Bernoulli on grey levels)"
        if not fn.support.is_discrete and not _is_grey(value):
            return "none (density on bits)"
    factors = any(isinstance(cast(Any, trace.nodes[name]["fn"]), Unit) for name in trace.observation_nodes)
    if factors:
        return "up to a factor"
    return "given each row's total" if given_totals(model) else "proper"


def given_totals(model: nn.Module) -> bool:
    """Whether p(x | z) is given the total of each row of x, as a part of the model says of itself."""
    return any(getattr(module, "given_totals", False) is True for module in model.modules())


def takes_bits_alone(model: nn.Module, batch: Batch) -> bool:
    """Whether the model's x may be 0 and 1 and nothing between or beyond, by the support of what it observes there.

    Args:
        model: p(x, z).
        batch: a few datapoints, of whatever numbers: densities are not looked at; random generators are left as they
            were.

    Raises:
        UserError: the model breaks the contract, or observes no x.
    """
    return _taken(model, batch, 1.0, 0.5, 2.0) == [True, False, False]


def takes_counts(model: nn.Module, batch: Batch) -> bool:
    """Whether the model's x may be whole numbers beyond 1, and nothing between: counts, or codes.

    Args:
        model: p(x, z).
        batch: as for :func:`takes_bits_alone`.

    Raises:
        UserError: likewise.
    """
    return _taken(model, batch, 1.0, 0.5, 2.0) == [True, False, True]


def _taken(model: nn.Module, batch: Batch, *values: float) -> list[bool]:
    """Of each value, whether it is in the support of what a model observes at x."""
    with preserved(batch.x.device), frozen(model):
        trace = trace_in_plate(model, batch)
    hold_to_x(trace, batch)
    support = cast(Any, trace.nodes["x"]["fn"]).support
    return [bool(support.check(torch.full_like(batch.x, value)).all()) for value in values]


def advice_on_likelihood(model: nn.Module, guide: nn.Module, batch: Batch) -> list[str]:
    """What to do where numbers of this pair on such data will be no log-likelihoods, in words; nothing where they are.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: as for :func:`likelihood_label`.

    Raises:
        UserError: they will not be, and the pair cannot be used on this data at all.
    """
    label = likelihood_label(model, batch)
    if label == "proper":
        return []
    check_pair(model, guide, batch)  # where the pair is refused, that is the one thing to say
    return [_ADVICE[label]]


def advice_on_scale(model: nn.Module, batch: Batch, spread: Tensor) -> list[str]:
    """What to do where a table's columns are of very different spread and p(x | z) has one scale for all, in words.

    Args:
        model: p(x, z).
        batch: a few datapoints; random generators are left as they were.
        spread: the standard deviation of each number of x in the data, ``(*event)``.
    """
    spread = spread[spread > 0]
    if batch.x.dim() != 2 or not len(spread) or spread.max() < _WIDE * spread.min():
        return []
    with preserved(batch.x.device), frozen(model):
        trace = trace_in_plate(model, batch)
    scale = getattr(unwrapped(cast(Any, trace.nodes["x"])["fn"]), "scale", None) if "x" in trace.nodes else None
    if not isinstance(scale, Tensor) or bool((scale != scale.flatten()[0]).any()):
        return []
    return [
        f"the columns of x have standard deviations from {spread.min():.2g} to {spread.max():.2g}, and this model has "
        "one scale for all of them, so that the widest count for most; bring them to one scale, (x - x.mean(0)) / "
        "x.std(0), or, of a model that takes a likelihood, leave its `noise_scale` auto."
    ]


def _in_words(support: Any) -> str:
    """What numbers a support has, where it is one that data can miss; a constraint of one's own may have `in_words`."""
    if support is constraints.nonnegative_integer:
        return "whole numbers from 0 up"
    if isinstance(support, type(constraints.integer_interval(0, 1))) and support is not constraints.boolean:
        return f"whole numbers from {support.lower_bound} to {support.upper_bound}"
    return "numbers from 0 to 1" if support is constraints.unit_interval else str(getattr(support, "in_words", ""))


def _is_grey(x: Tensor) -> bool:
    return bool(((x != 0) & (x != 1)).any())


def _check_once(model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int) -> None:
    guide_trace = _run(guide, in_particles(guide, num_particles), batch, num_particles)
    sampled = latent_sites(guide_trace)
    _refuse_observations(guide_trace)
    # The prior alone first: replaying the wrong shape would fail inside the model, where the message names no site.
    particles = in_particles(model, num_particles)
    prior_trace = _run(model, particles, batch, num_particles)
    latents = latent_sites(prior_trace)
    hold_to_x(prior_trace, batch)
    _check_names(latents, sampled)
    for name, site in latents.items():
        ours, theirs = tuple(site["fn"].event_shape), tuple(sampled[name]["fn"].event_shape)
        if ours != theirs:
            raise UserError(f"site '{name}': event shape {ours} in the model, {theirs} in the guide.")
    model_trace = _run(model, poutine.replay(particles, trace=guide_trace), batch, num_particles)
    for trace, program in ((guide_trace, "guide"), (model_trace, "model")):
        for name, site in trace.nodes.items():
            if site["type"] == "sample" and not site_is_subsample(site):
                _check_site(name, site, program, batch, num_particles)


def _run(program: nn.Module, handled: Callable[[Batch], object], batch: Batch, num_particles: int) -> Trace:
    try:
        return trace_in_plate(program, batch, handled)
    except UserError as error:
        if num_particles == 1:
            raise
        raise UserError(f"{error} (with leading dimensions, (samples, batch, event), which it must accept)") from error


def _refuse_observations(guide_trace: Trace) -> None:
    for name, site in guide_trace.nodes.items():
        is_factor = site["type"] == "sample" and isinstance(unwrapped(site["fn"]), Unit)
        if site["type"] == "sample" and site["is_observed"] and not is_factor and not site_is_subsample(site):
            raise UserError(f"site '{name}': the guide observes it; a guide draws latents and leaves x to the model.")


def _check_names(latents: dict[str, Any], sampled: dict[str, Any]) -> None:
    missing = set(latents) - set(sampled)
    if missing:
        raise UserError(f"site '{min(missing)}' is sampled by the model but not by the guide.")
    extra = {name for name, site in sampled.items() if not site["infer"].get("is_auxiliary")} - set(latents)
    if extra:
        raise UserError(f"site '{min(extra)}' is sampled by the guide but not by the model.")


def _check_site(name: str, site: Any, program: str, batch: Batch, num_particles: int) -> None:
    fn, value = site["fn"], site["value"]
    kind = called(fn)
    grey = name == "x" and isinstance(unwrapped(fn), Bernoulli) and _is_grey(value)
    try:
        inside = bool(((value >= 0) & (value <= 1) if grey else fn.support.check(value)).all())
        shape = tuple(fn.log_prob(value).shape) if inside else None
    except Exception as error:  # whatever a user's own distribution raises
        if grey:
            raise UserError(
                f"site 'x': the {program}'s {kind} refuses grey levels; binarize the data (dynamic, static or "
                "threshold), or make it with validate_args=False for numbers that are not log-likelihoods."
            ) from error
        raise UserError(f"site '{name}' of the {program}: {reason(error)}") from error
    if not inside:
        advice = "; scale x into [0, 1], or take a likelihood of real numbers, as `likelihood` normal" if grey else ""
        if words := _in_words(unwrapped(fn).support):
            divided = name == "x" and bool(((value >= 0) & (value <= 1)).all())
            advice = f", which takes {words}{_UNDIVIDED if divided else ''}"
        elif not grey and name == "x" and fn.support.is_discrete and _is_grey(value):
            advice = "; binarize the data (dynamic, static or threshold)"
        raise UserError(f"site '{name}': values outside the support of the {program}'s {kind}{advice}.")
    if not is_identically_one(site["scale"]):
        raise UserError(
            f"site '{name}' of the {program} is scaled by {float(site['scale']):g}, by a plate's subsample or by "
            'poutine.scale, and bounds here are of single datapoints: open pyro.plate("data", len(batch.x), dim=-1), '
            "and weigh the KL by `kl_weight`."
        )
    expected = (len(batch.x),) if num_particles == 1 else (num_particles, len(batch.x))
    if shape != expected:
        raise UserError(
            f"site '{name}' of the {program}: log-density of shape {shape} where the batch is {expected}; "
            'sample it inside pyro.plate("data", len(batch.x), dim=-1) and declare its event dims with .to_event().'
        )
