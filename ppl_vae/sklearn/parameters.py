"""An estimator's parameters as what the rest of the package is set by: which data, which pair, how to fit."""

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from sklearn.base import BaseEstimator

from ppl_vae.data import DataConfig
from ppl_vae.registry.files import find
from ppl_vae.registry.pair_config import PairConfig, offered_to, split_guide
from ppl_vae.registry.settings import given, parameters_of
from ppl_vae.runtime.config import changed, checked, field_names
from ppl_vae.runtime.errors import UserError, unknown_name
from ppl_vae.sklearn.given import draws_in
from ppl_vae.training import FitConfig

_OF_PAIR = ("model", "likelihood", "prior", "net")
_READ_BY = ("binarization", "integer_scale")
_OF_DATA = ("validation_fraction", *_READ_BY)
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
    for name in ("guide", *_OF_PAIR):
        if not isinstance(params[name], str):
            named = params[name].__qualname__ if isinstance(params[name], type) else reprlib.repr(params[name])
            raise UserError(f"`{name}` is {named}; give a name, of ours or as path/to/file.py:Class.")
    draws_in(params["num_samples"])
    of_fit = set(field_names(FitConfig())) - {"seed"}
    set_ = {name: value for name, value in params.items() if value is not None and name not in _OWN}
    guide, family = split_guide(params["guide"])
    parts: dict[str, Any] = {name: set_.pop(name) for name in _OF_PAIR}
    of_data = {name: set_.pop(name) for name in _OF_DATA if name in set_}
    fitted = {name: set_.pop(name) for name in list(set_) if name in of_fit}
    pair = PairConfig(guide=guide, family=family, **parts, settings=given(set_))
    if unknown := [name for name in set_ if name not in (offered := offered_to(pair))]:
        raise unknown_name("parameter", unknown[0], {*offered, *of_fit, *_OF_DATA, *params} - {unknown[0]})
    pair, fit = checked(pair), changed(FitConfig(seed=seed), fitted)
    if fit.optimizer.weight_average:
        raise UserError(
            "`weight_average` is for a training that ends, and partial_fit may go on with this; leave it out."
        )
    if not fit.patience:
        of_data["validation_fraction"] = 0.0
    return Configs(DataConfig(test_fraction=0.0, data_seed=seed, **of_data), pair, fit)


def refuse_changed(was: Configs, now: Configs) -> None:
    """See that the settings of a pair, and of how its data is read, are still those that it was made with.

    Raises:
        UserError: one has another value, which nothing would read any more.
    """
    before, after = _made_by(was), _made_by(now)
    if changes := [name for name in {**before, **after} if before.get(name) != after.get(name)]:
        raise UserError(
            f"`{changes[0]}` is not what this pair was made with, and cannot change in it; set it back, or call fit "
            "for a new pair."
        )


def _made_by(said: Configs) -> dict[str, Any]:
    """What makes a pair, by name."""
    return {
        **said.pair.parts,
        "net": said.pair.net,
        **said.pair.settings,
        **{name: getattr(said.data, name) for name in _READ_BY},
    }


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
