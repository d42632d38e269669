"""How soon a row's conversion is known, by its features: learned from the conversions that are known by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.delay.curve import Floats
from whence.delay.rows import Rows

LEAST = 300
"""Labels of each class below which an auxiliary model is not fitted, and the maturity curve answers instead."""
ROUNDS = 100
PACE_ROUNDS = 60
"""Of the model of speed, which has only conversions to learn from."""
AUXILIARY: Mapping[str, Any] = {
    "objective": "binary",
    "num_leaves": 4,
    "learning_rate": 0.1,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.5,
    "lambda_l2": 5.0,
    "cat_smooth": 50.0,
    "cat_l2": 50.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
"""Parameters of the small models; shallow, as they are fitted on what little is known."""
SEEN_TO = 0.97
"""The part of a curve's conversions that its clock counts; the last ones' hazard would be infinite."""
LEAST_NEWS = 0.01
"""A row's least curvature: a fresh one tells nothing of speed, and LightGBM needs more than nothing."""


def known_by_age(rows: Rows) -> Floats:
    """For each row the chance that its conversion, if it brings one, is known by its age; 1 for a ripe row.

    The conversions that are known are the quick ones, so each is taken as drawn from those that its watch could see.
    Its hazard is proportional to that of all rows, whose clock is the maturity curve: the features' part, its logarithm,
    is what a small LightGBM learns by that truncated likelihood. Where conversions are few, the curve itself answers.

    After Cox (1972) for proportional hazards, and Chapelle: Modeling delayed feedback in display advertising (KDD 2014).
    """
    came = np.flatnonzero(rows.label > 0)
    if len(came) < LEAST:
        return np.asarray(np.where(rows.ripe, 1.0, rows.known_by_curve()))
    seen = np.minimum(rows.elapsed[came], rows.window)
    pace = _pace(rows, came, _clock(rows, rows.delay[came], halfway=True), _clock(rows, seen))
    known = np.expm1(-_clock(rows, rows.elapsed) * pace) / np.expm1(-_clock(rows, np.array([rows.window])) * pace)
    return np.asarray(np.where(rows.ripe, 1.0, known))


def learned(rows: Rows, x: Floats, label: npt.NDArray[Any], weight: Floats | None = None) -> Callable[[Floats], Floats]:
    """A small auxiliary model of these labels: it gives the log-odds of other rows."""
    return _boosted(rows, x, label.astype(np.float64), weight, AUXILIARY, ROUNDS)


def _clock(rows: Rows, age: Floats, *, halfway: bool = False) -> Floats:
    """The cumulative hazard of all conversions by an age; `halfway` up the step where the age is itself one of the curve's."""
    by = -np.log1p(-SEEN_TO * rows.curve.known_by(age))
    if not halfway:
        return np.asarray(by)
    return np.asarray((by - np.log1p(-SEEN_TO * rows.curve.known_by(np.nextafter(age, 0)))) / 2)


def _pace(rows: Rows, came: npt.NDArray[np.intp], at: Floats, seen: Floats) -> Floats:
    """How many times the usual hazard each row has, by a model of conversions at `at` among those that `seen` would show."""

    def gradient(slowness: Floats, _: object) -> tuple[Floats, Floats]:
        pace = np.exp(-slowness)
        reach = np.clip(np.maximum(seen, at) * pace, 1e-6, 50)
        missed = reach / np.expm1(reach)
        news = 1 - missed**2 * np.exp(reach)  # the Fisher information, which is never negative
        return 1 - at * pace - missed, np.maximum(news, LEAST_NEWS)

    slowness = _boosted(rows, rows.features[came], np.zeros(len(came)), None, {**AUXILIARY, "objective": gradient}, PACE_ROUNDS)
    return np.asarray(np.exp(-slowness(rows.features)))


def _boosted(
    rows: Rows, x: Floats, label: Floats, weight: Floats | None, parameters: Mapping[str, Any], rounds: int
) -> Callable[[Floats], Floats]:
    import lightgbm

    data = lightgbm.Dataset(x, label, weight=weight, categorical_feature=list(rows.categories), params={"verbosity": -1})
    booster = lightgbm.train({**parameters, "seed": rows.seed, "num_threads": rows.threads}, data, num_boost_round=rounds)

    def raw(at: Floats) -> Floats:
        return np.asarray(booster.predict(at, raw_score=True, num_threads=rows.threads), dtype=np.float64)

    return raw
