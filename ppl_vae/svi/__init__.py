"""One optimisation step of SVI."""

from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.optimizer import OptimizerConfig, PairOptimizer

__all__ = ["EagerStep", "OptimizerConfig", "PairOptimizer"]
