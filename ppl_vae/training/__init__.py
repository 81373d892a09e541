"""Fitting a pair: the loop, what it has come to, what is saved of it, and how it goes on from there."""

from ppl_vae.training.fitting import FitConfig, fit, objective_of

__all__ = ["FitConfig", "fit", "objective_of"]
