"""The objectives that have a name: to add one, its name and its line here are all."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from ppl_vae.objectives.elbo import Objective, TraceELBO
from ppl_vae.objectives.importance_weighted import ImportanceWeighted

ObjectiveName = Literal["elbo", "elbo-analytic-kl", "iwae", "dreg"]

# Each is called with ``num_particles``; with ``reconstruct=False`` where it takes that.
OBJECTIVES: dict[ObjectiveName, Callable[..., Objective]] = {
    "elbo": TraceELBO,
    "elbo-analytic-kl": partial(TraceELBO, analytic_kl=True),
    "iwae": ImportanceWeighted,
    "dreg": partial(ImportanceWeighted, doubly_reparameterised=True),
}
