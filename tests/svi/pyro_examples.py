"""Four of Pyro's examples, written anew and small, as its users write them: functions and methods, ``pyro.module``,
``pyro.param``, the global parameter store. Each makes an SVI and the calls of ``step`` that train it."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from torch.distributions import constraints

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Example(NamedTuple):
    """An SVI, and what its ``step`` is called with, for ever."""

    svi: SVI
    calls: Callable[[], Iterator[Call]]


def mlp(*widths: int) -> nn.Sequential:
    """Layers with softplus between them."""
    layers: list[nn.Module] = []
    for into, out in pairwise(widths):
        layers += [nn.Linear(into, out), nn.Softplus()]
    return nn.Sequential(*layers[:-1])


def bits(*shape: int) -> Tensor:
    """Fair coins."""
    return torch.bernoulli(torch.full(shape, 0.5))


# --- The variational autoencoder --------------------------------------------------------------------------------------


class VAE(nn.Module):
    """p(z) p(x given z) and q(z given x), Bernoulli pixels (Kingma and Welling 2014)."""

    def __init__(self, pixels: int, latents: int, hidden: int) -> None:
        super().__init__()
        self.latents = latents
        self.decoder, self.encoder = mlp(latents, hidden, pixels), mlp(pixels, hidden, 2 * latents)

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), self.latents), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            loc, log_scale = self.encoder(x).chunk(2, dim=-1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def vae(batch: int = 32, pixels: int = 64, latents: int = 5, hidden: int = 40) -> Example:
    program, x = VAE(pixels, latents, hidden), bits(10 * batch, pixels)

    def calls() -> Iterator[Call]:
        while True:
            for rows in torch.randperm(len(x)).split(batch):
                yield (x[rows],), {}

    return Example(SVI(program.model, program.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO()), calls)


# --- The conditional variational autoencoder --------------------------------------------------------------------------


class ConditionalVAE(nn.Module):
    """p(z given x) p(y given x, z) and q(z given x, y): the pixels y that are missing from x (Sohn et al. 2015)."""

    def __init__(self, pixels: int, latents: int, hidden: int) -> None:
        super().__init__()
        self.baseline = mlp(pixels, hidden, pixels)
        self.prior, self.recognition = mlp(2 * pixels, hidden, 2 * latents), mlp(2 * pixels, hidden, 2 * latents)
        self.generation = mlp(latents + pixels, hidden, pixels)

    def model(self, seen: Tensor, missing: Tensor, y: Tensor | None = None) -> None:
        pyro.module("conditional", self)
        with pyro.plate("data", len(seen)):
            guess = self.baseline(seen)  # as the example's baseline network does, which knows no z
            loc, log_scale = self.prior(torch.cat([seen, guess.sigmoid()], dim=-1)).chunk(2, dim=-1)
            z = pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            logits = self.generation(torch.cat([z, seen], dim=-1))
            with poutine.mask(mask=missing.any(dim=-1)):
                pyro.sample("y", dist.Bernoulli(logits=logits).mask(missing).to_event(1), obs=y)

    def guide(self, seen: Tensor, missing: Tensor, y: Tensor | None = None) -> None:
        pyro.module("conditional", self)
        with pyro.plate("data", len(seen)):
            given = seen if y is None else torch.where(missing, y, seen)
            loc, log_scale = self.recognition(torch.cat([seen, given], dim=-1)).chunk(2, dim=-1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def conditional_vae(batch: int = 32, pixels: int = 64, latents: int = 5, hidden: int = 40) -> Example:
    program, x = ConditionalVAE(pixels, latents, hidden), bits(10 * batch, pixels)

    def calls() -> Iterator[Call]:
        while True:
            for rows in torch.randperm(len(x)).split(batch):
                missing = torch.rand(len(rows), pixels) < 0.75
                yield (x[rows].masked_fill(missing, -1.0), missing), {"y": x[rows]}

    return Example(SVI(program.model, program.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO()), calls)


# --- The deep Markov model --------------------------------------------------------------------------------------------


class DeepMarkovModel(nn.Module):
    """A chain of latents with gated transitions; q reads the rest of the sequence backwards (Krishnan et al. 2017)."""

    def __init__(self, pixels: int, latents: int, hidden: int) -> None:
        super().__init__()
        self.emitter = mlp(latents, hidden, pixels)
        self.gate, self.proposed = mlp(latents, hidden, latents), mlp(latents, hidden, latents)
        self.straight, self.spread = nn.Linear(latents, latents), nn.Linear(latents, latents)
        self.recurrent = nn.RNN(pixels, hidden, batch_first=True)
        self.combine, self.read = nn.Linear(latents, hidden), nn.Linear(hidden, 2 * latents)
        self.first, self.first_q = nn.Parameter(torch.zeros(latents)), nn.Parameter(torch.zeros(latents))

    def transition(self, z: Tensor) -> tuple[Tensor, Tensor]:
        gate, proposed = self.gate(z).sigmoid(), self.proposed(z)
        return (1 - gate) * self.straight(z) + gate * proposed, nn.functional.softplus(self.spread(proposed.relu()))

    def model(self, x: Tensor, mask: Tensor, annealing_factor: float = 1.0) -> None:
        pyro.module("dmm", self)
        z = self.first.expand(len(x), -1)
        with pyro.plate("sequences", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                loc, scale = self.transition(z)
                with poutine.scale(scale=annealing_factor):
                    here = mask[:, t : t + 1]
                    z = pyro.sample(f"z_{t}", dist.Normal(loc, scale).mask(here).to_event(1))
                pyro.sample(f"x_{t}", dist.Bernoulli(logits=self.emitter(z)).mask(here).to_event(1), obs=x[:, t])

    def guide(self, x: Tensor, mask: Tensor, annealing_factor: float = 1.0) -> None:
        pyro.module("dmm", self)
        # Zeros stand behind the end of each sequence, so read backwards they come first.
        behind = self.recurrent((x * mask.unsqueeze(-1)).flip(1))[0].flip(1)
        z = self.first_q.expand(len(x), -1)
        with pyro.plate("sequences", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                loc, spread = self.read((self.combine(z).tanh() + behind[:, t]) / 2).chunk(2, dim=-1)
                with poutine.scale(scale=annealing_factor):
                    q = dist.Normal(loc, nn.functional.softplus(spread)).mask(mask[:, t : t + 1])
                    z = pyro.sample(f"z_{t}", q.to_event(1))


def deep_markov_model(
    batch: int = 16, length: int = 4, pixels: int = 20, latents: int = 5, hidden: int = 16
) -> Example:
    program, x = DeepMarkovModel(pixels, latents, hidden), bits(10 * batch, length, pixels)
    lengths = torch.randint(1, length + 1, (len(x),))
    mask = torch.arange(length) < lengths.unsqueeze(-1)
    optim = pyro.optim.ClippedAdam({"lr": 3e-3, "betas": (0.96, 0.999), "lrd": 0.9999, "weight_decay": 0.1})

    def calls() -> Iterator[Call]:
        count = 0
        while True:
            for rows in torch.randperm(len(x)).split(batch):
                count += 1
                yield (x[rows], mask[rows]), {"annealing_factor": min(1.0, 0.2 + 0.01 * count)}

    return Example(SVI(program.model, program.guide, optim, Trace_ELBO()), calls)


# --- The sparse gamma deep exponential family -------------------------------------------------------------------------


class SparseGamma:
    """Two layers of gamma latents and gamma weights over counts, mean field (Ranganath et al. 2015)."""

    def __init__(self, counts: int, width: tuple[int, int]) -> None:
        self.top, self.bottom = width
        self.shapes = {"w_top": (self.top, self.bottom), "w_bottom": (self.bottom, counts)}

    def model(self, x: Tensor) -> None:
        w = {
            name: pyro.sample(name, dist.Gamma(torch.tensor(0.3), 0.1).expand(shape).to_event(2))
            for name, shape in self.shapes.items()
        }
        with pyro.plate("data", len(x)):
            z = pyro.sample("z_top", dist.Gamma(torch.tensor(0.1), 0.1).expand([len(x), self.top]).to_event(1))
            shape = torch.tensor(0.1)
            z = pyro.sample("z_bottom", dist.Gamma(shape, shape / (z @ w["w_top"])).to_event(1))
            pyro.sample("x", dist.Poisson(z @ w["w_bottom"]).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        def gamma(name: str, shape: tuple[int, ...]) -> Any:
            alpha = pyro.param(f"alpha_{name}", lambda: 0.5 + torch.rand(shape), constraint=constraints.positive)
            mean = pyro.param(f"mean_{name}", lambda: 0.5 + torch.rand(shape), constraint=constraints.positive)
            return dist.Gamma(alpha, alpha / mean)

        for name, shape in self.shapes.items():
            pyro.sample(name, gamma(name, shape).to_event(2))
        with pyro.plate("data", len(x)):
            for name, width in (("z_top", self.top), ("z_bottom", self.bottom)):
                pyro.sample(name, gamma(name, (len(x), width)).to_event(1))


def sparse_gamma(batch: int = 20, counts: int = 16, width: tuple[int, int] = (5, 8)) -> Example:
    program, x = SparseGamma(counts, width), torch.poisson(torch.full((batch, counts), 3.0))

    def calls() -> Iterator[Call]:
        while True:
            yield (x,), {}

    optim = pyro.optim.AdamW({"lr": 1e-2, "weight_decay": 0.01})
    return Example(SVI(program.model, program.guide, optim, TraceMeanField_ELBO()), calls)


EXAMPLES = {
    "variational autoencoder": vae,
    "conditional autoencoder": conditional_vae,
    "deep Markov model": deep_markov_model,
    "sparse gamma": sparse_gamma,
}
