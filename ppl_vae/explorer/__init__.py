"""The explorer: one HTML file in which a trained decoder runs, and an encoder where there is one.

``networks`` takes a network apart into layers that a browser can compute, ``convolutions`` a convolutional one,
``exploring`` a pair, whose model and guide it has to know, and ``page`` puts everything that is shown into one
self-contained file; ``js`` holds what runs in it, a file an idea.
"""

from ppl_vae.explorer.exploring import explored
from ppl_vae.explorer.networks import Activation, Dense, Layer, layers_of
from ppl_vae.explorer.page import Contents, Placement, html

__all__ = ["Activation", "Contents", "Dense", "Layer", "Placement", "explored", "html", "layers_of"]
