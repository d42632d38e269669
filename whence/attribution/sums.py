"""Sums over people by campaign, and their intervals: few people count, some for much, and who came is chance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.sparse import csr_array

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
TAIL = 0.025
LITTLE = 0.5
"""Who brings less, in micros, does not count."""


@dataclass
class Totals:
    """What each unit (what belongs to one person for sure) brings to each cell, on average over draws, and how draws differ."""

    cells: int
    pull: Floats
    """By kind of evidence and cell: how far the sum moves with what was learned."""
    between: Floats
    """By cell: the variance between draws."""
    people: csr_array | None = None
    """How units make up people (a row each), in square; units beyond are people of their own."""
    influence: csr_array | None = None
    """By unit and kind of evidence: how far a unit moved what was learned."""
    _parts: list[pd.Series] = field(default_factory=list)

    @classmethod
    def none(cls, cells: int, people: csr_array | None = None, influence: csr_array | None = None) -> Totals:
        """Nothing brought yet."""
        kinds = 0 if influence is None else int(influence.shape[1])
        return cls(cells, np.zeros((kinds, cells)), np.zeros(cells), people, influence)

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
    def count(self) -> Ints:
        """How many people, or units who may be of one, bring something, by cell."""
        alone, persons = self._persons()
        counted = [alone[0][np.abs(alone[1]) >= LITTLE], persons.indices[np.abs(persons.data) >= LITTLE]]
        return np.asarray(np.bincount(np.concatenate(counted), minlength=self.cells), dtype=np.int64)

    @property
    def variance(self) -> Floats:
        """Of the sums, as if other people of the same kind had come: each counts with what its units bring and what they taught."""
        alone, persons = self._persons()
        own = added(*alone, self.cells, power=2) + added(persons.indices, persons.data, self.cells, power=2)
        if self.people is None or self.influence is None or not len(self.pull):
            return own
        taught = self.people @ self.influence
        both, square = (taught.T @ persons).toarray(), (taught.T @ taught).toarray()
        return np.asarray(own + 2 * (self.pull * both).sum(0) + np.einsum("kc,kl,lc->c", self.pull, square, self.pull))

    def _persons(self) -> tuple[tuple[Ints, Floats], csr_array]:
        """What people alone bring, as cells and amounts, and what those made up of units bring, by person and cell."""
        units, cells, amounts = self.brought
        known = 0 if self.people is None else int(self.people.shape[1])
        is_known = units < known
        brought = csr_array((amounts[is_known], (units[is_known], cells[is_known])), shape=(known, self.cells))
        persons = brought if self.people is None else csr_array(self.people @ brought)
        return (cells[~is_known], amounts[~is_known]), persons


def added(codes: Ints, amounts: npt.ArrayLike, count: int, power: int = 1) -> Floats:
    """The sum of the amounts, to this power, of each code below `count`.

    >>> added(np.array([0, 2, 2]), [1.0, 2.0, 3.0], 3).tolist()
    [1.0, 0.0, 5.0]
    """
    return np.asarray(np.bincount(codes, np.asarray(amounts, dtype=np.float64) ** power, count), dtype=np.float64)


def interval(totals: Totals, variance: Floats) -> tuple[Floats, Floats]:
    """The 95 % interval of each sum, with this variance, as (low, high).

    Where some units bring negative amounts, as refunds, the ends of the positive and of the negative part are put together
    (method of variance estimates recovery). The negative part is often one person's, so that its ends are those of a count.

    Zou, Donner: Construction of confidence limits about effect measures (2008).
    """
    _, cells, amounts = totals.brought
    plus = added(cells, np.maximum(amounts, 0), totals.cells)
    minus = added(cells, np.maximum(-amounts, 0), totals.cells)
    square = added(cells, amounts**2, totals.cells)
    below = added(cells, np.minimum(amounts, 0) ** 2, totals.cells)
    part = np.divide(below, square, out=np.zeros(totals.cells), where=square > 0)
    low_plus, high_plus = ends(plus, variance * (1 - part))
    low_minus, high_minus = counted(minus, variance * part)
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


def counted(total: npt.ArrayLike, variance: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The 95 % interval of sums of positive parts as if each person brought the same: that of a Poisson count of people.

    Fewer than one person, as where a variance is large, count as one; 0 and 0 for a sum of nothing.

    >>> low, high = counted([100.0, 0.0], [10_000.0, 0.0])  # one person
    >>> low.round(1).tolist(), high.round(1).tolist()
    ([2.5, 0.0], [557.2, 0.0])

    Garwood: Fiducial limits for the Poisson distribution (1936).
    """
    sums, spread = np.asarray(total, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    has = (sums > 0) & (spread > 0)
    people = np.maximum(np.divide(sums**2, spread, out=np.ones_like(sums), where=has), 1.0)
    low = np.where(has, stats.chi2.ppf(TAIL, 2 * people) / (2 * people), 1.0)
    high = np.where(has, stats.chi2.ppf(1 - TAIL, 2 * (people + 1)) / (2 * people), 1.0)
    return sums * low, sums * high
