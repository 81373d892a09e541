"""Semi-amortized inference: an encoder's proposal, refined for each datapoint by a few gradient steps on its ELBO.

    λ₀ = encoder(x),   λₜ₊₁ = λₜ + rate · clip(∇_λ ELBO(x; λₜ)),   q(z | x) = family(λ_T)

The refinement climbs the ELBO with KL weight 1, whatever weight the objective gives it.

Two ways to train it:

* ``unroll``: differentiate through the refinement (Kim et al. 2018);
* ``separate``: the encoder on its own bound, at λ₀, the model on the refined one, at λ_T (Krishnan et al. 2018).
"""

from typing import Literal

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from ppl_vae.guides.amortized import Amortized
from ppl_vae.guides.base import Guide
from ppl_vae.networks.recurrent import differentiable_twice
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.effects import once, side_loss
from ppl_vae.programs.given import FamilyProgram
from ppl_vae.programs.pair import constant
from ppl_vae.runtime.config import Few, Rate

Training = Literal["unroll", "separate"]

# Longest step of one datapoint's gradient, in nats per unit of λ: early gradients are steep enough to throw λ away.
_LONGEST_GRADIENT = 5.0


class SemiAmortized(Guide):
    """q(z | x) = family(refine(proposal's parameters)); the module's docstring has the formulas.

    Args:
        proposal: an amortized guide; where the refinement starts, and whose family is refined.
        model: whose ELBO the refinement climbs. Its parameters stay the model's.
        refinement_steps: Gradient steps from the encoder's proposal.
        refinement_rate: Their step size.
        refinement_training: Differentiate through the refinement, or train the encoder on its own bound.
    """

    def __init__(
        self,
        proposal: Amortized,
        model: nn.Module,
        *,
        refinement_steps: Few = 5,
        refinement_rate: Rate = 0.05,
        refinement_training: Training = "unroll",
    ) -> None:
        super().__init__(proposal.latents, proposal.family)
        self.proposal = proposal
        self.num_steps, self.rate = refinement_steps, refinement_rate
        self.unroll = refinement_training == "unroll"
        # In a list, so that the model's parameters are not registered a second time as the guide's.
        self._model = [model]

    def params(self, batch: Batch) -> Tensor:
        """The refined parameters, ``(batch, num_params)``."""
        proposal = self.proposal.params(batch)
        through = self.unroll and torch.is_grad_enabled()
        with poutine.block(), torch.enable_grad():
            if through:
                with differentiable_twice():
                    return self._refined(proposal, batch, through=True)
            with constant(self._model[0], self.family):
                return self._refined(proposal.detach(), batch, through=False).detach()

    def forward(self, batch: Batch) -> None:
        """Sample the model's latents; under ``separate``, give the encoder the gradient of its own bound."""
        q = self.q(batch)
        lift = None if self.unroll or not torch.is_grad_enabled() else once(self._proposal_bound, batch)
        with pyro.plate("data", len(batch.x), dim=-1):
            if lift is not None:
                side_loss("_proposal_bound", -lift.expand(len(batch.x)))
            self.latents.sample(q)

    def _proposal_bound(self, batch: Batch) -> Tensor:
        """Mean ELBO of the encoder's own proposal, ``()``, differentiable in the encoder alone."""
        with poutine.block():
            proposal = self.proposal.params(batch)  # before an encoder that is the prior's too is held constant
            with constant(self._model[0], self.family):
                return self._elbo(proposal, batch) / len(batch.x)

    def _refined(self, params: Tensor, batch: Batch, *, through: bool) -> Tensor:
        for _ in range(self.num_steps):
            params = params if params.requires_grad else params.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._elbo(params, batch), params, create_graph=through)
            norm = gradient.norm(dim=-1, keepdim=True).clamp(min=_LONGEST_GRADIENT)
            params = params + self.rate * gradient * (_LONGEST_GRADIENT / norm)
            params = params if through else params.detach()
        return params

    def _elbo(self, params: Tensor, batch: Batch) -> Tensor:
        """Σ ELBO over the batch, ``()``, from one draw for each datapoint."""
        program = FamilyProgram(self.latents, self.family, params)
        return -TraceELBO(analytic_kl=True).terms(self._model[0], program, batch).loss * len(batch.x)
