"""One optimisation step of SVI: eager, or traced."""

from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.engine import Chosen, Engine, choose_step
from ppl_vae.svi.optimizer import OptimizerConfig, PairOptimizer
from ppl_vae.svi.traced import TracedStep

__all__ = ["Chosen", "EagerStep", "Engine", "OptimizerConfig", "PairOptimizer", "TracedStep", "choose_step"]
