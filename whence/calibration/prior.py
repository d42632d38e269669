"""Puts the level right after some of the negatives were left out of what a calibrator was fitted on."""

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
    shift = float(np.log(kept))
    base = _moved(calibrator.base_rate, shift)
    if calibrator.kind not in STEPS:
        slopes, offset = calibrator.parameters[:-1], calibrator.parameters[-1]
        return replace(calibrator, base_rate=base, parameters=(*slopes, offset + shift))
    low, high = (tuple(_moved(value, shift) for value in each) for each in calibrator.bounds)
    return replace(calibrator, base_rate=base, levels=tuple(level + shift for level in calibrator.levels), bounds=(low, high))


def _moved(probability: float, shift: float) -> float:
    """The probability with its log-odds shifted; 0 and 1 stay."""
    if not FLOOR < probability < 1 - FLOOR:
        return probability
    return float(expit(logit(probability) + shift))
