"""A family of one's own, with a setting of its own; likelihoods and priors are written and named in the same way.

ppl-vae train --family examples/heavy.py:Heavy --tail 3
"""

from typing import Annotated

import pyro.distributions as dist
from pydantic import Field

from ppl_vae.guides import Family
from ppl_vae.networks.dense import positive


class Heavy(Family):
    """q = independent t distributions.

    Args:
        latent_dim: D.
        tail: Degrees of freedom of q.
    """

    def __init__(self, latent_dim, *, tail: Annotated[float, Field(gt=1)] = 4.0):
        super().__init__(latent_dim)
        self.num_params, self.tail = 2 * latent_dim, tail

    def forward(self, params):
        """Params ``(..., 2D)``: loc, then the raw scale."""
        loc, raw_scale = params.chunk(2, dim=-1)
        return dist.StudentT(self.tail, loc, positive(raw_scale)).to_event(1)
