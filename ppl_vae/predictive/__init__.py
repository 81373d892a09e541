"""Draws and expectations of prior, posterior and conditional predictive distributions, and walks between codes.

Each of these takes a pair and data, and returns :class:`Samples`: arrays by name, which draw themselves.
"""

from ppl_vae.predictive.checking import PredictiveChecks, predictive_checks
from ppl_vae.predictive.distributions import conditional, posterior, prior
from ppl_vae.predictive.imputation import impute
from ppl_vae.predictive.latent_space.directions import arithmetic
from ppl_vae.predictive.latent_space.interpolation import interpolate
from ppl_vae.predictive.latent_space.nearest import neighbours
from ppl_vae.predictive.latent_space.planes import grid
from ppl_vae.predictive.latent_space.several import several_codes
from ppl_vae.predictive.latent_space.traversal import traverse
from ppl_vae.predictive.samples import Samples

__all__ = [
    "PredictiveChecks",
    "Samples",
    "arithmetic",
    "conditional",
    "grid",
    "impute",
    "interpolate",
    "neighbours",
    "posterior",
    "predictive_checks",
    "prior",
    "several_codes",
    "traverse",
]
