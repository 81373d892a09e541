"""Two stochastic layers, z2 → z1 → x (Rezende et al. 2014; Burda et al. 2016)."""

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import Bernoulli, Likelihood
from ppl_vae.models.priors import Prior, StandardNormal
from ppl_vae.networks.dense import positive
from ppl_vae.programs.batch import Batch


class HierarchicalVAE(Model):
    """z2 ~ p(z2), z1 | z2 ~ N(loc(z2), diag(scale(z2)²)), x | z1 ~ likelihood(decoder(z1)).

    Args:
        decoder: maps z1 ``(..., Q)`` to the likelihood's parameters ``(..., *event)``.
        upper: maps z2 ``(..., upper_latent_dim)`` to loc and raw scale of z1, ``(..., 2 Q)``.
        upper_latent_dim: size of z2.
        likelihood: what the decoder's output means; Bernoulli if None.
        prior: p(z2), over ``upper_latent_dim`` numbers; the standard normal if None.
    """

    def __init__(
        self,
        decoder: nn.Module,
        upper: nn.Module,
        upper_latent_dim: int,
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        self.decoder, self.upper = decoder, upper
        self.likelihood, self.prior = likelihood or Bernoulli(), prior or StandardNormal(upper_latent_dim)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z2 ``(..., batch, P)`` and z1 ``(..., batch, Q)``, observe x ``(batch, *event)``."""
        prior = self.prior()
        with pyro.plate("data", len(batch.x), dim=-1):
            z2 = pyro.sample("z2", prior)
            loc, raw_scale = self.upper(z2).chunk(2, dim=-1)
            z1 = pyro.sample("z1", dist.Normal(loc, positive(raw_scale)).to_event(1))
            x: Tensor = pyro.sample("x", self.likelihood.of(self.decoder(z1), batch), obs=batch.x)
        return x
