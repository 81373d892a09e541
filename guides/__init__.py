"""Variational programs q(z | x): a family (what q is) times a parameterisation (where its parameters come from)."""

if __name__ != "ppl_vae.guides":  # a second copy of every class, unequal to the first
    raise ImportError("import ppl_vae.guides, not guides")

from ppl_vae.guides.amortized import Amortized
from ppl_vae.guides.base import Guide
from ppl_vae.guides.bottom_up import BottomUp
from ppl_vae.guides.families import Diagonal, Family, FullRank, LowRank, Point
from ppl_vae.guides.flows import InverseAutoregressive, Planar
from ppl_vae.guides.per_datapoint import PerDatapoint
from ppl_vae.guides.semi_amortized import SemiAmortized

__all__ = [
    "Amortized",
    "BottomUp",
    "Diagonal",
    "Family",
    "FullRank",
    "Guide",
    "InverseAutoregressive",
    "LowRank",
    "PerDatapoint",
    "Planar",
    "Point",
    "SemiAmortized",
]
