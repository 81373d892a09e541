"""The importance-weighted objective: a tighter bound on log p(x) to train with, and two estimators of its gradient."""

from math import log
from typing import Any, cast

import torch
from pyro import poutine
from pyro.distributions import Delta
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn

from ppl_vae.objectives.elbo import Objective, Parts, Terms
from ppl_vae.objectives.needs import refuse_scores, require_density, require_pathwise
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.effects import is_side_loss
from ppl_vae.programs.log_weights import chunks, log_sum_exp, weighted_draws
from ppl_vae.programs.pair import (
    evaluating,
    latent_sites,
    run_pair,
    run_pair_along_draws,
    unwrapped,
    weigh,
)
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved


class ImportanceWeighted(Objective):
    """The K-sample importance bound, whose draws are weighed together (Burda et al. 2016).

        L_K(x) = E[log 1/K Σₖ wₖ],   log wₖ = log p(x, zₖ) − log q(zₖ | x),   zₖ ~ q(z | x) independent

    It rises with K from the ELBO at K = 1 towards log p(x). Weights are per datapoint: a plate's scale is left out.
    With a KL weight β the loss has log p(x | zₖ) − β (log q(zₖ | x) − log p(zₖ)) in place of log wₖ.

    Two gradient estimators have that expectation. Differentiating the bound as it stands has a guide gradient whose
    signal drowns in its noise as K grows (Rainforth et al. 2018). The doubly reparameterised one weighs the model's
    gradient by w̃ₖ = wₖ / Σⱼ wⱼ and the guide's by w̃ₖ², along the path through zₖ alone; its noise vanishes where q is
    the posterior (Tucker et al. 2019). Under a KL weight w̃ₖ² becomes ṽₖ (1 − β (1 − ṽₖ)), ṽ normalised from the loss's
    own weights: the score function that the path replaces is weighted by β there. It needs guides whose parameters act
    through densities of draws: where a Delta or a factor depends on them too, :meth:`check` refuses it.

    Args:
        num_particles: K, draws of z for each datapoint, at least 1, evaluated in one call.
        doubly_reparameterised: which of the two.
    """

    def __init__(self, num_particles: int, *, doubly_reparameterised: bool = False) -> None:
        super().__init__(num_particles)
        self.doubly_reparameterised = doubly_reparameterised

    def terms(self, model: nn.Module, guide: nn.Module, batch: Batch, kl_weight: float | Tensor = 1.0) -> Terms:
        """Evaluate the bound; see :meth:`Objective.terms`.

        Raises:
            UserError: a site of the guide without a reparameterised sample; the message names it.
        """
        particles = self.num_particles
        factors: list[Tensor] = []  # of the guide's gradient, (batch,) or (particles, batch): known once z is weighed

        def pass_on(value: Tensor) -> Tensor:
            if not value.requires_grad:
                return value
            value = value.view_as(value)
            value.register_hook(lambda gradient: gradient * _over_events(factors[0], gradient))
            return value

        if self.doubly_reparameterised:
            traces = run_pair_along_draws(model, guide, batch, particles, pass_on)
        else:
            traces = run_pair(model, guide, batch, particles)
        refuse_scores(traces)
        reconstruction, kl = weigh(traces, batch, particles)  # (particles, batch)
        objective = reconstruction - kl_weight * kl
        factor = 1 - kl_weight * (1 - objective.detach().softmax(0))
        factors.append(factor[0] if particles == 1 else factor)
        loss = -(log_sum_exp(objective) - log(particles)).mean()
        bound = (reconstruction - kl).detach().logsumexp(0) - log(particles)
        reconstruction, kl = reconstruction.detach().mean(0), kl.detach().mean(0)
        return Terms(loss, bound, reconstruction - kl, reconstruction, kl)

    def parts(self, model: nn.Module, guide: nn.Module, batch: Batch) -> Parts:
        """Of K draws, what they are made of not in memory at once; see :meth:`Objective.parts`."""
        drawn = [weighted_draws(model, guide, batch, count) for count in chunks(self.num_particles, batch)]
        reconstruction, kl = (torch.cat(part).cpu() for part in zip(*drawn, strict=True))  # where there are doubles
        weights = (reconstruction - kl).double()
        bound = weights.logsumexp(0) - log(self.num_particles)
        return Parts(*(each.to(kl.dtype) for each in (bound, reconstruction.double().mean(0), kl.double().mean(0))))

    def check(self, model: nn.Module, guide: nn.Module, batch: Batch) -> None:
        """See that the guide has a density, and reparameterised samples; see :meth:`Objective.check`."""
        require_pathwise(model, guide, batch)
        require_density(guide, batch)
        if self.doubly_reparameterised:
            with evaluating(guide), preserved(batch.x.device):
                _require_densities(guide, batch)


def _over_events(factor: Tensor, value: Tensor) -> Tensor:
    """``(*batch)`` to ``(*batch, 1, …, 1)``, as many dimensions as the value's."""
    return factor.reshape(*factor.shape, *(1 for _ in range(value.dim() - factor.dim())))


def _require_densities(guide: nn.Module, batch: Batch) -> None:
    """See that no Delta and no factor of the guide depends on its parameters other than through draws."""
    drawn = poutine.trace(guide).get_trace(batch)
    given = Trace()
    for name, site in latent_sites(drawn).items():
        if not isinstance(unwrapped(site["fn"]), Delta):
            given.add_node(name, **{**site, "value": site["value"].detach()})
    again = prune_subsample_sites(poutine.trace(poutine.replay(guide, trace=given)).get_trace(batch))
    for name, site in again.nodes.items():
        if site["type"] == "sample" and name not in given and not is_side_loss(site):
            fn = cast(Any, site["fn"])
            if fn.rsample().requires_grad or fn.log_prob(site["value"]).requires_grad:
                raise UserError(
                    f"site '{name}': the guide's parameters reach it other than through draws, where the doubly "
                    "reparameterised gradient would lose them; take the objective 'iwae'."
                )
