"""An estimator's parameters as what the rest of the package is set by: which data, which pair, how to fit."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from sklearn.base import BaseEstimator

from ppl_vae.data import DataConfig
from ppl_vae.registry.files import find
from ppl_vae.registry.pair_config import PairConfig, offered_to, split_guide
from ppl_vae.registry.settings import given, parameters_of
from ppl_vae.runtime.config import changed, field_names
from ppl_vae.runtime.errors import unknown_name
from ppl_vae.training import FitConfig

_OF_PAIR = ("model", "likelihood", "prior", "net")
_OF_DATA = ("binarization", "validation_fraction", "integer_scale")
_OWN = ("event_shape", "num_samples", "random_state", "verbose", "guide")


class Configs(NamedTuple):
    """What the parameters say."""

    data: DataConfig
    pair: PairConfig
    fit: FitConfig


def configs(params: Mapping[str, Any], seed: int) -> Configs:
    """What an estimator is set to.

    Args:
        params: by name; None is for the default of whatever reads it.
        seed: of splits, initial weights and training.

    Raises:
        UserError: there is no such setting, or no such part of a pair.
    """
    of_fit = set(field_names(FitConfig())) - {"seed"}
    set_ = {name: value for name, value in params.items() if value is not None and name not in _OWN}
    guide, family = split_guide(params["guide"])
    parts: dict[str, Any] = {name: set_.pop(name) for name in _OF_PAIR}
    of_data = {name: set_.pop(name) for name in _OF_DATA if name in set_}
    fitted = {name: set_.pop(name) for name in list(set_) if name in of_fit}
    pair = PairConfig(guide=guide, family=family, **parts, settings=given(set_))
    if unknown := [name for name in set_ if name not in (offered := offered_to(pair))]:
        raise unknown_name("parameter", unknown[0], {*offered, *of_fit, *_OF_DATA, *params} - {unknown[0]})
    fit = changed(FitConfig(seed=seed), fitted)
    if not fit.patience:
        of_data["validation_fraction"] = 0.0
    return Configs(DataConfig(test_fraction=0.0, data_seed=seed, **of_data), pair, fit)


def asks_for_labels(model: str) -> bool:
    """Whether what makes a model of this name asks how many classes there are, so that it is to be given labels."""
    return "num_classes" in parameters_of(find("model", model))


class WithSettings(BaseEstimator):  # type: ignore[misc]
    """An estimator that has, beside the parameters of its constructor, any setting of its pair and of the fit.

    One that nobody sets is none of its parameters, and has the default of whatever reads it. Those that are set are
    attributes, as parameters are.
    """

    def _keep(self, settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, and the settings that are set."""
        set_ = {name: value for name, value in vars(self).items() if not name.startswith("_") and name[-1] != "_"}
        return {**super().get_params(deep), **set_}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, or settings of the pair and of the fit, by name.

        Raises:
            ValueError: there is none of that name.
        """
        known = self.get_params()
        if unknown := params.keys() - known.keys():
            offered = unknown & _offered({**known, **params})
            self._keep({name: params[name] for name in offered})
        super().set_params(**params)
        return self


def _offered(params: Mapping[str, Any]) -> set[str]:
    """The names of all settings that there may be beside an estimator's own parameters; none for no such pair."""
    try:
        guide, family = split_guide(params["guide"])
        offered = offered_to(PairConfig(guide=guide, family=family, **{name: params[name] for name in _OF_PAIR}))
    except Exception:  # whatever a parameter is set to: fit says what is wrong with it
        offered = {}
    return {*offered, *_OF_DATA, *field_names(FitConfig())} - {"seed"}
