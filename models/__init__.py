"""Generative programs p(x, z), one family a file."""

if __name__ != "ppl_vae.models":  # a second copy of every class, unequal to the first
    raise ImportError("import ppl_vae.models, not models")

from ppl_vae.models.base import Model
from ppl_vae.models.conditional import ConditionalVAE
from ppl_vae.models.hierarchical import HierarchicalVAE
from ppl_vae.models.linear_gaussian import LinearGaussian
from ppl_vae.models.sequence import SequenceVAE
from ppl_vae.models.two_layer_linear_gaussian import TwoLayerLinearGaussian
from ppl_vae.models.vae import VAE

__all__ = [
    "VAE",
    "ConditionalVAE",
    "HierarchicalVAE",
    "LinearGaussian",
    "Model",
    "SequenceVAE",
    "TwoLayerLinearGaussian",
]
