"""What calibration raises."""


class CalibrationError(ValueError):
    """Scores and labels that no calibrator can be fitted to, or fields that a calibrator cannot read."""
