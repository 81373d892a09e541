"""Numbers about a trained pair, each with its standard error and protocol."""

from ppl_vae.evaluation.bounds import ElboParts, elbo, importance_bound
from ppl_vae.evaluation.estimate import Estimate, Protocol
from ppl_vae.evaluation.log_weights import log_weights

__all__ = ["ElboParts", "Estimate", "Protocol", "elbo", "importance_bound", "log_weights"]
