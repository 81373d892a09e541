"""One optimisation step of SVI: eager, or traced."""

from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.engine import Chosen, choose_step
from ppl_vae.svi.optimizer import OptimizerConfig, PairOptimizer
from ppl_vae.svi.traced import TracedStep

__all__ = ["Chosen", "EagerStep", "OptimizerConfig", "PairOptimizer", "TracedStep", "choose_step"]
