"""Sums over people by campaign, and their intervals: few people count, some for much, and who came is chance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
TAIL = 0.025


@dataclass
class Totals:
    """What each unit (people who may be one) brings to each cell, on average over draws, and how the draws differ."""

    cells: int
    influence: Floats
    """By unit and kind of evidence: how far a unit moved what was learned; units beyond taught nothing."""
    pull: Floats
    """By kind of evidence and cell: how far the sum moves with what was learned."""
    between: Floats
    """By cell: the variance between draws."""
    _parts: list[pd.Series] = field(default_factory=list)

    @classmethod
    def none(cls, cells: int, influence: Floats | None = None) -> Totals:
        """Nothing brought yet; `influence` where something was learned from the units."""
        moved = np.zeros((0, 0)) if influence is None else influence
        return cls(cells, moved, np.zeros((moved.shape[1], cells)), np.zeros(cells))

    def add(self, units: Ints, cells: Ints, amounts: Floats) -> None:
        """Add amounts by unit and cell."""
        keys = units.astype(np.int64) * self.cells + cells
        self._parts.append(pd.Series(amounts, dtype="float64").groupby(keys).sum())

    @property
    def brought(self) -> tuple[Ints, Ints, Floats]:
        """Unit, cell and amount, each unit and cell once."""
        if not self._parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        total = pd.concat(self._parts)
        total = total.groupby(level=0).sum()
        keys = total.index.to_numpy(dtype=np.int64)
        return keys // self.cells, keys % self.cells, total.to_numpy()

    @property
    def sums(self) -> Floats:
        """The sum by cell."""
        _, cells, amounts = self.brought
        return added(cells, amounts, self.cells)

    @property
    def people(self) -> Ints:
        """How many units bring something, by cell."""
        _, cells, amounts = self.brought
        return np.asarray(np.bincount(cells[np.abs(amounts) >= 0.5], minlength=self.cells), dtype=np.int64)

    @property
    def variance(self) -> Floats:
        """Of the sums, as if other units of the same kind had come: each unit counts with what it brings and what it taught."""
        units, cells, amounts = self.brought
        own = added(cells, amounts**2, self.cells)
        if not self.influence.size:
            return own
        is_known = units < len(self.influence)
        taught, cells, amounts = self.influence[units[is_known]], cells[is_known], amounts[is_known]
        both = np.array([added(cells, amounts * each, self.cells) for each in taught.T])
        square = self.influence.T @ self.influence
        return np.asarray(own + 2 * (self.pull * both).sum(0) + np.einsum("kc,kl,lc->c", self.pull, square, self.pull))


def added(codes: Ints, amounts: npt.ArrayLike, count: int) -> Floats:
    """The sum of the amounts of each code below `count`.

    >>> added(np.array([0, 2, 2]), [1.0, 2.0, 3.0], 3).tolist()
    [1.0, 0.0, 5.0]
    """
    return np.asarray(np.bincount(codes, np.asarray(amounts, dtype=np.float64), count), dtype=np.float64)


def interval(totals: Totals, variance: Floats) -> tuple[Floats, Floats]:
    """The 95 % interval of each sum, with this variance, as (low, high).

    Where some units bring negative amounts, as refunds, the ends of the positive and of the negative part are put together
    (method of variance estimates recovery).

    Zou, Donner: Construction of confidence limits about effect measures (2008).
    """
    _, cells, amounts = totals.brought
    plus = added(cells, np.maximum(amounts, 0), totals.cells)
    minus = added(cells, np.maximum(-amounts, 0), totals.cells)
    square = added(cells, amounts**2, totals.cells)
    below = added(cells, np.minimum(amounts, 0) ** 2, totals.cells)
    part = np.divide(below, square, out=np.zeros(totals.cells), where=square > 0)
    low_plus, high_plus = ends(plus, variance * (1 - part))
    low_minus, high_minus = ends(minus, variance * part)
    low = plus - minus - np.hypot(plus - low_plus, high_minus - minus)
    high = plus - minus + np.hypot(high_plus - plus, minus - low_minus)
    return low, high


def ends(total: npt.ArrayLike, variance: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The 95 % interval of sums of positive parts, each with its variance; 0 and 0 for a sum of nothing.

    Such a sum is skewed, and its variance is told by the same few parts as itself. So the ends are put on the logarithm, with
    Student's t for as many people as would bring the sum with this variance if each brought the same, and one more.

    >>> low, high = ends([100.0, 0.0], [100.0, 0.0])
    >>> low.round(1).tolist(), high.round(1).tolist()
    ([82.0, 0.0], [121.9, 0.0])
    """
    sums, spread = np.asarray(total, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    has = (sums > 0) & (spread > 0)
    people = np.divide(sums**2, spread, out=np.ones_like(sums), where=has)
    wide = np.exp(np.where(has, stats.t.ppf(1 - TAIL, people + 1) / np.sqrt(people), 0.0))
    return sums / wide, sums * wide
