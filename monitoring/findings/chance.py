"""What chance alone explains: tails as heavy as clean days have them, two of three days, and a whole grid of series at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RATE = 0.005
"""Of the days on which nothing happened, the share on which the grid may still say something (Benjamini–Hochberg's q)."""
TAIL_SHARE, MOST_IN_TAIL = 0.05, 300
"""The tail is fitted to this share of clean distances, or to so many."""
START, SHAPE, WEIGHT = 2.0, 0.25, 30
"""Before any clean day is known: where the tail starts and how heavy it is, as if so many distances had said it."""


@dataclass(frozen=True)
class Tail:
    """How rare large distances are on clean days: beyond `start`, a share of `share · (u / start)^(-1/shape)`."""

    start: float
    share: float
    shape: float

    def p(self, sigmas: float) -> float:
        """The chance of a distance at least as large on a clean day; 1 below the tail, where nothing is to be found.

        Never less than a normal's, for the tail is that of all series together, and many of these hardly ever move.

        >>> round(Tail(2.0, 0.05, 0.25).p(4.0), 6)
        0.003125
        """
        if sigmas <= self.start:
            return 1.0
        return max(self.share * math.exp(-math.log(sigmas / self.start) / self.shape), math.erfc(sigmas / math.sqrt(2)))


def tail(distances: Iterable[float]) -> Tail:
    """The tail of clean days' distances, by Hill's estimator on the largest of them.

    A normal would be believed too readily: a day of heavy tails is no alarm. With few distances known, they count
    together with WEIGHT made-up ones of a tail that is heavier than a normal's.

    *Hill, A simple general approach to inference about the tail of a distribution, Annals of Statistics 3 (1975).*
    """
    known = np.sort(np.abs(np.fromiter(distances, dtype="float64")))[::-1]
    inside = min(math.ceil(TAIL_SHARE * len(known)), MOST_IN_TAIL)
    if not inside:
        return Tail(START, TAIL_SHARE, SHAPE)
    share = inside / len(known)
    prior = START * (TAIL_SHARE / share) ** SHAPE  # where the made-up tail has the same share beyond it
    start = (inside * known[inside - 1] + WEIGHT * prior) / (inside + WEIGHT)
    heavy = np.log(np.maximum(known[:inside], start) / start)
    return Tail(float(start), share, float((heavy.sum() + WEIGHT * SHAPE) / (inside + WEIGHT)))


def two_of_three(chances: Sequence[float]) -> float:
    """The chance that two of three clean days are as unlike as the second most unlike of these; today is one of the two.

    `chances` are the days' own, today's last. Fewer than two days cannot say it.

    >>> round(two_of_three([1.0, 0.01, 0.01]), 6)
    0.000298
    """
    if len(chances) < 2:
        return 1.0
    second = max(chances[-1], min(chances[:-1]))
    return 3 * second**2 - 2 * second**3


def bar(chances: Sequence[float], rate: float = RATE) -> float:
    """The chance that a series must not exceed to be told, so that of those told at most a share of `rate` is told wrongly.

    *Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 57 (1995).*

    >>> bar([0.001, 0.5, 0.02, 0.9], 0.05)
    0.02
    >>> bar([0.5, 0.9], 0.05)
    0.0
    """
    passed = [p for place, p in enumerate(sorted(chances), start=1) if p <= rate * place / len(chances)]
    return passed[-1] if passed else 0.0
