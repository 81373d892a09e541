"""The objectives that have a name: to add one, its name and its line here are all."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from ppl_vae.objectives.elbo import Objective, TraceELBO
from ppl_vae.objectives.importance_weighted import ImportanceWeighted


class Named(NamedTuple):
    """An objective that has a name.

    Args:
        make: makes it, called with ``num_particles``; with ``reconstruct=False`` where it takes that.
        words: what it is, in the help.
        tightens: whether its bound is another one, and tighter, the more draws of z it has.
    """

    make: Callable[..., Objective]
    words: str
    tightens: bool = False


ObjectiveName = Literal["elbo", "elbo-analytic-kl", "iwae", "dreg"]

OBJECTIVES: dict[ObjectiveName, Named] = {
    "elbo": Named(TraceELBO, "the ELBO from draws of the guide"),
    "elbo-analytic-kl": Named(partial(TraceELBO, analytic_kl=True), "the ELBO with its KL in closed form"),
    "iwae": Named(ImportanceWeighted, "the importance bound of num_particles draws", tightens=True),
    "dreg": Named(
        partial(ImportanceWeighted, doubly_reparameterised=True),
        "the importance bound, the guide's gradient along the draws alone",
        tightens=True,
    ),
}

OBJECTIVES_IN_WORDS = "; ".join(f"{name}, {each.words}" for name, each in OBJECTIVES.items())
