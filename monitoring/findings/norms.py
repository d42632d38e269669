"""What a series is expected to be today, and how far clean days are from what the others would have let one expect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from statistics import median

import numpy as np
import numpy.typing as npt

from monitoring.checks import Z95, Check
from monitoring.findings.rules import Rule

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAYS = 28
"""Clean days that an expectation is taken from, the latest ones."""
LEAST = 2
"""With fewer clean days than this nothing is expected yet."""
FEW = 4
"""With fewer clean days than this their spread is unknown, and gross changes alone are told."""
WEEK, WEEKS = 7, 2
"""A season is looked for once so many weeks of clean days are there."""
GAIN = 0.8
"""The season is believed where it brings the mean distance of clean days below this share of what it was."""
SIGMA = 1.4826
"""From a median absolute deviation to the standard deviation of a normal."""


@dataclass(frozen=True)
class Norm:
    """What clean days let one expect of a series, on its rule's scale."""

    expected: float
    """In the measure's own unit."""
    middle: float
    spread: float
    """The standard deviation from day to day, with what so few days leave open."""
    days: int
    usual: Floats
    """How many standard errors each clean day was from what the others let one expect: what chance alone does."""


def norm(rule: Rule, today: date, n: int, before: Sequence[tuple[date, Check]]) -> Norm | None:
    """The norm of a series on a day, from its clean days before; None with fewer than LEAST of them.

    `n` are the rows behind today's value. Where two weeks show a season of the week, it is taken out.
    """
    known = [(day, check) for day, check in before if check.value is not None and math.isfinite(check.value)][-DAYS:]
    if len(known) < LEAST:
        return None
    values = np.array([on_scale(rule, check.value or 0.0, check.n) for _, check in known])
    weekdays = [day.weekday() for day, _ in known]
    season = _season(values, weekdays)
    flat = values - np.array([season.get(weekday, 0.0) for weekday in weekdays])
    apart = values - _season_of_others(values, weekdays) if season else flat
    centre = median(flat.tolist())
    middle = centre + season.get(today.weekday(), 0.0)
    spread = max(SIGMA * median(np.abs(flat - centre).tolist()), rule.floor)
    checks = [check for _, check in known]
    usual = _left_out(rule, flat, apart, np.array([noise(rule, check, _back(rule, middle), checks) for check in checks]))
    return Norm(_back(rule, middle), middle, spread * math.sqrt(1 + 1 / len(flat)), len(flat), usual)


def error(rule: Rule, check: Check, found: Norm, before: Iterable[Check]) -> float:
    """The standard error of a day's value around its norm: from day to day, and of so few rows."""
    return math.hypot(found.spread, noise(rule, check, found.expected, list(before)))


def on_scale(rule: Rule, value: float, n: int) -> float:
    """A value on the rule's scale; half an event stands for none where a logarithm is taken."""
    if rule.scale != "ratio":
        return value
    return math.log(max(value, 0.5 / max(n, 1), 1e-9))


def noise(rule: Rule, check: Check, expected: float, before: Sequence[Check]) -> float:
    """The standard error that a day of so few rows has by itself, on the rule's scale."""
    n = max(check.n, 1)
    if rule.counts:
        return _count_noise(check.value or 0.0, max(expected, 1.0))
    if rule.scale == "share" and not rule.resampled and 0 <= expected <= 1 and 0 <= (check.value or 0) <= 1:
        p = (expected * n + 1) / (n + 2)  # never 0: one odd row of ten is no 10 % for sure
        return math.sqrt(p * (1 - p) / n)
    # few rows tell little of their own spread, so that of earlier days is believed when it is larger
    spread = median([_spread(earlier) for earlier in before if earlier.n > 1] or [0.0])
    own = max(_spread(check), spread) / math.sqrt(n)
    return own / max(abs(check.value or 0.0), 1e-9) if rule.scale == "ratio" else own


def _count_noise(came: float, expected: float) -> float:
    """The standard error of a count's logarithm by which it is as far off as chance has it.

    A logarithm takes few events for a larger surprise than they are: 1 where 4 are expected is nothing. So the distance
    is measured by the Poisson deviance, half an event nearer, and told on the scale of the logarithm.
    """
    nearer = came + math.copysign(min(0.5, abs(expected - came)), expected - came)
    surprise = math.sqrt(2 * max(nearer * math.log(max(nearer, 1e-9) / expected) - nearer + expected, 0.0))
    distance = abs(math.log(max(came, 0.5) / expected))
    return distance / surprise if surprise > 1e-3 else 1 / math.sqrt(expected)


def _back(rule: Rule, middle: float) -> float:
    return math.exp(middle) if rule.scale == "ratio" else middle


def _spread(check: Check) -> float:
    """The standard deviation of the rows behind a mean, from its interval."""
    if check.low is None or check.high is None:
        return 0.0
    return (check.high - check.low) / 2 / Z95 * math.sqrt(max(check.n, 1))


def _season(values: Floats, weekdays: Sequence[int]) -> Mapping[int, float]:
    """How far each weekday is from the middle; nothing where days do not become more alike by it."""
    if len(values) < WEEK * WEEKS or len(set(weekdays)) < WEEK:
        return {}
    off = values - median(values.tolist())
    apart = off - _season_of_others(values, weekdays)
    if np.abs(apart).mean() >= GAIN * np.abs(off).mean():
        return {}
    return {weekday: median(off[np.array(weekdays) == weekday].tolist()) for weekday in range(WEEK)}


def _season_of_others(values: Floats, weekdays: Sequence[int]) -> Floats:
    """For each day the season that the others of its weekday tell, so that a season that is none does not gain."""
    off = values - median(values.tolist())
    days = np.array(weekdays)
    others = [off[(days == weekday) & (np.arange(len(days)) != i)].tolist() for i, weekday in enumerate(weekdays)]
    return np.array([median(of) if of else 0.0 for of in others])


def _left_out(rule: Rule, values: Floats, apart: Floats, noises: Floats) -> Floats:
    """Each day's distance from the others' middle, in the standard errors that these would have given it.

    `apart` are the days' values less the season that the others of their weekday tell.
    """
    if len(values) < FEW:
        return np.empty(0)
    others = values[_others(len(values))]
    middle = np.median(others, axis=1)
    spread = SIGMA * np.median(np.abs(others - middle[:, None]), axis=1)
    spread = np.maximum(spread, rule.floor) * math.sqrt(1 + 1 / (len(values) - 1))
    return np.asarray((apart - middle) / np.maximum(np.hypot(spread, noises), 1e-12))


@lru_cache(maxsize=DAYS + 1)
def _others(count: int) -> Ints:
    """For each of so many places the places without it."""
    every = np.tile(np.arange(count), (count, 1))
    return every[~np.eye(count, dtype=bool)].reshape(count, count - 1)
