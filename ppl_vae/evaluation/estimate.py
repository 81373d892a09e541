"""An estimate with its error, and the protocol that says what it may be compared with."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Estimate:
    """The mean over datapoints of a quantity in nats.

    Args:
        values: one for each datapoint, ``(N,)``, N ≥ 1.
    """

    values: Tensor

    @property
    def mean(self) -> float:
        """The mean over datapoints."""
        return float(self.values.double().mean())

    @property
    def stderr(self) -> float:
        """Its standard error over datapoints, s / √N; NaN for a single one."""
        if len(self.values) < 2:
            return math.nan
        return float(self.values.double().std() / len(self.values) ** 0.5)


@dataclass(frozen=True)
class Protocol:
    """What an estimate was made on and how; two estimates are comparable only where this agrees.

    Args:
        data: name of the data set.
        fingerprint: hash of the data and its splits.
        split: which part of it.
        num_datapoints: how many observations, from its beginning.
        binarization: how grey levels became bits.
        data_seed: seed of the split and of static binarization.
        estimator: name of the estimator.
        num_samples: its draws for each datapoint.
        seed: seed of its draws, and of dynamic binarization's.
    """

    data: str
    fingerprint: str
    split: str
    num_datapoints: int
    binarization: str
    data_seed: int
    estimator: str
    num_samples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)
