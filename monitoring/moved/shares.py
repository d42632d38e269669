"""A change shared out among its causes: Shapley's shares over every mixture of what was on one day and what is on another.

A mixture names the factors that are as on the second day; the others are as on the first. The share of a factor is what it
changes when its turn comes, over all orders of turns, each as likely as any other: the shares add up to the whole change, a
factor that changes nothing in any mixture has 0, and two that do the same have the same. After Shapley: A value for n-person
games (1953), here over factors instead of players.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.measures.intervals import SEED, clusters_of, poisson_weights

DATA, FEATURES, IDENTITY, MODEL, CALIBRATOR, POLICY = "data", "features", "identity", "model", "calibrator", "policy"
FACTORS = (DATA, FEATURES, IDENTITY, MODEL, CALIBRATOR, POLICY)
WHOLE = "the whole change"

Mixture = frozenset[str]
"""The factors that are as on the second day."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """A measure that is one sum over another, with the rows behind it, so that people can be drawn anew.

    `under` is None for an amount, which is a sum alone.
    """

    people: npt.NDArray[Any]
    """Who each row counts for; the same name on both days is the same person."""
    over: Floats
    under: Floats | None = None

    @property
    def value(self) -> float:
        """The measure; NaN where there is nothing to measure."""
        top = float(self.over.sum())
        if self.under is None:
            return top
        bottom = float(self.under.sum())
        return top / bottom if bottom else float("nan")


def mixtures(changed: Sequence[str]) -> list[Mixture]:
    """Every mixture of the factors that changed, from none of them to all.

    >>> [sorted(each) for each in mixtures(["data", "model"])]
    [[], ['data'], ['model'], ['data', 'model']]
    """
    return [frozenset(some) for size in range(len(changed) + 1) for some in combinations(changed, size)]


def shapley(changed: Sequence[str], value: Callable[[Mixture], Any]) -> dict[str, Any]:
    """Each factor's share of value(all changed) − value(none); values are numbers, or arrays of them.

    >>> shapley(["data", "model"], lambda mixture: len(mixture) ** 2)
    {'data': 2.0, 'model': 2.0}
    """
    found = {}
    for factor in changed:
        others = [each for each in changed if each != factor]
        found[factor] = sum(
            _weight(len(some), len(changed)) * (value(some | {factor}) - value(some)) for some in mixtures(others)
        )
    return found


def intervals(changed: Sequence[str], sums: Mapping[Mixture, Sums]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each factor's share, and of the WHOLE change: people drawn anew, the same ones in every mixture.

    `sums` has all mixtures of `changed`.
    """
    everybody = np.concatenate([np.asarray(each.people, dtype=object) for each in sums.values()])
    codes, count = clusters_of(everybody, len(everybody))
    cuts = np.cumsum([len(each.people) for each in sums.values()])[:-1]
    of = dict(zip(sums, np.split(codes, cuts), strict=True))
    tops = {mixture: np.bincount(of[mixture], each.over, count) for mixture, each in sums.items()}
    bottoms = {mixture: np.bincount(of[mixture], each.under, count) for mixture, each in sums.items() if each.under is not None}
    drawn: dict[Mixture, list[Floats]] = {mixture: [] for mixture in sums}
    for weights in poisson_weights(count, SEED):
        for mixture, top in tops.items():
            with np.errstate(invalid="ignore", divide="ignore"):  # a draw may have nobody who counts below
                value = weights @ top / (weights @ bottoms[mixture]) if mixture in bottoms else weights @ top
            drawn[mixture].append(np.asarray(value, dtype=np.float64))
    values = {mixture: np.concatenate(parts) for mixture, parts in drawn.items()}
    shares = {**shapley(changed, values.__getitem__), WHOLE: values[frozenset(changed)] - values[frozenset()]}
    return {factor: _ends(np.asarray(each, dtype=np.float64)) for factor, each in shares.items()}


def _weight(before: int, factors: int) -> float:
    """How likely just these `before` factors had their turn when the next one comes."""
    return factorial(before) * factorial(factors - before - 1) / factorial(factors)


def _ends(drawn: Floats) -> tuple[float, float]:
    there = drawn[np.isfinite(drawn)]
    if not len(there):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [0.025, 0.975])
    return float(low), float(high)
