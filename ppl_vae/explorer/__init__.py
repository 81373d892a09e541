"""The explorer: one HTML file in which a trained decoder runs, and an encoder where there is one. Arrays in, text out.

``networks`` takes a network apart into layers that a browser can compute, ``page`` puts them and everything else that
is shown into one self-contained file; ``js`` holds what runs in it, a file an idea. No particular model or guide is
known here.
"""

from ppl_vae.explorer.networks import Activation, Dense, Layer, layers_of
from ppl_vae.explorer.page import Contents, Placement, html

__all__ = ["Activation", "Contents", "Dense", "Layer", "Placement", "html", "layers_of"]
