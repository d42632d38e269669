"""Are the probabilities still right? Decisions whose outcome is known by now, measured with intervals over people."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from monitoring import checks
from monitoring.checks import Check
from whence import measures
from whence.measures import Measure

LEAST_ROWS = 30
"""Fewer labelled decisions than this are not measured."""


def calibration_checks(model: str, rows: pd.DataFrame) -> list[Check]:
    """Brier, log-loss, calibration error and observed over expected of labelled decisions, with intervals."""
    found = [checks.count(model, "labelled", "all", len(rows))]
    if len(rows) < LEAST_ROWS:
        return found
    label, probability, cluster = rows["label"].to_numpy(), rows["probability"].to_numpy(), rows["cluster"].to_numpy()
    taken = {
        "brier": measures.brier(label, probability, cluster),
        "log_loss": measures.log_loss(label, probability, cluster),
        "calibration_error": measures.calibration_error(label, probability, cluster),
        "observed_over_expected": _with_chance(measures.observed_over_expected(label, probability, cluster), label, probability),
        "roc_auc": measures.roc_auc(label, probability, cluster),
    }
    return [*found, *(_check(model, name, measure) for name, measure in taken.items())]


def _with_chance(measure: Measure, label: np.ndarray, probability: np.ndarray) -> Measure:
    """The interval of the bootstrap or of Poisson counts, whichever is wider: few positives resample too narrowly."""
    from scipy.stats import chi2

    seen, told = float(label.sum()), float(probability.sum())
    if told <= 0:
        return measure
    low = float(chi2.ppf(0.025, 2 * seen)) / 2 if seen else 0.0
    high = float(chi2.ppf(0.975, 2 * (seen + 1))) / 2
    return Measure(measure.value, min(measure.low, low / told), max(measure.high, high / told), measure.n)


def _check(model: str, metric: str, measure: Measure) -> Check:
    value, low, high = (each if math.isfinite(each) else None for each in (measure.value, measure.low, measure.high))
    return Check(model, metric, "all", value, low, high, measure.n)
