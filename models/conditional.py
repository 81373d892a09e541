"""The conditional VAE: the label is given, and z is left with the rest (Kingma et al. 2014; Sohn et al. 2015)."""

import pyro
from torch import Tensor, nn

from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import Bernoulli, Likelihood
from ppl_vae.models.priors import Prior, StandardNormal
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.errors import UserError


class ConditionalVAE(Model):
    """z ~ p(z), x | z, y ~ likelihood(decoder(z, y)); y is observed and has no distribution of its own.

    Every "log p(x)" of this model is log p(x | y).

    Args:
        decoder: maps z ``(..., latent_dim)`` and labels ``(batch,)`` to the likelihood's parameters ``(..., *event)``.
        latent_dim: size of z.
        num_classes: labels are 0, …, num_classes − 1; at least one.
        likelihood: what the decoder's output means; Bernoulli if None.
        prior: p(z), over ``latent_dim`` numbers; the standard normal if None.

    Raises:
        UserError: no labels.
    """

    def __init__(
        self,
        decoder: nn.Module,
        latent_dim: int,
        num_classes: int,
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        if not num_classes:
            raise UserError("the conditional model needs labels and this data has none; add y, or use `model` vae.")
        self.decoder = decoder
        self.num_classes = num_classes
        self.likelihood, self.prior = likelihood or Bernoulli(), prior or StandardNormal(latent_dim)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, latent_dim)``, observe x ``(batch, *event)``, of the likelihood's support.

        Raises:
            UserError: the batch has no labels.
        """
        if batch.y is None:
            raise UserError("the conditional model needs labels: give the data integer labels y.")
        prior = self.prior()
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", prior)
            x: Tensor = pyro.sample("x", self.likelihood.of(self.decoder(z, batch.y), batch), obs=batch.x)
        return x
