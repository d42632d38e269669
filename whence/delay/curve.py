"""How labels ripen: of the conversions that a window will bring, the share that is known by each age, with its doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PRIOR = 50.0
"""Conversions' worth of the whole's curve that a segment's own is drawn to."""


def is_ripe(elapsed: npt.ArrayLike, window: float) -> Bools:
    """Whether a label can change no more: its whole window has passed. Both in the same unit, such as days.

    >>> is_ripe([2.9, 3.0], window=3.0).tolist()
    [False, True]
    """
    return np.asarray(np.asarray(elapsed, dtype=np.float64) >= window)


@dataclass(frozen=True)
class MaturityCurve:
    """Of the conversions that a window will bring, the share that is known by each age; 0 at 0 and 1 at the window's end.

    It cannot see beyond the longest watch: where no row was watched for the whole window, it speaks of what came so far.
    """

    window: float
    ages: Floats
    shares: Floats
    rate: float
    """The share of rows that convert within the window."""
    errors: Floats
    """The standard error of each share, after Greenwood, as if rows were independent."""
    conversions: int = 0
    """How many known conversions it rests on."""
    log_error: float = 0.0
    """The standard error of log(1 − rate), after Greenwood."""

    def known_by(self, age: npt.ArrayLike) -> Floats:
        """The share known by an age: a step function, right-continuous."""
        return self._at(age, self.shares, 1.0)

    def late(self, age: npt.ArrayLike) -> Floats:
        """The chance that a row without a conversion at this age gets one yet."""
        return late(np.asarray(self.rate), self.known_by(age))

    def interval(self, age: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper bound of `known_by`, inside 0 to 1 as it is taken over the log-odds."""
        share, error = self.known_by(age), self._at(age, self.errors, 0.0)
        inside = (share > 0) & (share < 1)
        odds = np.where(inside, share / np.where(inside, 1 - share, 1.0), 1.0)
        reach = NormalDist().inv_cdf((1 + level) / 2) * error / np.where(inside, share * (1 - share), 1.0)
        low, high = (odds * np.exp(sign * reach) for sign in (-1, 1))
        return np.where(inside, low / (1 + low), share), np.where(inside, high / (1 + high), share)

    def rate_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Lower and upper bound of the rate, over log(−log(1 − rate)) so that they stay inside 0 to 1."""
        if not 0 < self.rate < 1:
            return self.rate, self.rate
        stays = math.log1p(-self.rate)
        reach = math.exp(NormalDist().inv_cdf((1 + level) / 2) * self.log_error / -stays)
        return -math.expm1(stays / reach), -math.expm1(stays * reach)

    def _at(self, age: npt.ArrayLike, steps: Floats, end: float) -> Floats:
        at = np.asarray(age, dtype=np.float64)
        found = np.concatenate([[0.0], steps])[np.searchsorted(self.ages, at, side="right")]
        return np.asarray(np.where(at >= self.window, end, found))


def late(rate: Floats, known: Floats) -> Floats:
    """The chance of a conversion yet: a row converts at this rate, this share of such would be known, and none is.

    >>> float(late(np.asarray(0.5), np.asarray(0.5)))
    0.3333333333333333
    """
    return np.asarray(rate * (1 - known) / np.maximum(1 - rate * known, 1e-9))


def maturity_curve(elapsed: npt.ArrayLike, delay: npt.ArrayLike, window: float) -> MaturityCurve:
    """Kaplan and Meier's curve over rows that were each watched for `elapsed`; `delay` is NaN where nothing came.

    Rows that have not converted are censored at the end of their watch, or of the window. A mean of the seen
    delays would be too short, since long ones are not in yet.

    >>> curve = maturity_curve([4.0, 4.0, 4.0, 4.0], [1.0, 3.0, float("nan"), float("nan")], window=4.0)
    >>> curve.known_by([0.5, 1.0, 3.5]).tolist()
    [0.0, 0.5, 1.0]
    """
    watched, came = watch(elapsed, delay, window)
    is_event = ~np.isnan(came)
    time = np.where(is_event, came, np.minimum(watched, window))
    ages, events = np.unique(time[is_event], return_counts=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), ages, side="left")
    survival = np.asarray(np.cumprod(1 - events / np.maximum(at_risk, 1)), dtype=np.float64)
    rate = 1 - float(survival[-1]) if len(survival) else 0.0
    shares = np.asarray((1 - survival) / (rate or 1.0), dtype=np.float64)
    steps = _steps(events, at_risk)
    errors, log_error = _greenwood(survival, steps), float(np.sqrt(steps.sum()))
    return MaturityCurve(window, ages.astype(np.float64), shares, rate, errors, int(is_event.sum()), log_error)


