"""Simulation-based calibration: is q(z | x) the posterior? (Talts et al. 2018; Yao et al. 2018)

    z* ~ p(z),   x* ~ p(x | z*),   z₁, …, z_L ~ q(z | x*),   rank = #{l : z_l < z*} ∈ {0, …, L}

If q is the posterior, z* and the draws are exchangeable, so the rank of every coordinate is uniform. Ranks at both ends
mean that q is too narrow, ranks in the middle that it is too wide, ranks at one end that it is biased. Draws that equal
z*, as those of a discrete latent do, are put below it or above it at random, each number of them equally likely: any
other rule would pile ranks up where q is exact.

Coordinates alone do not see a q that ignores x: the prior has uniform ranks too. So log p(x* | z) is ranked as well, as
one more coordinate, on which the prior fails as soon as x says anything about z (Modrák et al. 2023).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.dataset import Dataset
from ppl_vae.evaluation.simulation import simulate, with_holes_of
from ppl_vae.predictive.posteriors import posterior_samples
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.log_joint import log_likelihood
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Row, Shown, unit_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.01
"""How often a calibrated q is refused, at most."""

LIKELIHOOD = "log p(x | z)"
"""Name of the coordinate that is not one of z."""

# The χ² approximation holds from about 5 expected counts a bin; more bins than 16 only blunt the test.
_COUNTS_PER_BIN, _MOST_BINS = 10, 16
MIN_SIMULATIONS = 2 * _COUNTS_PER_BIN
"""Fewest simulations that say anything."""
MIN_SAMPLES = 7
"""Fewest draws of q: the variance of fewer ranks than 8 is not near enough to a Gaussian for its test."""
_CALL_ELEMENTS = 2**22  # of x and of z in one call (draws × datapoints × event)
# Two sums log p(x | z) of so many terms count as equal within so many times their dtype's precision, each term being of
# order 1: the same z gives other last digits in a call of one draw than in a call of many.
_ROUNDING = 16
_BATCH_SIZE = 256

Failure = Literal["none", "over-confident", "under-confident", "biased up", "biased down", "other"]

_WORDS: dict[Failure, str] = {
    "over-confident": "over-confident (q too narrow; ∪-shaped ranks)",
    "under-confident": "under-confident (q too wide; ∩-shaped ranks)",
    "biased up": "biased upwards (q lies too high; ranks pile up at 0)",
    "biased down": "biased downwards (q lies too low; ranks pile up at L)",
    "other": "ranks that are not uniform, in a shape with no name (see the picture)",
}
_FIT: dict[Failure, str] = {
    "biased up": "q's draws fit x better than the true z does (see the ranks of log p(x | z))",
    "biased down": "q's draws fit x worse than the true z does (see the ranks of log p(x | z))",
}


@dataclass(frozen=True, eq=False)
class Calibration(Shown):
    """The ranks of a calibration, and what they say.

    Each coordinate has three tests of uniform ranks: χ² on the histogram, which sees any shape, and of the mean and the
    variance of the ranks' normal scores Φ⁻¹((rank + ½) / (L + 1)), which see a bias and a wrong width from far fewer
    simulations. Coordinates of one simulation depend on each other, so the p-values are combined by Bonferroni's rule,
    which holds whatever the dependence.

    Args:
        ranks: ``(num_simulations, D)``, integers from 0 to L.
        num_samples: L, draws of q in each simulation.
        names: of the D coordinates: "z1", …, those of z in the order in which the model samples them, and last
            "log p(x | z)".
        p_histogram: p-value of each coordinate's χ² test, ``(D,)``.
        p_location: of the test of the scores' mean, ``(D,)``.
        p_scale: of the test of the scores' variance, ``(D,)``.
        failures: of each coordinate, by the test that it fails most clearly.
    """

    ranks: Tensor
    num_samples: int
    names: tuple[str, ...]
    p_histogram: Tensor
    p_location: Tensor
    p_scale: Tensor
    failures: tuple[Failure, ...]

    @property
    def p_value(self) -> float:
        """Of all tests together: the smallest of the 3 D p-values times their number, at most 1."""
        p_values = torch.stack([self.p_histogram, self.p_location, self.p_scale])
        return min(1.0, float(p_values.min()) * p_values.numel())

    @property
    def passed(self) -> bool:
        """Whether the ranks are compatible with a calibrated q, at a level of 1 %."""
        return self.p_value >= LEVEL

    @property
    def verdict(self) -> str:
        """The outcome in a sentence, with the coordinates that failed and how."""
        p_value = f"p = {self.p_value:.2g}" if self.p_value >= 1e-10 else "p < 1e-10"
        tail = f"{p_value} over {len(self.names)} coordinates, {len(self.ranks)} simulations"
        if self.passed:
            return f"calibrated as far as these simulations can tell ({tail})."
        kinds: dict[Failure, list[str]] = {kind: [] for kind in _WORDS}
        fit = []
        for name, failure in zip(self.names, self.failures, strict=True):
            if name == LIKELIHOOD and failure in _FIT:
                fit.append(_FIT[failure])
            elif failure != "none":
                kinds[failure].append(name)
        parts = [*(f"{words} in {_listed(kinds[kind])}" for kind, words in _WORDS.items() if kinds[kind]), *fit]
        return f"not calibrated: {'; '.join(parts)} ({tail})."

    def __str__(self) -> str:
        return self.verdict

    def rows(self) -> list[Row]:
        """A row for each coordinate: how it fails, and the p-values of its tests."""
        p_values = (self.p_histogram.tolist(), self.p_location.tolist(), self.p_scale.tolist())
        columns = ("coordinate", "failure", "p_histogram", "p_location", "p_scale")
        return [dict(zip(columns, row, strict=True)) for row in zip(self.names, self.failures, *p_values, strict=True)]

    def figure(self, caption: str = "") -> "Figure":
        """The ranks, drawn (:func:`ppl_vae.figures.calibration`); a caption says what was done, and the verdict."""
        return figures.calibration(self.ranks, self.num_samples, self.names, caption)

    def to_dict(self) -> dict[str, Any]:
        """As numbers, lists and dictionaries that JSON takes; the ranks themselves stay out."""
        return {
            "num_simulations": len(self.ranks),
            "num_samples": self.num_samples,
            "passed": self.passed,
            "p_value": self.p_value,
            "verdict": self.verdict,
            "names": list(self.names),
            "failures": list(self.failures),
            "p_histogram": self.p_histogram.tolist(),
            "p_location": self.p_location.tolist(),
            "p_scale": self.p_scale.tolist(),
        }


@in_range
def calibrate(
    model: nn.Module,
    guide_for: nn.Module | Callable[[Dataset], nn.Module],
    event_shape: tuple[int, ...],
    num_simulations: Count = 1000,
    num_samples: Count = 63,
    y: Tensor | None = None,
    seed: Seed = 0,
    advance: Callable[[int], object] | None = None,
    holes: Dataset | None = None,
    c: Tensor | None = None,
) -> Calibration:
    """Simulation-based calibration of a pair.

    Args:
        model: p(x, z).
        guide_for: q(z | x), or a function that gives one for the simulated data, for instance by local inference.
        event_shape: shape of one observation.
        num_simulations: at least 20; a thousand see a scale that is wrong by a tenth.
        num_samples: L, draws of q in each simulation, at least 7; with L + 1 a power of 2 the ranks fill bins evenly.
        y: labels, ``(num_simulations,)``, for a conditional model.
        seed: of the simulations, the draws and the order of ties; the caller's generators are left alone.
        advance: called with the number of simulations done, for a progress bar.
        holes: data whose holes the simulations get, over and over; q is then held against p(z | x_seen).
        c: conditions, ``(num_simulations, C)``, for a conditional model.

    Raises:
        UserError: too few simulations or draws, or a guide that has no row for the simulated data.
    """
    if num_simulations < MIN_SIMULATIONS:
        raise UserError(
            f"`num_simulations`: calibration needs at least {MIN_SIMULATIONS} simulations, got {num_simulations}."
        )
    if num_samples < MIN_SAMPLES:
        raise UserError(f"`num_samples`: calibration needs at least {MIN_SAMPLES} samples of q, got {num_samples}.")
    data, truth = simulate(model, event_shape, num_simulations, y, seed, c)
    data = data if holes is None else with_holes_of(holes, data)
    guide = guide_for if isinstance(guide_for, nn.Module) else guide_for(data)
    check_rows(guide, data.first, len(data))
    names = [name for site, value in truth.items() for name in unit_names(site, tuple(value.shape[1:]))]
    largest = max(data.event_size, len(names))
    per_call = max(1, min(num_samples, _CALL_ELEMENTS // largest))
    parts = []
    with frozen(model, guide), seeded(stream(seed, "calibration"), data.device):
        for batch in data.batches(max(1, min(_BATCH_SIZE, _CALL_ELEMENTS // (per_call * largest)))):
            rows = batch.index - data.first
            true = {site: value[rows].unsqueeze(0) for site, value in truth.items()}
            parts.append(_ranks(model, guide, batch, true, num_samples, per_call).cpu())
            if advance:
                advance(len(batch.x))
    below, tied = torch.cat(parts, dim=1)
    with seeded(stream(seed, "calibration: ties")):
        ranks = below + (torch.rand(tied.shape, dtype=torch.float64) * (tied + 1)).long()
    return judge(ranks, num_samples, (*names, LIKELIHOOD))


def _ranks(
    model: nn.Module, guide: nn.Module, batch: Batch, true: dict[str, Tensor], num_samples: int, per_call: int
) -> Tensor:
    """How many draws are below z* and how many equal it, coordinate by coordinate: ``(2, batch, D)``."""
    threshold = _coordinates(model, batch, true)  # (1, batch, D)
    # Latents are equal or they are not; nothing is worked out from them.
    near = torch.zeros_like(threshold)
    rounding = _ROUNDING * torch.finfo(threshold.dtype).eps
    near[..., -1] = rounding * (batch.x[0].numel() + threshold[..., -1].abs())
    below, tied = torch.zeros((2, *threshold.shape[1:]), dtype=torch.long, device=threshold.device)
    for start in range(0, num_samples, per_call):
        drawn = posterior_samples(guide, batch, min(per_call, num_samples - start))
        values = _coordinates(model, batch, {site: drawn[site] for site in true})
        below += (values < threshold - near).sum(0)
        tied += ((values - threshold).abs() <= near).sum(0)
    return torch.stack([below, tied])


def _coordinates(model: nn.Module, batch: Batch, values: dict[str, Tensor]) -> Tensor:
    """What is ranked, ``(draws, batch, D)``: values by site, ``(draws, batch, *event)``, and log p(x | z) of them."""
    num = len(next(iter(values.values())))
    latents = [value.reshape(num, len(batch.x), -1) for value in values.values()]
    return torch.cat([*latents, log_likelihood(model, batch, values).unsqueeze(-1)], dim=-1)


def judge(ranks: Tensor, num_samples: int, names: tuple[str, ...]) -> Calibration:
    """Test ranks ``(num_simulations, D)`` from 0 to ``num_samples``, of coordinates of these names."""
    p_histogram = _histogram_test(ranks, num_samples)
    location, scale = _score_tests(ranks, num_samples)
    p_location, p_scale = (torch.erfc(score.abs() / math.sqrt(2)) for score in (location, scale))
    p_values = torch.stack([p_histogram, p_location, p_scale])  # (3, D)
    refused = p_values * p_values.numel() < LEVEL
    failures = tuple(
        _failure(refused[:, place].tolist(), float(location[place]), float(scale[place])) for place in range(len(names))
    )
    return Calibration(ranks, num_samples, names, p_histogram, p_location, p_scale, failures)


def _failure(refused: list[bool], location: float, scale: float) -> Failure:
    """Named by the test that is failed most clearly: a large bias also spoils the variance, and the other way round."""
    by_histogram, by_location, by_scale = refused
    if not by_location and not by_scale:
        return "other" if by_histogram else "none"
    if abs(location) >= abs(scale):
        return "biased up" if location < 0 else "biased down"
    return "over-confident" if scale > 0 else "under-confident"


def _histogram_test(ranks: Tensor, num_samples: int) -> Tensor:
    """p-value of χ² on equal bins, ``(D,)``; 1 where no number of bins divides the L + 1 ranks evenly."""
    num = len(ranks)
    most = min(_MOST_BINS, num // _COUNTS_PER_BIN)
    bins = max(number for number in range(1, most + 1) if (num_samples + 1) % number == 0)
    if bins == 1:
        return torch.ones(ranks.shape[1], dtype=torch.float64)
    place = ranks * bins // (num_samples + 1)
    counts = torch.stack([(place == number).sum(0) for number in range(bins)]).double()  # (bins, D)
    chi_square = ((counts - num / bins) ** 2 / (num / bins)).sum(0)
    p_values: Tensor = torch.special.gammaincc(torch.full_like(chi_square, (bins - 1) / 2), chi_square / 2)
    return p_values


def _score_tests(ranks: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of the ranks' normal scores, in standard errors off those of uniform ranks, ``(D,)`` each.

    On this scale a shift of a Gaussian q leaves the variance alone and a wrong width the mean, which ranks would not.
    """
    support = torch.special.ndtri((torch.arange(num_samples + 1, dtype=torch.float64) + 0.5) / (num_samples + 1))
    variance, fourth = float((support**2).mean()), float((support**4).mean())
    scores = support[ranks]
    num = len(ranks)
    location = scores.mean(0) / math.sqrt(variance / num)
    # Of the sample variance, exactly: (μ₄ − σ⁴ (n − 3) / (n − 1)) / n.
    error = math.sqrt((fourth - variance**2 * (num - 3) / (num - 1)) / num)
    return location, (scores.var(0) - variance) / error


def _listed(names: list[str], most: int = 3) -> str:
    """ "z1, z2, z3 and 4 more"."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
