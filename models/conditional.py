"""The conditional VAE: the label, conditions or both are given, and z is left with the rest (Kingma et al. 2014; Sohn
et al. 2015)."""

import pyro
from torch import Tensor, nn

from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import Bernoulli, Likelihood
from ppl_vae.models.priors import Prior, StandardNormal
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.errors import UserError


class ConditionalVAE(Model):
    """z ~ p(z), x | z, y, c ~ likelihood(decoder(z, y, c)); the label y and the conditions c, as far as the data has
    them, are observed and have no distributions of their own.

    Every "log p(x)" of this model is log p(x | y, c).

    Args:
        decoder: maps z ``(..., latent_dim)``, labels ``(batch,)`` (None without classes) and, where there are any,
            conditions ``(batch, C)`` to the likelihood's parameters ``(..., *event)``.
        latent_dim: size of z.
        num_classes: labels are 0, …, num_classes − 1; 0 to read none.
        likelihood: what the decoder's output means; Bernoulli if None.
        prior: p(z), over ``latent_dim`` numbers; the standard normal if None.
        num_conditions: C; 0 to read none.

    Raises:
        UserError: neither labels nor conditions.
    """

    def __init__(
        self,
        decoder: nn.Module,
        latent_dim: int,
        num_classes: int,
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
        num_conditions: int = 0,
    ) -> None:
        super().__init__()
        if not (num_classes or num_conditions):
            raise UserError(
                "the conditional model needs labels or conditions and this data has none; add y or c, or use `model` "
                "vae."
            )
        self.decoder = decoder
        self.num_classes, self.num_conditions = num_classes, num_conditions
        self.likelihood, self.prior = likelihood or Bernoulli(), prior or StandardNormal(latent_dim)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, latent_dim)``, observe x ``(batch, *event)``, of the likelihood's support.

        Raises:
            UserError: the batch has no labels, or not as many conditions.
        """
        if self.num_classes and batch.y is None:
            raise UserError("the conditional model needs labels: give the data integer labels y.")
        if self.num_conditions and (batch.c is None or batch.c.shape[1] != self.num_conditions):
            raise UserError(f"the conditional model needs conditions: give the data c, (N, {self.num_conditions}).")
        conditions = (batch.c,) if self.num_conditions else ()
        prior = self.prior()
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", prior)
            x: Tensor = pyro.sample("x", self.likelihood.of(self.decoder(z, batch.y, *conditions), batch), obs=batch.x)
        return x
