"""One optimisation step of SVI."""

from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.optimizer import OptimizerConfig, learning_rate_at, make_optimizer

__all__ = ["EagerStep", "OptimizerConfig", "learning_rate_at", "make_optimizer"]
