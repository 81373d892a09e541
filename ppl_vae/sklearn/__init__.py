"""Pairs as scikit-learn estimators: for pipelines, grid searches and whatever else takes one."""

from ppl_vae.sklearn.estimator import VAE

__all__ = ["VAE"]
