"""A guide whose parameters are simply given, and the gradient that reaches them through its draws alone."""

from typing import Any, cast

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents


class FamilyProgram(nn.Module):
    """The guide whose parameters are simply given.

    Args:
        latents: what to sample.
        family: from parameters to a distribution over the latents' vector.
        params: ``(batch, num_params)``, for the batch that it will be run on.
        sticking: score draws under constant parameters, see :class:`Sticking`; where q scores foreign draws cheaply.
    """

    def __init__(self, latents: Latents, family: nn.Module, params: Tensor, *, sticking: bool = False) -> None:
        super().__init__()
        self.latents, self.family, self.params, self.sticking = latents, family, params, sticking

    def forward(self, batch: Batch) -> None:
        """Sample the model's latents."""
        with pyro.plate("data", len(batch.x), dim=-1):
            q = self.family(self.params)
            # A flow would have to be inverted to score a draw that it does not remember.
            if self.sticking and not isinstance(q, dist.TransformedDistribution | dist.Delta):
                # Some know the density of what they have drawn without another copy of themselves.
                q = Sticking(q, None if hasattr(q, "log_prob_stuck") else self.family(self.params.detach()))
            self.latents.sample(q)


class Sticking(dist.TorchDistribution):
    """q with the density of a constant copy of itself: gradients reach the parameters through the draw alone.

    The gradient left out has mean zero, so the ELBO's stays unbiased, and its noise vanishes where q is the posterior:
    it "sticks the landing" (Roeder et al. 2017).

    Args:
        q: reparameterised.
        constant: the same distribution, its parameters detached; None if q has ``log_prob_stuck``, its density as a
            function of the value alone.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol
    has_rsample = True

    def __init__(self, q: dist.TorchDistribution, constant: dist.TorchDistribution | None) -> None:
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)
        self.q, self.constant = q, constant

    @property
    def support(self) -> constraints.Constraint:
        """Where its values live: where q's do."""
        support: constraints.Constraint = cast(Any, self.q).support
        return support

    def expand(self, batch_shape: Any, _instance: object = None) -> "Sticking":
        """The same for a larger batch."""
        constant = None if self.constant is None else self.constant.expand(batch_shape)
        return Sticking(self.q.expand(batch_shape), constant)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A draw from q."""
        draw: Tensor = self.q.rsample(torch.Size(sample_shape))
        return draw

    def log_prob(self, value: Tensor) -> Tensor:
        """log q(value), with no gradient for q's parameters themselves."""
        log_prob: Tensor = (
            cast(Any, self.q).log_prob_stuck(value) if self.constant is None else self.constant.log_prob(value)
        )
        return log_prob
