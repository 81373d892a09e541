"""Small pairs and data that the tests share: the oracle with its exact guides, a VAE, a model with two latents."""

from math import log

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, Family
from ppl_vae.models import VAE, LinearGaussian, Model
from ppl_vae.networks.dense import Decoder, Encoder, raw_scale
from ppl_vae.programs.latents import Latents


def all_of(x: Tensor, y: Tensor | None = None) -> Batch:
    """A batch of all rows."""
    return Batch(x, y, torch.arange(len(x)))


def amortized(model: nn.Module, x: Tensor, family: type[Family] = Diagonal, hidden: tuple[int, ...] = ()) -> Amortized:
    """An amortized guide of the model, in the precision of x."""
    latents = Latents.of(model, all_of(x[:2]))
    q = family(latents.size)
    return Amortized(latents, q, Encoder(x.shape[1:], q.num_params, hidden)).to(x.dtype)


# --- The oracle ---------------------------------------------------------------------------------------------------


def oracle(size: int = 5, latent_dim: int = 3, scale: float = 0.7) -> LinearGaussian:
    """Probabilistic PCA in float64 with nothing symmetric about it: W lopsided, μ off zero, σ not 1."""
    model = LinearGaussian((size,), latent_dim).double()
    rows = torch.arange(1, size * latent_dim + 1, dtype=torch.float64).reshape(size, latent_dim)
    with torch.no_grad():
        model.weight.copy_(torch.sin(rows) + 0.3 * torch.cos(rows**2) + 0.2)
        model.mean.copy_(torch.linspace(-1.0, 2.0, size))
        model.log_scale.fill_(log(scale))
    return model


def simulate(model: LinearGaussian, num: int, seed: int = 1_234_567) -> Tensor:
    """Draws of x from the oracle, ``(num, D)``.

    The seed is one that no test gives to anything else: an evaluation from the same seed would draw the true latents.
    """
    generator = torch.Generator().manual_seed(seed)
    size, latent_dim = model.weight.shape
    z = torch.randn(num, latent_dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(num, size, generator=generator, dtype=torch.float64)
    return (z @ model.weight.mT + model.mean + model.log_scale.exp() * noise).detach()


class ExactGuide(PyroModule):
    """The oracle's own posterior. The model is kept out of the module tree: its parameters are not the guide's."""

    def __init__(self, model: LinearGaussian) -> None:
        super().__init__()
        self.posterior = model.posterior

    def forward(self, batch: Batch) -> None:
        exact = self.posterior(batch.x)
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(exact.loc, scale_tril=exact.scale_tril))


def optimal(model: LinearGaussian, family: type[Family]) -> Amortized:
    """The best guide of a family, which a linear encoder can be: the posterior itself for the full-rank family."""
    size, latent_dim = model.weight.shape
    guide = amortized(model, torch.zeros(2, size, dtype=torch.float64), family)
    exact = model.posterior(torch.zeros(size, dtype=torch.float64))
    pull = torch.linalg.solve(exact.precision_matrix, model.weight.mT) / model.log_scale.exp() ** 2  # (Q, D)
    if family is Diagonal:
        constants = [raw_scale(exact.precision_matrix.diagonal().rsqrt())]
    else:
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        constants = [raw_scale(exact.scale_tril.diagonal()), latent_dim**0.5 * exact.scale_tril[rows, columns]]
    linear = guide.encoder.net[0]
    with torch.no_grad():
        linear.weight.zero_()
        linear.weight[:latent_dim] = pull
        linear.bias.copy_(torch.cat([-pull @ model.mean, *constants]))
    return guide


class PriorGuide(PyroModule):
    """q = N(0, scale²): a bad guide whatever x is."""

    def __init__(self, latent_dim: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((latent_dim,), scale, dtype=torch.float64))

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros_like(self.scale), self.scale).to_event(1))


# --- A VAE --------------------------------------------------------------------------------------------------------


def stripes(num: int, seed: int = 0) -> Tensor:
    """Probabilities of lit pixels, ``(num, 3, 4)``: images of one of four columns, bright or dim."""
    generator = torch.Generator().manual_seed(seed)
    column = torch.randint(4, (num,), generator=generator)
    x = torch.full((num, 3, 4), 0.05)
    x[torch.arange(num), :, column] = 0.6 + 0.35 * torch.rand(num, 1, generator=generator)
    return x


def bits(num: int, seed: int = 0) -> Tensor:
    """The same as bits."""
    return torch.bernoulli(stripes(num, seed), generator=torch.Generator().manual_seed(seed + 1))


def vae_pair(
    family: type[Family] = Diagonal, *, latent_dim: int = 2, hidden: tuple[int, ...] = (16,), seed: int = 0
) -> tuple[VAE, Amortized]:
    """A VAE of :func:`stripes` and its amortized guide, initialised from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VAE(Decoder(latent_dim, (3, 4), hidden, "tanh"), latent_dim)
        return model, amortized(model, bits(2), family, hidden)


def stripes_data(num: int, seed: int = 0, *, dynamic: bool = True) -> Dataset:
    """A data set of :func:`stripes`."""
    return Dataset(stripes(num, seed), dynamic=True) if dynamic else Dataset(bits(num, seed))


# --- Two latents, neither of them real -----------------------------------------------------------------------------


class TwoLatents(Model):
    """rate ~ Gamma(2, 1), mix ~ Dirichlet(1, 2, 3), x | rate, mix ~ N(rate · W mix, 0.5²): a mixture of brightness."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1.0, 2.0, 3 * size).reshape(3, size))
        self.register_buffer("concentration", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, batch: Batch) -> Tensor:
        one = torch.ones_like(self.concentration[0])
        with pyro.plate("data", len(batch.x), dim=-1):
            rate = pyro.sample("rate", dist.Gamma(2 * one, one))
            mix = pyro.sample("mix", dist.Dirichlet(self.concentration))
            loc = rate.unsqueeze(-1) * (mix @ self.weight)
            return pyro.sample("x", dist.Normal(loc, 0.5 * one).to_event(1), obs=batch.x)


def gradients(*modules: nn.Module) -> list[Tensor]:
    """All gradients of the modules, in order; they are reset."""
    found = []
    for module in modules:
        for param in module.parameters():
            found.append(torch.zeros_like(param) if param.grad is None else param.grad.clone())
            param.grad = None
    return found