def curves_by_segment(
    elapsed: npt.ArrayLike, delay: npt.ArrayLike, segment: npt.ArrayLike, window: float, prior: float = PRIOR
) -> dict[Any, MaturityCurve]:
    """A curve for each segment, drawn to the whole's as if that told of `prior` more conversions of the segment.

    >>> one = curves_by_segment([4.0] * 4, [1.0, 3.0, 2.0, float("nan")], ["a", "a", "b", "b"], 4.0, prior=2.0)
    >>> one["a"].known_by([1.0, 2.0]).round(3).tolist()  # its own: 1/2 and 1/2; the whole: 1/3 and 2/3
    [0.417, 0.583]
    """
    watched, came = watch(elapsed, delay, window)
    names = np.asarray(segment)
    whole = maturity_curve(watched, came, window)
    return {
        name: _drawn(maturity_curve(watched[rows], came[rows], window), whole, prior, int(rows.sum()), len(names))
        for name in np.unique(names)
        for rows in [names == name]
    }


def watch(elapsed: npt.ArrayLike, delay: npt.ArrayLike, window: float) -> tuple[Floats, Floats]:
    """Both as floats; conversions outside the window, or not known yet, are taken as not there."""
    watched, came = np.asarray(elapsed, dtype=np.float64), np.asarray(delay, dtype=np.float64)
    if len(watched) != len(came):
        raise ValueError(f"{len(watched)} watches and {len(came)} delays came. Give one of each a row.")
    if (watched < 0).any():
        raise ValueError(f"A row was watched for {watched.min():g}: it happens after now. Cut the rows at now first.")
    return watched, np.where((came <= window) & (came <= watched), came, np.nan)


def _drawn(own: MaturityCurve, whole: MaturityCurve, prior: float, rows: int, of: int) -> MaturityCurve:
    """A mean of the two by conversions; the rate is drawn by as many rows as bring that many conversions on the whole."""
    weight = own.conversions / (own.conversions + prior) if own.conversions else 0.0
    shares = weight * own.known_by(whole.ages) + (1 - weight) * whole.shares
    # a segment is part of the whole, so their errors go together, and adding them is the safe side
    errors = weight * own._at(whole.ages, own.errors, 0.0) + (1 - weight) * whole.errors
    borrowed = prior * of / max(whole.conversions, 1)
    rate = (rows * own.rate + borrowed * whole.rate) / (rows + borrowed)
    log_error = (rows * own.log_error + borrowed * whole.log_error) / (rows + borrowed)
    return MaturityCurve(whole.window, whole.ages, shares, rate, errors, own.conversions, log_error)


def _steps(events: npt.NDArray[Any], at_risk: npt.NDArray[Any]) -> Floats:
    """What each age adds to the variance of the logarithm of the survival."""
    left = np.maximum(at_risk - events, 0)
    return np.where(left > 0, events / np.maximum(at_risk * left, 1), 0.0)


def _greenwood(survival: Floats, steps: Floats) -> Floats:
    """The standard error of (1 − S(age)) / (1 − S(end)): what comes until an age and what comes after err independently."""
    if not len(survival) or survival[-1] >= 1:
        return np.zeros(len(survival))
    until = np.cumsum(steps)
    after = until[-1] - until
    converted = 1 - survival[-1]
    shares = (1 - survival) / converted
    # derivatives by the logarithm of S(age), and of S(end) / S(age)
    by_until = (shares * survival[-1] - survival) / converted
    by_after = shares * survival[-1] / converted
    return np.asarray(np.sqrt(by_until**2 * until + by_after**2 * after))
