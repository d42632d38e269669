"""Puts the level of a calibrator right: after negatives were left out of what it was fitted on, or after the world has moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from whence.calibration.calibrator import FLOOR, STEPS, Calibrator
from whence.calibration.errors import CalibrationError


def corrected(calibrator: Calibrator, kept: float) -> Calibrator:
    """The calibrator for all rows, of one that was fitted when only a share `kept` of the negatives was, at random.

    Leaving out negatives multiplies the odds by 1 / kept, for every row alike (Elkan: The foundations of cost-sensitive
    learning, 2001). Raises CalibrationError for a share outside (0, 1].

    >>> half = Calibrator("platt", 0.5, (1.0, 0.0))
    >>> float(corrected(half, 0.25).apply(0.0).round(6))
    0.2
    """
    if not 0 < kept <= 1:
        raise CalibrationError(f"The share of negatives that was kept is above 0 and at most 1; {kept:g} came.")
    return moved(calibrator, float(np.log(kept)))


def moved(calibrator: Calibrator, shift: float, stretch: float = 1.0) -> Calibrator:
    """The calibrator with its log-odds multiplied by `stretch`, above 0, and then raised by `shift`: the order of rows stays.

    The trees of a monotone_gbdt cannot be stretched, and a staircase keeps the slight tilt of its steps. Raises
    CalibrationError for what cannot be done.

    >>> plain = Calibrator("platt", 0.5, (1.0, 0.0))
    >>> moved(plain, 1.0, 0.5).parameters
    (0.5, 1.0)
    """
    if not (np.isfinite(shift) and 0 < stretch < np.inf):
        raise CalibrationError(f"Log-odds are stretched by a factor above 0; {stretch:g}, and a shift of {shift:g}, came.")
    if calibrator.trees is not None and stretch != 1:
        raise CalibrationError("The trees of a monotone_gbdt calibrator cannot be stretched. Shift it, or fit it again.")
    base = _moved(calibrator.base_rate, shift, stretch)
    if calibrator.kind not in STEPS:
        slopes, offset = calibrator.parameters[:-1], calibrator.parameters[-1]
        line = (*(slope * stretch for slope in slopes), offset * stretch + shift)
        return replace(calibrator, base_rate=base, parameters=line)
    levels = tuple(level * stretch + shift for level in calibrator.levels)
    low, high = (tuple(_moved(value, shift, stretch) for value in each) for each in calibrator.bounds)
    return replace(calibrator, base_rate=base, levels=levels, bounds=(low, high))


def _moved(probability: float, shift: float, stretch: float) -> float:
    """The probability with its log-odds moved; 0 and 1 stay."""
    if not FLOOR < probability < 1 - FLOOR:
        return probability
    return float(expit(logit(probability) * stretch + shift))
