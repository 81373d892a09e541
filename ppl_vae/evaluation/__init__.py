"""Numbers about a trained pair, each with its standard error and protocol."""

from ppl_vae.evaluation.bounds import ElboParts, elbo, importance_bound
from ppl_vae.evaluation.calibration import Calibration, calibrate, simulate
from ppl_vae.evaluation.estimate import Estimate, Protocol
from ppl_vae.evaluation.log_weights import log_weights

__all__ = [
    "Calibration",
    "ElboParts",
    "Estimate",
    "Protocol",
    "calibrate",
    "elbo",
    "importance_bound",
    "log_weights",
    "simulate",
]
