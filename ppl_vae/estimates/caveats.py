"""Numbers that are no log-likelihoods, or bounds on none, in words: of grey levels, bits, factors, a point for q."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.programs.check import Likelihood
from ppl_vae.programs.structure import reads_conditions, reads_labels
from ppl_vae.runtime.device import device_of

CAVEATS: dict[Likelihood, str] = {
    "none (Bernoulli on grey levels)": (
        "These are not log-likelihoods: a Bernoulli on grey levels lacks its normaliser (Loaiza-Ganem and Cunningham "
        "2019). Do not compare them with other numbers."
    ),
    "none (density on bits)": (
        "These are not log-likelihoods: a density of bits has no upper limit at 0 and 1. "
        "Do not compare them with other numbers."
    ),
    "up to a factor": (
        "These are log-likelihoods only if p(x, z), with the model's factor (pyro.factor), still sums to 1. Otherwise "
        "do not compare them with other numbers."
    ),
    "given each row's total": (
        "These are log-likelihoods of x given the total of each row, at most. Put them beside those of models that are "
        "given it too."
    ),
}

POINT_IN_WORDS = (
    "The guide puts z at one point, which has no density: it has a reconstruction but no ELBO, and the two must not be "
    "compared."
)


SEEN = "In x there are holes: log p(x) is that of the numbers seen"
BELOW_ZERO = "A KL below 0 is the chance of the draws that it is estimated by: the KL itself is never negative."


def of_seen(data: Dataset) -> str:
    """What an estimate on data with holes is of, to be added to what is said of it; nothing of data without any."""
    return "" if data.mask is None else "; of x with holes it is log p of the numbers seen"


def density_of(model: nn.Module, data: Dataset) -> str:
    """What an estimate bounds: ``log p(x)``, or of a model that is given labels y or conditions c ``log p(x | y)``.

    Args:
        model: p(x, z), or p(x, z | y, c).
        data: that the estimate is on.
    """
    few = data.head(2).to(device_of(model)).probe()
    given = [name for name, reads in (("y", reads_labels), ("c", reads_conditions)) if reads(model, few)]
    return f"log p(x | {', '.join(given)})" if given else "log p(x)"


def words_of(protocol: Mapping[str, Any]) -> list[str]:
    """What has to be said of results of this protocol, a line or none."""
    return [CAVEATS[protocol["likelihood"]]] if protocol["likelihood"] in CAVEATS else []
