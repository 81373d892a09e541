"""A model whose posteriors have two modes, and the truth about it by quadrature, in numpy and scipy alone.

z ~ N(0, 1), x_j ~ Bernoulli(logits 3 (z² − 1) + tilt · d_j z), j = 1 … 8. With tilt 0 the modes mirror each other.
"""

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.models import Model

Array = NDArray[np.float64]

SLOPES = np.linspace(-0.5, 1.0, 8)
_GRID = np.linspace(-9.0, 9.0, 20_001)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


class TwoModes(Model):
    """The model, in float64."""

    def __init__(self, tilt: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("slopes", torch.tensor(tilt * SLOPES))

    def forward(self, batch: Batch) -> Tensor:
        one = torch.ones_like(self.slopes[:1])
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(0 * one, one).to_event(1))
            logits = 3 * (z**2 - 1) + self.slopes * z
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=batch.x)


def drawn(num: int, tilt: float = 0.0, seed: int = 3) -> Dataset:
    """Data of the model."""
    generator = np.random.default_rng(seed)
    z = generator.standard_normal((num, 1))
    on = 1 / (1 + np.exp(-(3 * (z**2 - 1) + tilt * SLOPES * z)))
    return Dataset(torch.tensor(generator.random((num, 8)) < on, dtype=torch.float64))


def log_likelihood(x: Array, z: Array, tilt: float) -> Array:
    """log p(x | z) of one x at many z."""
    logits = 3 * (z[:, None] ** 2 - 1) + tilt * SLOPES * z[:, None]
    return np.asarray((x * logits - np.logaddexp(0, logits)).sum(1))


def log_px(x: Array, tilt: float = 0.0) -> Array:
    """log p(x) of each x."""
    prior = -0.5 * _GRID**2 - 0.5 * np.log(2 * np.pi)
    joint = np.stack([prior + log_likelihood(each, _GRID, tilt) for each in x])
    return np.asarray(np.logaddexp.reduce(joint, axis=1) + np.log(_GRID[1] - _GRID[0]))


def elbo_of(x: Array, mean: float, scale: float, tilt: float = 0.0) -> float:
    """The ELBO of q = N(mean, scale²) of one x."""
    expected = _WEIGHTS @ log_likelihood(x, mean + scale * _NODES, tilt) / _WEIGHTS.sum()
    return float(expected - 0.5 * (mean**2 + scale**2 - 1) + np.log(scale))


def best_elbo(x: Array, tilt: float = 0.0) -> Array:
    """The highest ELBO that a Gaussian reaches, for each x, from many starts."""
    rows, place = np.unique(x, axis=0, return_inverse=True)
    starts = [(mean, np.log(scale)) for mean in (-1.8, -1.0, -0.5, 0.0, 0.5, 1.0, 1.8) for scale in (0.1, 0.3, 1.0)]

    def best(row: Array) -> float:
        def loss(q: Array) -> float:
            return -elbo_of(row, q[0], np.exp(q[1]), tilt)

        return max(-minimize(loss, start, method="BFGS").fun for start in starts)

    return np.array([best(row) for row in rows])[place.reshape(-1)]
