"""Numbers that are no log-likelihoods, or bounds on none, in words: of grey levels, bits, factors, a point for q."""

from collections.abc import Mapping
from typing import Any

from ppl_vae.programs.check import Likelihood

CAVEATS: dict[Likelihood, str] = {
    "none (Bernoulli on grey levels)": (
        "These are no log-likelihoods: a Bernoulli on grey levels lacks its normaliser (Loaiza-Ganem and Cunningham "
        "2019). Put them beside no others."
    ),
    "none (density on bits)": (
        "These are no log-likelihoods: a density on bits can be as high as one likes at 0 and 1. Put them beside no "
        "others."
    ),
    "up to a factor": (
        "These are log-likelihoods only if p(x, z), with the model's factor (pyro.factor), still sums to 1. Otherwise "
        "put them beside no others."
    ),
}

POINT_IN_WORDS = (
    "q is a point, which has no density: it has a reconstruction and no ELBO, and the two must not be compared."
)


def words_of(protocol: Mapping[str, Any]) -> list[str]:
    """What has to be said of results of this protocol, a line or none."""
    return [CAVEATS[protocol["likelihood"]]] if protocol["likelihood"] in CAVEATS else []
