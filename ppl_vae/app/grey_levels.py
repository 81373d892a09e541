"""Numbers that are no log-likelihoods, or bounds on none, said in words: a Bernoulli on grey levels, a point for q."""

import sys
from collections.abc import Mapping
from typing import Any

from ppl_vae.app.build import Pair
from ppl_vae.check import check_pair, likelihood_label
from ppl_vae.data import Dataset

GREY_IN_WORDS = (
    "These are no log-likelihoods: a Bernoulli on grey levels lacks its normaliser (Loaiza-Ganem and Cunningham 2019). "
    "Put them beside no others."
)

POINT_IN_WORDS = "A point has no density: its elbo is no bound on log p(x) and is comparable to none."


def words_of(protocol: Mapping[str, Any]) -> list[str]:
    """What has to be said of results of this protocol, a line or none."""
    return [] if protocol["likelihood"] == "proper" else [GREY_IN_WORDS]


def warn_of_grey_levels(pair: Pair, data: Dataset) -> None:
    """Say in one line on stderr that numbers of this pair on this data will be no log-likelihoods, if so.

    Raises:
        UserError: the pair cannot be used on this data at all.
    """
    probe = data.probe()
    if likelihood_label(pair.model, probe) == "proper":
        return
    check_pair(*pair, probe)  # where the pair is refused, that is the one thing to say
    print(
        "warning: grey levels under a Bernoulli likelihood: the numbers are no log-likelihoods and not comparable to "
        "any; binarize (dynamic, static, threshold) for numbers that are.",
        file=sys.stderr,
    )
