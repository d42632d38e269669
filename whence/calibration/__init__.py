"""Scores turned into probabilities that keep their order and mean what they say."""

from whence.calibration.calibrator import FLOOR, KINDS, CalibrationError, Calibrator
from whence.calibration.fields import Fields
from whence.calibration.fitting import fit
from whence.calibration.prior import corrected, moved

__all__ = ["FLOOR", "KINDS", "CalibrationError", "Calibrator", "Fields", "corrected", "fit", "moved"]
