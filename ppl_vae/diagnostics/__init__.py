"""What can be wrong with a pair: idle units, holes in the aggregate posterior, modes left out, calibration."""

from ppl_vae.diagnostics.calibration import Calibration, calibrate
from ppl_vae.diagnostics.diagnosis import Diagnostics, diagnose

__all__ = ["Calibration", "Diagnostics", "calibrate", "diagnose"]
