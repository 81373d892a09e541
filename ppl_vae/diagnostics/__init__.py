"""What can be wrong with a pair: idle units, holes in the aggregate posterior, modes left out, calibration."""

from ppl_vae.diagnostics.calibrated import Calibrated, calibrate_pair
from ppl_vae.diagnostics.calibration import Calibration, calibrate
from ppl_vae.diagnostics.datatree import to_datatree
from ppl_vae.diagnostics.diagnosis import Diagnostics, diagnose
from ppl_vae.diagnostics.evaluation import Evaluation, evaluate

__all__ = [
    "Calibrated",
    "Calibration",
    "Diagnostics",
    "Evaluation",
    "calibrate",
    "calibrate_pair",
    "diagnose",
    "evaluate",
    "to_datatree",
]
