"""KL(q ‖ p) in closed form, where there is one."""

from typing import Any

import torch
from pyro.distributions import Delta
from torch import Tensor
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal, kl_divergence


def closed_form_kl(q: Any, p: Any) -> Tensor | None:
    """KL(q ‖ p) = E_q[log q − log p], ``(..., batch)``, or None where no closed form is known.

    torch knows most pairs of distributions; a Gaussian with covariance against a diagonal one is put in its terms here.

    Args:
        q: the guide's distribution at a site.
        p: the model's distribution there, of the same event shape.
    """
    if isinstance(q, Delta):
        return None  # Pyro has −log p(point) for it, which leaves out the density of a mapped latent
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal) and _is_diagonal(p):
        p = MultivariateNormal(p.base_dist.loc, scale_tril=torch.diag_embed(p.base_dist.scale))
    try:
        divergence: Tensor = kl_divergence(q, p)
    except NotImplementedError:
        return None
    return divergence


def _is_diagonal(p: Any) -> bool:
    return isinstance(p, Independent) and isinstance(p.base_dist, Normal) and len(p.event_shape) == 1
