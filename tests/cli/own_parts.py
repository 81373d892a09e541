"""A user's file, as tests give it to the commands: a model, family, likelihood and prior with settings of their own."""

from typing import Annotated, Literal

import pyro
import pyro.distributions as dist
import torch
from pydantic import Field

from ppl_vae.guides import Family
from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import Likelihood
from ppl_vae.models.priors import Prior
from ppl_vae.networks.dense import positive


class Student(Model):
    """x | z ~ likelihood(decoder(z u)), u a t variate's scale.

    Args:
        event_shape: of one observation.
        dof: Degrees of freedom of the noise. More of them
            make lighter tails.
    """

    def __init__(self, event_shape, latent_dim, networks, x_mean, likelihood, make_prior, *, dof=5.0):
        super().__init__()
        self.decoder = networks.decoder(latent_dim, likelihood.start(x_mean))
        self.likelihood, self.prior, self.dof = likelihood, make_prior(latent_dim, 0), dof

    def forward(self, batch):
        prior = self.prior()
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", prior)
            scale = (self.dof / (self.dof + 1)) ** 0.5
            return pyro.sample("x", self.likelihood(self.decoder(scale * z), batch.x.dim() - 1), obs=batch.x)


class Heavy(Family):
    """q = a product of t distributions.

    Args:
        latent_dim: D.
        tail: Degrees of freedom of q.
    """

    def __init__(self, latent_dim, *, tail: Annotated[float, Field(gt=1, le=100)] = 4.0):
        super().__init__(latent_dim)
        self.num_params, self.tail = 2 * latent_dim, tail

    def forward(self, params):
        loc, raw_scale = params.chunk(2, dim=-1)
        return dist.StudentT(self.tail, loc, positive(raw_scale)).to_event(1)


class Blurred(Likelihood):
    """Bits of which some are flipped."""

    def __init__(self, *, flipped: Annotated[float, Field(ge=0, lt=0.5)] = 0.1):
        super().__init__()
        self.flipped = flipped

    def forward(self, output, event_dim):
        probs = self.flipped + (1 - 2 * self.flipped) * output.sigmoid()
        return dist.Bernoulli(probs, validate_args=False).to_event(event_dim)

    def start(self, x_mean):
        return torch.logit(x_mean.clamp(0.01, 0.99))


class Wide(Prior):
    """N(0, width²) or a uniform-like power of it."""

    def __init__(self, latent_dim, *, width: float = 1.5, shape: Literal["round", "flat"] = "round"):
        super().__init__(latent_dim)
        self.register_buffer("scale", torch.full((latent_dim,), width))

    def forward(self):
        return dist.Normal(torch.zeros_like(self.scale), self.scale).to_event(1)


class Taken(Student):
    """Has a setting of the name of a flag."""

    def __init__(self, event_shape, latent_dim, networks, x_mean, likelihood, make_prior, *, epochs: int = 3):
        super().__init__(event_shape, latent_dim, networks, x_mean, likelihood, make_prior)


class Positional(Student):
    """Takes something by place, which is no setting."""

    def __init__(self, event_shape, latent_dim, networks, x_mean, likelihood, make_prior, x_scale=1.0):
        super().__init__(event_shape, latent_dim, networks, x_mean, likelihood, make_prior)


class Needy(Student):
    """Has a setting without a default."""

    def __init__(self, event_shape, latent_dim, networks, x_mean, likelihood, make_prior, *, order: int):
        super().__init__(event_shape, latent_dim, networks, x_mean, likelihood, make_prior)
        self.order = order


class Fixed(Model):
    """z of two numbers, and nothing to set."""

    def __init__(self, event_shape):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(event_shape))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.bias.new_zeros(2), 1.0).to_event(1))
            logits = self.bias + z.sum(-1)[..., None, None]
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)
