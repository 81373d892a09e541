"""The variational autoencoder's generative program (Kingma and Welling 2014; Rezende et al. 2014)."""

import pyro
from torch import Tensor, nn

from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import Bernoulli, Likelihood
from ppl_vae.models.priors import Prior, StandardNormal
from ppl_vae.programs.batch import Batch


class VAE(Model):
    """z ~ p(z), x | z ~ likelihood(decoder(z)), independent pixels; by default z ~ N(0, I) and Bernoulli pixels.

    Args:
        decoder: maps z ``(..., latent_dim)`` to the likelihood's parameters ``(..., *event)``.
        latent_dim: size of z.
        likelihood: what the decoder's output means; Bernoulli if None.
        prior: p(z), over ``latent_dim`` numbers; the standard normal if None.
    """

    def __init__(
        self, decoder: nn.Module, latent_dim: int, likelihood: Likelihood | None = None, prior: Prior | None = None
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.likelihood, self.prior = likelihood or Bernoulli(), prior or StandardNormal(latent_dim)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, latent_dim)``, observe x ``(batch, *event)``, of the likelihood's support."""
        prior = self.prior()  # before the plate, whose size is none of the prior's business
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", prior)
            x: Tensor = pyro.sample("x", self.likelihood.of(self.decoder(z), batch), obs=batch.x)
        return x
