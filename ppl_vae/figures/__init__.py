"""Figures: arrays in, matplotlib figures out.

Every function takes what ``numpy.asarray`` takes and returns a :class:`matplotlib.figure.Figure`. None holds state,
touches pyplot or changes a global setting; :func:`save` writes a figure as PNG and SVG. Matplotlib is imported inside
the functions that draw: who asks for no picture does not wait for it.
"""

from ppl_vae.figures.blocks import blocks, labelled
from ppl_vae.figures.calibration import calibration
from ppl_vae.figures.checks import Checked, column_checks
from ppl_vae.figures.comparison import Row, comparison
from ppl_vae.figures.confusion import confusion
from ppl_vae.figures.curves import training_curves
from ppl_vae.figures.diagrams.graphical_model import graphical_model
from ppl_vae.figures.diagrams.networks import networks
from ppl_vae.figures.diagrams.reparameterisation import reparameterisation
from ppl_vae.figures.film import film_frame, film_palette, save_frame
from ppl_vae.figures.gaps import GapBar, gaps
from ppl_vae.figures.images import grid, mosaic, reconstructions, sheet
from ppl_vae.figures.latent import latent_scatter
from ppl_vae.figures.latent_holes import LatentPlane, latent_holes
from ppl_vae.figures.look.style import save
from ppl_vae.figures.posteriors import posteriors
from ppl_vae.figures.sequences import music
from ppl_vae.figures.strips import strips
from ppl_vae.figures.table import table_profiles
from ppl_vae.figures.tuning.history import trial_history
from ppl_vae.figures.tuning.settings import Searched, trial_settings
from ppl_vae.figures.units import kl_by_unit

__all__ = [
    "Checked",
    "GapBar",
    "LatentPlane",
    "Row",
    "Searched",
    "blocks",
    "calibration",
    "column_checks",
    "comparison",
    "confusion",
    "film_frame",
    "film_palette",
    "gaps",
    "graphical_model",
    "grid",
    "kl_by_unit",
    "labelled",
    "latent_holes",
    "latent_scatter",
    "mosaic",
    "music",
    "networks",
    "posteriors",
    "reconstructions",
    "reparameterisation",
    "save",
    "save_frame",
    "sheet",
    "strips",
    "table_profiles",
    "training_curves",
    "trial_history",
    "trial_settings",
]
