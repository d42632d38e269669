"""Numbers and dates of one thing that only come close: bands of near values, and which columns are of that kind.

Two bands of one width that are shifted by a half hold every pair of values that lie less than half a width apart, so
that what comes close can be found by what agrees exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from whence.identity.records.table import MISSING, Codes, Column, Floats, Pairs, Records

Bools = npt.NDArray[np.bool_]

KINDS = ("number", "date", "day", "year")
NAMING = ("name", "given_name", "surname", "email", "phone", "address", "code", "text")
"""Kinds of which a value that only two records hold speaks for one thing."""
ENOUGH = 50
"""Pairs that share such a value, below which nothing is said about the other columns."""
SAMPLE = 5000
OFTEN = 0.2
"""Share of those pairs, beyond that of strangers, that must be near and not equal for a column of near values …"""
TELLING = 0.2
"""… or near or equal at all for one that says something."""


@dataclass(frozen=True)
class Said:
    """What pairs that share a rare value elsewhere say of a column of numbers or dates."""

    pairs: Pairs
    """Such pairs, both with a value here."""
    equal: float
    """How many have the same value."""
    near: float
    """How many have values that are near, and not the same."""
    by_chance: tuple[float, float]
    """The same two of strangers."""

    @property
    def is_close(self) -> bool:
        """Whether values of one thing often only come close."""
        return self.near - self.by_chance[1] >= OFTEN

    @property
    def is_telling(self) -> bool:
        """Whether values of one thing agree or come close more often than those of strangers."""
        return self.equal + self.near - sum(self.by_chance) >= TELLING


def said(records: Records, column: Column, seed: int = 0) -> Said | None:
    """What rare values of the other columns say of this one; None where there are too few, or for another kind."""
    if column.field.kind not in KINDS:
        return None
    naming = [other for other in records.columns if other.field.kind in NAMING]
    left, right = _both_filled(column, _sharing(records, naming))
    if len(left) < ENOUGH:
        return None
    strangers = np.random.default_rng(seed).permutation(right)
    return Said(Pairs(left, right), *_agreement(column, left, right), _agreement(column, left, strangers))


def vouched(records: Records, column: Column, close: Mapping[str, Said]) -> Pairs | None:
    """Pairs that share a rare value in one of the close columns and are near in the others, both with a value in `column`.

    None where there are too few, or no second close column to tell chance from truth.
    """
    witnesses = [each for each in records.columns if each.field.name in close]
    if len(witnesses) < 2 or column.field.name in close:
        return None
    left, right = _both_filled(column, _sharing(records, witnesses))
    alike = np.logical_and.reduce([_is_near(each, left, right) for each in witnesses])
    return Pairs(left[alike], right[alike]) if alike.sum() >= ENOUGH else None


def _sharing(records: Records, columns: Sequence[Column]) -> Pairs:
    """Pairs of records that alone hold a value of a column; of two sources where none holds anybody twice."""
    found = []
    for column in columns:
        rows = np.flatnonzero(np.append(column.counts == 2, False)[column.codes])  # MISSING is −1, the last
        found.append(rows[np.argsort(column.codes[rows], kind="stable")].reshape(-1, 2))
    pairs = np.unique(np.concatenate([np.empty((0, 2), dtype=np.int64), *found]), axis=0)
    if records.unique_sources and records.source is not None:
        pairs = pairs[records.source[pairs[:, 0]] != records.source[pairs[:, 1]]]
    return Pairs(pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32))


def _both_filled(column: Column, pairs: Pairs) -> Pairs:
    """Those of the pairs that both have a value, SAMPLE at most."""
    rows = np.flatnonzero((column.codes[pairs.left] != MISSING) & (column.codes[pairs.right] != MISSING))
    kept = rows[np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), SAMPLE)).astype(np.int64))]
    return Pairs(pairs.left[kept], pairs.right[kept])


def _agreement(column: Column, left: Codes, right: Codes) -> tuple[float, float]:
    """The share of pairs with the same value, and of those with near ones that are not the same."""
    equal = column.codes[left] == column.codes[right]
    return float(equal.mean()), float((_is_near(column, left, right) & ~equal).mean())


def _is_near(column: Column, left: Codes, right: Codes) -> Bools:
    where = np.append(positions(column.field.kind, column.values), np.nan)
    apart = np.abs(where[column.codes[left]] - where[column.codes[right]])
    return np.asarray(apart <= WIDTHS[column.field.kind][-1] / 2)


def positions(kind: str, values: Sequence[str]) -> Floats:
    """Where values lie: days for dates, years, and the logarithm for numbers; NaN for what has no place.

    >>> positions("day", ["1970-01-02"]) - positions("day", ["1970-01-01"])
    array([1.])
    """
    return np.fromiter(map(PLACES[kind], values), dtype=np.float64, count=len(values))


def _logarithm(value: str) -> float:
    """Numbers below nought lie far from those above."""
    try:
        number = float(value)
    except ValueError:
        return math.nan
    if not math.isfinite(number) or number == 0:
        return math.nan
    return math.log(abs(number)) + (BELOW if number < 0 else 0.0)


def _day(value: str) -> float:
    try:
        return float(date.fromisoformat(value).toordinal())
    except ValueError:
        return math.nan


def _year(value: str) -> float:
    return float(value) if value.isdecimal() else math.nan


BELOW = 4096.0
PLACES: dict[str, Callable[[str], float]] = {"number": _logarithm, "date": _day, "day": _day, "year": _year}
WIDTHS: dict[str, tuple[float, float]] = {"number": (0.02, 0.2), "date": (7.0, 32.0), "day": (7.0, 32.0), "year": (2.0, 6.0)}
"""How wide bands are, the narrow and the wide: of numbers, in logarithms, a fiftieth and a fifth of the value; days; years."""


def terms(kind: str) -> Callable[[str], list[str]]:
    """Of a value itself and its bands: what a search takes for its words.

    >>> near = terms("year")
    >>> sorted(set(near("1975")) & set(near("1976")))
    ['2+988', '6+329', '6-329']
    """

    def of(value: str) -> list[str]:
        where = PLACES[kind](value)
        if math.isnan(where):
            return [f"={value}"]
        bands = (f"{width:g}{sign}{_band(where, width, sign)}" for width in WIDTHS[kind] for sign in "-+")
        return [f"={value}", *bands]

    return of


def band(kind: str, which: int, sign: str) -> Callable[[Sequence[str]], list[str]]:
    """The band of each value, for keys; empty where a value has no place."""

    def of(values: Sequence[str]) -> list[str]:
        width = WIDTHS[kind][which]
        return ["" if math.isnan(where) else str(_band(where, width, sign)) for where in positions(kind, values).tolist()]

    return of


def _band(where: float, width: float, sign: str) -> int:
    return math.floor(where / width + (0.5 if sign == "+" else 0.0))
