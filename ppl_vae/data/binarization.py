"""How grey levels become bits; figures are comparable only under the same protocol."""

from typing import Literal

from torch import Tensor

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.kinds import kind_of
from ppl_vae.programs.layout import Layout

Binarization = Literal["auto", "dynamic", "static", "threshold", "none"]
"""How grey levels become bits; ``auto`` is what suits the data."""


def binarized(
    x: Tensor,
    y: Tensor | None,
    binarization: Binarization,
    seed: int,
    first: int = 0,
    scale: int = 1,
    mask: Tensor | None = None,
    c: Tensor | None = None,
) -> Dataset:
    """A data set under one of the protocols; figures are comparable only under the same one.

    Args:
        x: grey levels in [0, 1], ``(N, *event)``, or integers that are divided by ``scale``.
        y: labels, ``(N,)``, or None.
        binarization: ``dynamic`` draws x ~ Bernoulli(x) at every visit, ``static`` once (from ``seed``), ``threshold``
            takes x > ½, ``none`` takes x as it is; ``auto`` is the one that suits x, see :func:`suiting`.
        seed: for ``static``.
        first: number of row 0 in the whole data set.
        scale: of integers.
        mask: which numbers of x were seen, or None.
        c: conditions, ``(N, C)``, or None.
    """
    levels = Dataset(x, y, dynamic=True, first=first, scale=scale, mask=mask, c=c)
    if binarization == "auto":
        binarization = suiting(levels.values())
    if binarization == "static":
        return levels.fixed(seed)
    if binarization == "threshold":
        levels.probe()  # refuses what is no probability
        return levels.replace(x=levels._kept_alike(levels.values() > 0.5), dynamic=False, scale=1)
    return levels if binarization == "dynamic" else levels.replace(dynamic=False)


def suiting(x: Tensor, layout: Layout = "plain") -> Binarization:
    """The protocol for observations of which nobody has said one: ``dynamic`` for grey levels, most of them near black
    or white, whose bits are still the picture; ``none`` for all else, bits among it."""
    return "dynamic" if kind_of(x, layout) == "grey levels" else "none"
