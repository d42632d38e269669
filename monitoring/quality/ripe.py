"""Are the probabilities still right? Decisions whose outcome is known by now, measured with intervals over people."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring import checks
from monitoring.checks import Check
from whence import measures
from whence.measures import Measure

LEAST_ROWS = 30
"""Fewer labelled decisions than this are not measured."""


def calibration_checks(model: str, rows: pd.DataFrame) -> list[Check]:
    """Brier, log-loss, calibration error, observed over expected and AUC of labelled decisions, with intervals.

    `rows` have probability, label and cluster, and a column for each field whose worst segment is told.
    """
    found = [checks.count(model, "labelled", "all", len(rows))]
    if len(rows) < LEAST_ROWS:
        return found
    label, probability, cluster = rows["label"].to_numpy(), rows["probability"].to_numpy(), rows["cluster"].to_numpy()
    taken = {
        "brier": measures.brier(label, probability, cluster),
        "log_loss": measures.log_loss(label, probability, cluster),
        "calibration_error": measures.calibration_error(label, probability, cluster),
        "observed_over_expected": with_chance(measures.observed_over_expected(label, probability, cluster), label, probability),
        "roc_auc": measures.roc_auc(label, probability, cluster),
    }
    found += [taken_of(model, name, measure) for name, measure in taken.items()]
    return found + worst_segments(model, "segment_observed_over_expected", rows, label, probability)


def worst_segments(model: str, metric: str, rows: pd.DataFrame, label: npt.ArrayLike, expected: npt.ArrayLike) -> list[Check]:
    """Of each field of the rows the value whose observed over expected is off most for sure, as `channel=social`.

    The intervals hold for all values of the field at once, and a value with too few positives is none of them, so that the
    worst is not just the smallest. A field that is the same everywhere has no worst.
    """
    found = []
    for field in [name for name in rows.columns if name not in ("probability", "label", "cluster")]:
        values = rows[field].astype(object).where(rows[field].notna(), "none")
        if values.nunique() < 2:
            continue
        worst = measures.worst_segment(label, expected, values, rows["cluster"].to_numpy())
        if worst is not None:
            found.append(taken_of(model, metric, worst.ratio, f"{field}={worst.segment}"))
    return found


def with_chance(measure: Measure, label: npt.ArrayLike, expected: npt.ArrayLike) -> Measure:
    """The interval of the bootstrap or of Poisson counts, whichever is wider: few positives resample too narrowly."""
    from scipy.stats import chi2

    seen, told = float(np.sum(label)), float(np.sum(expected))
    if told <= 0:
        return measure
    low = float(chi2.ppf(0.025, 2 * seen)) / 2 if seen else 0.0
    high = float(chi2.ppf(0.975, 2 * (seen + 1))) / 2
    return Measure(measure.value, min(measure.low, low / told), max(measure.high, high / told), measure.n)


def taken_of(model: str, metric: str, measure: Measure, segment: str = "all") -> Check:
    """The measure as a check; what cannot be told has no value."""
    value, low, high = (each if math.isfinite(each) else None for each in (measure.value, measure.low, measure.high))
    return Check(model, metric, segment, value, low, high, measure.n)
