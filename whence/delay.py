"""Labels that are not ripe yet: which they are, how they ripen, and what weight makes up for those still to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CLIP = 10.0
"""No label counts more often than this; a rare late label must not carry the whole fit."""
LEAST = 300
"""Labels of each class below which an auxiliary model is not fitted, and the maturity curve answers instead."""
AUXILIARY = {
    "objective": "binary",
    "num_leaves": 8,
    "learning_rate": 0.1,
    "min_data_in_leaf": 40,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 60


def is_ripe(elapsed: npt.ArrayLike, window: float) -> Bools:
    """Whether a label can change no more: its whole window has passed. Both in the same unit, such as days.

    >>> is_ripe([2.9, 3.0], window=3.0).tolist()
    [False, True]
    """
    return np.asarray(np.asarray(elapsed, dtype=np.float64) >= window)


@dataclass(frozen=True)
class MaturityCurve:
    """Of the conversions that a window will bring, the share that is known by each age; 0 at 0 and 1 at the window's end."""

    window: float
    ages: Floats
    shares: Floats
    rate: float
    """The share of rows that convert within the window."""

    def known_by(self, age: npt.ArrayLike) -> Floats:
        """The share known by an age: a step function, right-continuous."""
        at = np.asarray(age, dtype=np.float64)
        steps = np.concatenate([[0.0], self.shares])
        share = steps[np.searchsorted(self.ages, at, side="right")]
        return np.asarray(np.where(at >= self.window, 1.0, share))


def maturity_curve(elapsed: npt.ArrayLike, delay: npt.ArrayLike, window: float) -> MaturityCurve:
    """Kaplan and Meier's curve over rows that were each watched for `elapsed`; `delay` is NaN where nothing came.

    Rows that have not converted are censored at the end of their watch, or of the window. A mean of the seen
    delays would be too short, since long ones are not in yet.

    >>> curve = maturity_curve([4.0, 4.0, 4.0, 4.0], [1.0, 3.0, float("nan"), float("nan")], window=4.0)
    >>> curve.known_by([0.5, 1.0, 3.5]).tolist()
    [0.0, 0.5, 1.0]
    """
    watched, came = _watch(elapsed, delay, window)
    is_event = ~np.isnan(came)
    time = np.where(is_event, came, np.minimum(watched, window))
    ages, events = np.unique(time[is_event], return_counts=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), ages, side="left")
    survival = np.cumprod(1 - events / np.maximum(at_risk, 1))
    rate = 1 - float(survival[-1]) if len(survival) else 0.0
    shares = np.asarray((1 - survival) / (rate or 1.0), dtype=np.float64)
    return MaturityCurve(window, ages.astype(np.float64), shares, rate)


def fsiw_weights(
    features: npt.ArrayLike,
    elapsed: npt.ArrayLike,
    delay: npt.ArrayLike,
    window: float,
    *,
    tau: float | None = None,
    categories: tuple[int, ...] = (),
    seed: int = 7,
    threads: int = 2,
) -> Floats:
    """A weight for each row, so that labels as seen now train as the final ones would.

    `features` is n × k; `elapsed` the time since each row happened; `delay` the time until its conversion was
    known, NaN while there is none; all in one unit. A conversion that is known stands for those of its kind still
    to come and counts 1 / P(known by now | it converts); a row without one counts 1 − P(it will yet convert).
    The two chances come from two small models that learned what became of the rows when the deadline was set `tau`
    ago (the window by default, less when the history is short), so nobody has to wait. Ripe rows count 1.

    Yasui, Morishita, Fujita, Shibata: A feedback shift correction in predicting conversion rates under delayed
    feedback (WWW 2020).
    """
    x = np.asarray(features, dtype=np.float64)
    watched, came = _watch(elapsed, delay, window)
    if not len(watched) == len(came) == len(x):
        raise ValueError(f"{len(x)} rows, {len(watched)} watches and {len(came)} delays came. Give one of each a row.")
    if is_ripe(watched, window).all():
        return np.ones(len(x))
    back = min(window, float(watched.max()) / 2) if tau is None else tau
    curve = maturity_curve(watched, came, window)
    earlier = watched - back
    had_happened, had_come, has_come = earlier > 0, came <= earlier, ~np.isnan(came)
    parameters = {**AUXILIARY, "seed": seed, "num_threads": threads}

    def learn(rows: Bools, label: Bools, fallback: Floats) -> Floats:
        if min(int(label[rows].sum()), int((~label[rows]).sum())) < LEAST:
            return fallback
        seen = np.column_stack([x, np.maximum(earlier, 0)])
        return _predict(parameters, seen[rows], label[rows], np.column_stack([x, watched]), categories)

    known = curve.known_by(watched)
    late = curve.rate * (1 - known) / np.maximum(1 - curve.rate * known, 1e-9)
    known_by_now = learn(had_happened & has_come, had_come, known)
    will_yet = learn(had_happened & ~had_come, has_come, late)
    weight = np.where(has_come, 1 / np.maximum(known_by_now, 1 / CLIP), 1 - will_yet)
    return np.asarray(np.where(is_ripe(watched, window), 1.0, weight))


def _watch(elapsed: npt.ArrayLike, delay: npt.ArrayLike, window: float) -> tuple[Floats, Floats]:
    """Both as floats; conversions outside the window, or not known yet, are taken as not there."""
    watched, came = np.asarray(elapsed, dtype=np.float64), np.asarray(delay, dtype=np.float64)
    if (watched < 0).any():
        raise ValueError(f"A row was watched for {watched.min():g}: it happens after now. Cut the rows at now first.")
    return watched, np.where((came <= window) & (came <= watched), came, np.nan)


def _predict(parameters: dict[str, Any], x: Floats, label: Bools, at: Floats, categories: tuple[int, ...]) -> Floats:
    import lightgbm

    data = lightgbm.Dataset(x, label.astype(np.float64), categorical_feature=list(categories), params={"verbosity": -1})
    booster = lightgbm.train(parameters, data, num_boost_round=ROUNDS)
    return np.asarray(booster.predict(at, num_threads=parameters["num_threads"]), dtype=np.float64)
