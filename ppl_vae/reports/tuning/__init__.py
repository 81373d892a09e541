"""A study of settings: what is searched, how it is gone through, and what it has found."""

from ppl_vae.reports.tuning.study import run_study, tune
from ppl_vae.reports.tuning.terms import TuneConfig

__all__ = ["TuneConfig", "run_study", "tune"]
