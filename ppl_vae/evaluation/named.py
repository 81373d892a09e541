"""The estimators that have a name: to add one, a function, its line in the table and its name in ``Estimator``.

Help, defaults and refusals are read off the table.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.evaluation.annealing import annealed_importance_bound
from ppl_vae.evaluation.bidirectional import bidirectional_bounds
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.programs.density import has_density

if TYPE_CHECKING:
    from ppl_vae.evaluation.estimators import EvaluateConfig

Estimator = Literal["elbo", "iwae", "ais", "bdmc", "sbc"]


class Asked(NamedTuple):
    """What an estimator is given.

    Args:
        model: p(x, z).
        guide: q(z | x), with an answer to this data.
        data: the datapoints, binarized.
        truth: their latents, where the model has simulated them.
        settings: of the evaluation.
        advance: to be called with the number of datapoints that are done, of annealing with that of temperatures.
    """

    model: nn.Module
    guide: nn.Module
    data: Dataset
    truth: dict[str, Tensor] | None
    settings: "EvaluateConfig"
    advance: Callable[[int], object]


class Found(NamedTuple):
    """What an estimator finds.

    Args:
        results: estimates by name, the headline first; of a point its reconstruction alone. What estimates or bounds
            log p(x) is called ``elbo``, or ``log_px`` with what follows it, as ``log_px_upper``: tests hold these to
            log p(x), comparisons rank them.
        acceptance: mean probability of acceptance of annealing's transitions; None without annealing.
    """

    results: dict[str, Estimate]
    acceptance: float | None = None


class Way(NamedTuple):
    """An estimator.

    Args:
        words: what it is, in the help.
        estimate: works it out; None of what ranks and estimates nothing (:mod:`ppl_vae.diagnostics.calibration`).
        draws: what its draws are, in the help.
        num_samples: how many where no number is asked for.
        num_simulated: datapoints that the model simulates where no number is asked for; None if the data is given.
        passes: how often its chains pass all temperatures; 0 without annealing.
        weighs: whether it needs the density of the guide that it looks at.
    """

    words: str
    estimate: Callable[[Asked], Found] | None
    draws: str
    num_samples: int
    num_simulated: int | None = None
    passes: int = 0
    weighs: bool = True

    @property
    def is_diagnosed(self) -> bool:
        """Whether it comes with diagnostics, which look at draws of the guide as it does."""
        return self.estimate is not None and not self.passes


def _elbo(asked: Asked) -> Found:
    model, guide, data, _, settings, advance = asked
    found = elbo(model, guide, data, settings.draws, settings.seed, advance)
    if not has_density(guide, data.probe()):  # its "ELBO" bounds nothing, its "KL" is none
        return Found({"reconstruction": found.reconstruction})
    return Found(found.by_name())


def _iwae(asked: Asked) -> Found:
    model, guide, data, _, settings, advance = asked
    engine = settings.annealing.engine
    return Found({"log_px": importance_bound(model, guide, data, settings.draws, settings.seed, advance, engine)})


def _ais(asked: Asked) -> Found:
    model, guide, data, _, settings, advance = asked
    found = annealed_importance_bound(
        model, guide, data, settings.draws, settings.annealing, seed=settings.seed, advance=advance
    )
    return Found({"log_px": found.log_px}, found.acceptance)


def _bdmc(asked: Asked) -> Found:
    model, guide, data, truth, settings, advance = asked
    found = bidirectional_bounds(
        model, guide, data, truth or {}, settings.draws, settings.annealing, settings.seed, advance
    )
    return Found(found.by_name(), found.acceptance)


_OF_Z, _CHAINS = "draws of z for each datapoint", "chains"
ESTIMATORS: dict[Estimator, Way] = {
    "elbo": Way("with its reconstruction and KL", _elbo, _OF_Z, num_samples=10, weighs=False),
    "iwae": Way("the K-sample importance bound", _iwae, _OF_Z, num_samples=500),
    "ais": Way("annealed importance sampling", _ais, _CHAINS, num_samples=16, passes=1),
    "bdmc": Way(
        "log p(x) of simulated data from both sides", _bdmc, _CHAINS, num_samples=16, num_simulated=100, passes=2
    ),
    "sbc": Way(
        "whether q is calibrated on simulated data",
        None,
        "draws that a latent is ranked among",
        num_samples=63,
        num_simulated=1000,
    ),
}


# --- In words ---------------------------------------------------------------------------------------------------------

IN_WORDS = "; ".join(f"{name}, {way.words}" for name, way in ESTIMATORS.items())
SIMULATED_IN_WORDS = " and ".join(
    f"{name} ({way.num_simulated})" for name, way in ESTIMATORS.items() if way.num_simulated
)


def draws_in_words() -> str:
    """What the draws of each estimator are, and their number by default."""
    found = []
    for draws in dict.fromkeys(way.draws for way in ESTIMATORS.values()):
        alike = {name: way.num_samples for name, way in ESTIMATORS.items() if way.draws == draws}
        numbers = dict.fromkeys(map(str, alike.values()))
        found.append(f"{', '.join(alike)}: {draws} ({', '.join(numbers)}).")
    return " ".join(found)


def names_of(which: Callable[[Way], bool]) -> str:
    """The names of those estimators of which something holds, in words: "elbo, iwae and ais"."""
    *most, last = (name for name, way in ESTIMATORS.items() if which(way))
    return f"{', '.join(most)} and {last}" if most else last
