"""Are the probabilities right on labels that are still ripening? What was seen so far, against what should have been seen by now.

A conversion that will come is known by an age with the chance that the maturity curve says. So a decision of that age should
have brought `probability · known` conversions until now, and each seen stands for `1 / known` of those to come: divided by
it, the losses of young decisions are right on average (inverse probability of censoring weights), only less sure.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring.checks import Check
from monitoring.quality.ripe import LEAST_ROWS, taken_of, with_chance, worst_segments
from whence import measures
from whence.delay import MaturityCurve
from whence.measures import Measure

Floats = npt.NDArray[np.float64]

LEAST_KNOWN = 0.2
"""Decisions so young that less than this of their conversions are known are left out: one seen would stand for five."""
LEAST_CONVERSIONS = 30
"""With fewer known conversions there is no curve to correct by."""
FLOOR = 1e-12
"""Probabilities are not taken for surer than this."""


def corrected_checks(model: str, rows: pd.DataFrame, curve: MaturityCurve) -> list[Check]:
    """Observed over expected, Brier, log-loss, calibration error and the worst segments, corrected for what is still to come.

    `rows` have probability, label (1 where a conversion is known by now), age (in the curve's unit) and cluster, and a column
    for each field whose worst segment is told. Metrics begin with `corrected_`.
    """
    rows = rows[curve.known_by(rows["age"]) >= LEAST_KNOWN]
    age = rows["age"].to_numpy(np.float64)
    if len(rows) < LEAST_ROWS or curve.conversions < LEAST_CONVERSIONS:
        return []
    seen, said, cluster = rows["label"].to_numpy(np.float64), rows["probability"].to_numpy(np.float64), rows["cluster"].to_numpy()
    due, whole = said * curve.known_by(age), seen / curve.known_by(age)
    ratio = with_chance(measures.observed_over_expected(seen, due, cluster), seen, due)
    taken = {
        "observed_over_expected": _less_sure(ratio, _doubt(curve, said, age)),
        "brier": measures.mean(said**2 + whole * (1 - 2 * said), cluster),
        "log_loss": measures.mean(_log_losses(whole, said), cluster),
        "calibration_error": measures.calibration_error(whole, said, cluster),
    }
    found = [taken_of(model, f"corrected_{name}", measure) for name, measure in taken.items()]
    return found + worst_segments(model, "corrected_segment_observed_over_expected", rows.drop(columns="age"), seen, due)


def _log_losses(whole: Floats, said: Floats) -> Floats:
    """The loss of a label whose mean is `whole`: linear in it, so that it may be above 1."""
    p = np.clip(said, FLOOR, 1 - FLOOR)
    return np.asarray(-(whole * np.log(p) + (1 - whole) * np.log1p(-p)))


def _doubt(curve: MaturityCurve, said: Floats, age: Floats) -> float:
    """How far the expected number may be off by the curve alone, as the logarithm of half its interval."""
    low, high = ((said * bound).sum() for bound in curve.interval(age))
    return math.log(high / low) / 2 if low > 0 else 0.0


def _less_sure(ratio: Measure, doubt: float) -> Measure:
    """The ratio with the curve's own doubt added to its interval, both on a logarithmic scale."""
    if not (ratio.value > 0 and ratio.low > 0):
        return ratio
    below, above = (math.hypot(math.log(ratio.value / ratio.low), doubt), math.hypot(math.log(ratio.high / ratio.value), doubt))
    return Measure(ratio.value, ratio.value / math.exp(below), ratio.value * math.exp(above), ratio.n)
