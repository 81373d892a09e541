"""Numbers that are no log-likelihoods, or bounds on none, said in words: of grey levels, of bits, of a point for q."""

import sys
from collections.abc import Mapping
from typing import Any

from ppl_vae.data import Dataset
from ppl_vae.programs.check import Likelihood, check_pair, likelihood_label
from ppl_vae.registry.build import Pair

CAVEATS: dict[Likelihood, str] = {
    "none (Bernoulli on grey levels)": (
        "These are no log-likelihoods: a Bernoulli on grey levels lacks its normaliser (Loaiza-Ganem and Cunningham "
        "2019). Put them beside no others."
    ),
    "none (density on bits)": (
        "These are no log-likelihoods: a density on bits can be as high as one likes at 0 and 1. Put them beside no "
        "others."
    ),
}

POINT_IN_WORDS = "A point has no density: its elbo is no bound on log p(x) and is comparable to none."

_ADVICE: dict[Likelihood, str] = {
    "none (Bernoulli on grey levels)": (
        "grey levels under a Bernoulli likelihood: the numbers are no log-likelihoods and not comparable to any; "
        "binarize (dynamic, static, threshold), or take --likelihood continuous-bernoulli or normal, for numbers that "
        "are."
    ),
    "none (density on bits)": (
        "bits under a density: the numbers are no log-likelihoods and not comparable to any; take --binarization none "
        "where there are grey levels, or, of a model that takes one, --likelihood bernoulli for bits."
    ),
}


def words_of(protocol: Mapping[str, Any]) -> list[str]:
    """What has to be said of results of this protocol, a line or none."""
    return [CAVEATS[protocol["likelihood"]]] if protocol["likelihood"] in CAVEATS else []


def warn_of_likelihood(pair: Pair, data: Dataset) -> None:
    """Say in one line on stderr that numbers of this pair on this data will be no log-likelihoods, if so.

    Raises:
        UserError: the pair cannot be used on this data at all.
    """
    probe = data.probe()
    label = likelihood_label(pair.model, probe)
    if label == "proper":
        return
    check_pair(*pair, probe)  # where the pair is refused, that is the one thing to say
    print(f"warning: {_ADVICE[label]}", file=sys.stderr)
