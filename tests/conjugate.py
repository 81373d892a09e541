"""Pairs whose posterior and log p(x) are known by arithmetic: flat, conjugate, discrete; the guides are exact.

The truth is worked out by numpy and scipy, apart from the product.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro.nn import PyroModule
from scipy.special import betaln, gammaln, logsumexp
from torch import Tensor, nn

from ppl_vae import Batch

Array = NDArray[np.float64]


class Program(PyroModule):
    """A program that is the given function of a batch, run inside the batch's plate; it has no parameters."""

    def __init__(self, run: Callable[[Batch], object]) -> None:
        super().__init__()
        self.run = run

    def forward(self, batch: Batch) -> object:
        with pyro.plate("data", len(batch.x), dim=-1):
            return self.run(batch)


class Oracle(NamedTuple):
    """A pair and the truth about it.

    Args:
        model: p(x, z).
        guide: p(z | x), exactly.
        event_shape: of x.
        log_px: log p(x) of ``(N, *event)``, in nats, ``(N,)``.
    """

    model: nn.Module
    guide: nn.Module
    event_shape: tuple[int, ...]
    log_px: Callable[[Array], Array]


def _double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def flat() -> Oracle:
    """z ~ N(0, I), x_j ~ Bernoulli(p_j) whatever z is: the posterior is the prior."""
    probs = _double(0.2, 0.5, 0.7, 0.9)

    def z() -> Tensor:
        drawn: Tensor = pyro.sample("z", dist.Normal(torch.zeros_like(probs[:2]), 1.0).to_event(1))
        return drawn

    def model(batch: Batch) -> None:
        likelihood = probs + 0 * z().sum(-1, keepdim=True)
        pyro.sample("x", dist.Bernoulli(likelihood).to_event(1), obs=batch.x)

    def log_px(x: Array) -> Array:
        p = probs.numpy()
        return np.asarray((x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1))

    return Oracle(Program(model), Program(lambda batch: z()), (4,), log_px)


def beta_bernoulli(a: float = 1.5, b: float = 3.0, size: int = 6) -> Oracle:
    """p ~ Beta(a, b), x_j ~ Bernoulli(p)."""
    one = _double(1.0)[0]

    def model(batch: Batch) -> None:
        p = pyro.sample("p", dist.Beta(a * one, b * one))
        pyro.sample("x", dist.Bernoulli(p.unsqueeze(-1)).expand([*p.shape, size]).to_event(1), obs=batch.x)

    def guide(batch: Batch) -> None:
        lit = batch.x.double().sum(-1)
        pyro.sample("p", dist.Beta(a + lit, b + size - lit))

    def log_px(x: Array) -> Array:
        lit = x.sum(1)
        return np.asarray(betaln(a + lit, b + size - lit) - betaln(a, b))

    return Oracle(Program(model), Program(guide), (size,), log_px)


def gamma_poisson(shape: float = 2.5, rate: float = 1.2, size: int = 3) -> Oracle:
    """r ~ Gamma(shape, rate), x_j ~ Poisson(r)."""
    one = _double(1.0)[0]

    def model(batch: Batch) -> None:
        r = pyro.sample("r", dist.Gamma(shape * one, rate * one))
        pyro.sample("x", dist.Poisson(r.unsqueeze(-1)).expand([*r.shape, size]).to_event(1), obs=batch.x)

    def guide(batch: Batch) -> None:
        pyro.sample("r", dist.Gamma(shape + batch.x.double().sum(-1), (rate + size) * one))

    def log_px(x: Array) -> Array:
        total = x.sum(1)
        prior, posterior = shape * np.log(rate) - gammaln(shape), (shape + total) * np.log(rate + size)
        return np.asarray(prior + gammaln(shape + total) - posterior - gammaln(x + 1).sum(1))

    return Oracle(Program(model), Program(guide), (size,), log_px)


def discrete() -> Oracle:
    """k of three kinds, two of them alike, x_j ~ Bernoulli(p_kj): both k and log p(x | k) have ties."""
    prior = _double(0.5, 0.2, 0.3)
    probs = torch.tensor([[0.2, 0.7, 0.4], [0.8, 0.3, 0.5], [0.2, 0.7, 0.4]], dtype=torch.float64)

    def model(batch: Batch) -> None:
        k = pyro.sample("k", dist.Categorical(prior))
        pyro.sample("x", dist.Bernoulli(probs[k]).to_event(1), obs=batch.x)

    def guide(batch: Batch) -> None:
        x = batch.x.double().unsqueeze(-2)
        fit = (x * probs.log() + (1 - x) * (1 - probs).log()).sum(-1)
        pyro.sample("k", dist.Categorical(logits=fit + prior.log()))

    def log_px(x: Array) -> Array:
        p = probs.numpy()
        fit = x @ np.log(p).T + (1 - x) @ np.log(1 - p).T
        return np.asarray(logsumexp(fit + np.log(prior.numpy()), axis=1))

    return Oracle(Program(model), Program(guide), (3,), log_px)


def all_bits(size: int) -> Array:
    """Every x of so many bits, ``(2^size, size)``."""
    return np.array(list(product([0.0, 1.0], repeat=size)))


ORACLES: dict[str, Callable[[], Oracle]] = {
    "flat": flat,
    "beta-bernoulli": beta_bernoulli,
    "gamma-poisson": gamma_poisson,
}
"""Those with latents that a guide of ours could have."""
