"""What an estimator holds once it is fitted."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ppl_vae.data.info import DataInfo
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.sklearn.fitted import Fitted
from ppl_vae.training.metrics import History


class Learned(BaseEstimator):  # type: ignore[misc]
    """An estimator that has a pair once it is fitted; before, its attributes are not there, as scikit-learn's are not:
    they raise what is an ``AttributeError`` too, and says to fit it.
    """

    _pair: Fitted

    @property
    def _fitted(self) -> Fitted:
        check_is_fitted(self)
        return self._pair

    @property
    def model_(self) -> nn.Module:
        """p(x, z), trained."""
        return self._fitted.model

    @property
    def guide_(self) -> nn.Module:
        """q(z | x), trained."""
        return self._fitted.guide

    @property
    def settings_(self) -> PairConfig:
        """The pair as it was chosen and set."""
        return self._fitted.settings

    @property
    def info_(self) -> DataInfo:
        """What is known of the X that was fitted."""
        return self._fitted.info

    @property
    def history_(self) -> History:
        """The metrics of every epoch."""
        return self._fitted.history

    @property
    def class_prior_(self) -> NDArray[np.float64]:
        """p(y) of each of ``classes_``, how often each was seen."""
        return self._fitted.label_prior

    @property
    def _n_features_out(self) -> int:
        return self._fitted.num_latents

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_pair")

    def _trained(self, fitted: Fitted) -> Self:
        self._pair, self.n_iter_ = fitted, len(fitted.history)
        return self
