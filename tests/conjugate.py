"""Pairs whose log p(x) is known: flat, conjugate and discrete ones by arithmetic, others by quadrature.

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
from scipy.special import betaln, gammaln, logsumexp, roots_genlaguerre, roots_jacobi
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
        guide: p(z | x), exactly, unless it says otherwise.
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


def two_latents(nodes: int = 60) -> Oracle:
    """z1 ~ N(0, 1), z2 ~ N(0.8 z1, ½²), x_j ~ Bernoulli(sigmoid(a_j z1 + b_j z2)), by Gauss and Hermite's rule.

    The guide is not exact: the prior again, so that weights are p(x | z).
    """
    a, b, zero = _double(1.0, -0.5, 2.0, 0.3), _double(0.5, 1.5, -1.0, -2.0), _double(0.0)[0]

    def prior() -> tuple[Tensor, Tensor]:
        z1 = pyro.sample("z1", dist.Normal(zero, 1.0))
        return z1, pyro.sample("z2", dist.Normal(0.8 * z1, 0.5))

    def model(batch: Batch) -> None:
        z1, z2 = prior()
        logits = a * z1.unsqueeze(-1) + b * z2.unsqueeze(-1)
        pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=batch.x)

    def log_px(x: Array) -> Array:
        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        log_weights = np.log(weights / weights.sum())
        z1, z2 = points[:, None], 0.8 * points[:, None] + 0.5 * points[None, :]
        logits = a.numpy() * z1[..., None] + b.numpy() * z2[..., None]  # (nodes, nodes, 4)
        fit = (x[:, None, None, :] * logits - np.logaddexp(0, logits)).sum(-1)
        return np.asarray(logsumexp(fit + log_weights[:, None] + log_weights, axis=(1, 2)))

    return Oracle(Program(model), Program(lambda batch: prior()), (4,), log_px)


def three_supports(nodes: int = 12) -> Oracle:
    """mix ~ Dirichlet(1.5, 2, 3), rate ~ Gamma(3, 2), share ~ Beta(2, 3), x_j ~ N(rate (mix W)_j + share v_j, 0.8²).

    log p(x) by Gauss's rules of Jacobi and Laguerre in four dimensions, the Dirichlet as two Betas. The guide is the
    prior again.
    """
    weight = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.8, -1.0], [-0.7, 0.4, 0.6]], dtype=torch.float64)
    v, concentration, one = _double(0.5, -1.0, 1.0), _double(1.5, 2.0, 3.0), _double(1.0)[0]

    def prior() -> tuple[Tensor, Tensor, Tensor]:
        mix = pyro.sample("mix", dist.Dirichlet(concentration))
        rate = pyro.sample("rate", dist.Gamma(3 * one, 2 * one))
        return mix, rate, pyro.sample("share", dist.Beta(2 * one, 3 * one))

    def model(batch: Batch) -> None:
        mix, rate, share = prior()
        loc = rate.unsqueeze(-1) * (mix @ weight) + share.unsqueeze(-1) * v
        pyro.sample("x", dist.Normal(loc, 0.8).to_event(1), obs=batch.x)

    def log_px(x: Array) -> Array:
        def beta(a: float, b: float) -> tuple[Array, Array]:
            points, weights = roots_jacobi(nodes, b - 1, a - 1)
            return (1 + points) / 2, weights / weights.sum()

        points, weights = roots_genlaguerre(nodes, 2)
        rules = [beta(1.5, 5), beta(2, 3), (points / 2, weights / weights.sum()), beta(2, 3)]
        first, second, rate, share = (grid.ravel() for grid in np.meshgrid(*(rule[0] for rule in rules), indexing="ij"))
        log_weights = sum(np.log(grid.ravel()) for grid in np.meshgrid(*(rule[1] for rule in rules), indexing="ij"))
        mix = np.stack([first, (1 - first) * second, (1 - first) * (1 - second)], axis=1)
        loc = rate[:, None] * (mix @ weight.numpy()) + share[:, None] * v.numpy()
        constant = -1.5 * np.log(2 * np.pi * 0.8**2)
        fit = [-((row - loc) ** 2).sum(1) / (2 * 0.8**2) + constant for row in x]
        return np.asarray(logsumexp(np.stack(fit) + log_weights, axis=1))

    return Oracle(Program(model), Program(lambda batch: prior()), (3,), log_px)


def all_bits(size: int) -> Array:
    """Every x of so many bits, ``(2^size, size)``."""
    return np.array(list(product([0.0, 1.0], repeat=size)))


EXACT: dict[str, Callable[[], Oracle]] = {
    "flat": flat,
    "beta-bernoulli": beta_bernoulli,
    "gamma-poisson": gamma_poisson,
}
"""Those with real latents whose guide is the posterior."""

INEXACT: dict[str, Callable[[], Oracle]] = {"two latents": two_latents, "three supports": three_supports}
"""Those whose guide is the prior."""
