"""Which of the settings that were searched the bound depends on, as far as the trials tell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ppl_vae.reports.tuning.searched import Searched
from ppl_vae.reports.tuning.trial import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# With five settings of which one matters most, that one came out first in each of 8 tries from 20 trials on, and with
# 10 trials in 3 of 8.
_LEAST, _EACH = 20, 4  # trials; trials for each setting


def enough_for(searched: Sequence[Searched]) -> int:
    """How many trials have to have run to their end before shares are told."""
    return max(_LEAST, _EACH * len(searched))


def usable(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that shares can be worked out from: those that ran to their end, with settings of their own."""
    return [each for each in trials if not each.ended and each.bound is not None and each.values]


def shared(searched: Sequence[Searched], trials: Sequence[Trial]) -> list[Searched]:
    """The settings that all of those trials read; one of a family alone is none of them."""
    found = usable(trials)
    return [each for each in searched if all(each.name in trial.values for trial in found)]


def importance(searched: Sequence[Searched], trials: Sequence[Trial]) -> dict[str, float]:
    """Each setting's share of the variance of the bounds over the space that was searched, alone and with others.

    Optuna's fANOVA (Hutter et al. 2014): the variance that a random forest, fitted to the trials, has along each
    setting. It knows nothing of chance: of few trials it divides noise, so these have no shares.

    Args:
        searched: the settings.
        trials: of the study.

    Returns:
        shares by name, the largest first, 1 in all, of the :func:`shared` settings; nothing where there is one alone,
        where fewer than :func:`enough_for` trials ran to their end, or where all bounds are the same.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found, searched = usable(trials), shared(searched, trials)
    if len(searched) < 2 or len(found) < enough_for(searched) or len({each.bound for each in found}) == 1:
        return {}
    study = optuna.create_study(direction="maximize")
    distributions = distributions_of(searched)
    for each in found:
        drawn = {one.name: one.drawn(each.values[one.name]) for one in searched}
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=distributions, value=each.bound))
    evaluator = FanovaImportanceEvaluator(seed=0)
    return get_param_importances(study, evaluator=evaluator, params=list(distributions))


def distributions_of(searched: Sequence[Searched]) -> "dict[str, BaseDistribution]":
    """Where Optuna draws the settings from, by name."""
    return {each.name: _distribution(each) for each in searched}


def _distribution(each: Searched) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if each.choices:
        return CategoricalDistribution(list(each.choices))
    if isinstance(each.low, int) and isinstance(each.high, int):
        return IntDistribution(each.low, each.high, log=each.in_logarithm)
    return FloatDistribution(each.low, each.high, log=each.in_logarithm)
