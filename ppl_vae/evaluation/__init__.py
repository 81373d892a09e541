"""Numbers about a trained pair, each with its standard error and protocol."""

from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound, reverse_annealed_bound
from ppl_vae.evaluation.bidirectional import Bidirectional, bidirectional_bounds
from ppl_vae.evaluation.bounds import ElboParts, elbo, importance_bound
from ppl_vae.evaluation.comparison import Difference, Mean, Ranking, mean_of, ranking_of
from ppl_vae.evaluation.estimators import EvaluateConfig, Evaluated, estimates
from ppl_vae.evaluation.gaps import Gaps, GapsConfig, take_apart
from ppl_vae.evaluation.local_gaps import InferenceGaps, gaps_by_family
from ppl_vae.evaluation.simulation import simulate

__all__ = [
    "AnnealingConfig",
    "Bidirectional",
    "Difference",
    "ElboParts",
    "EvaluateConfig",
    "Evaluated",
    "Gaps",
    "GapsConfig",
    "InferenceGaps",
    "Mean",
    "Ranking",
    "annealed_importance_bound",
    "bidirectional_bounds",
    "elbo",
    "estimates",
    "gaps_by_family",
    "importance_bound",
    "mean_of",
    "ranking_of",
    "reverse_annealed_bound",
    "simulate",
    "take_apart",
]
