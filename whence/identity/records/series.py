"""What differs in a word of its name is another thing: things of one series, and members of one family.

A catalogue has many rows of one maker, shelf and price, which look like one thing: the same bolt in five lengths, the same
case for thirty clubs. Whoever lists each thing once gives each a name of its own, so that rows that are believed to be
one thing have names that are alike, and seldom two that are equal. Where most things are there twice, many names are.
People who book and order together share a mail, a phone and a home, and not their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Jaro

from whence.identity.records import headers, wording
from whence.identity.records.table import MISSING, Column, Evidence, Floats, Pairs, Records

Bools = npt.NDArray[np.bool_]

NAMES = frozenset({"text", "name"})
"""Kinds that may name things."""
FEWEST = 30
"""Pairs that would be joined below which nothing is said."""
ANEW = 0.8
"""Different names for each row that has one, from which nearly each row is given one anew …"""
EQUAL = 0.3
"""… and the share of the pairs that would be joined whose names are equal, up to which they are seldom …"""
ALIKE = 0.35
"""… and how alike these names are in the middle, from which they are names, and not remarks."""
MANY = 0.25
"""The share of the pairs that would be joined that differ in a word, from which they are believed no longer."""
NEAR = 0.75
"""Likeness from which two words may be one misspelt."""
OPEN = -2.0
"""Log-odds above which a pair is worth a look at its words …"""
REFUSED = -6.0
"""… and those of a pair that differs in one."""


@dataclass(frozen=True)
class Told:
    """Log-odds of pairs, the columns whose words tell them apart, and the pairs that would have been joined."""

    log_odds: Floats
    columns: tuple[str, ...]
    apart: npt.NDArray[np.int64]
    """Their places."""


def columns(records: Records) -> list[Column]:
    """The columns that may name things of a series, or that name people: whose header says so."""
    return [column for column in records.columns if column.field.kind in NAMES and (_is_a_persons(column) or _is_anew(column))]


def told_apart(records: Records, pairs: Pairs, evidence: Evidence, log_odds: Floats, may_name: Sequence[Column]) -> Told | None:
    """The log-odds without those of pairs that differ in a word of their names; None where few of those who would be joined do.

    `may_name` are those of `columns`.
    """
    naming = [column for column in may_name if _names(column, evidence, log_odds)]
    rows = np.flatnonzero((log_odds > OPEN) & _of_one_hand(records, pairs))
    if not naming or not len(rows):
        return None
    said = _Said(records)
    both = zip(pairs.left[rows].tolist(), pairs.right[rows].tolist(), strict=True)
    differs = np.asarray([any(said.differ(column, *pair) for column in naming) for pair in both], dtype=np.bool_)
    would = log_odds[rows] > 0
    if differs[would].sum() < max(MANY * would.sum(), 1):
        return None
    odds = log_odds.copy()
    odds[rows[differs]] = np.minimum(odds[rows[differs]], REFUSED)
    return Told(odds, tuple(column.field.name for column in naming), rows[differs & would])


def _of_one_hand(records: Records, pairs: Pairs) -> Bools:
    """Which pairs are of one source: another source may write the same thing in other words."""
    if records.source is None:
        return np.ones(len(pairs.left), dtype=np.bool_)
    return np.asarray(records.source[pairs.left] == records.source[pairs.right])


def _is_a_persons(column: Column) -> bool:
    return column.field.kind == "name" and headers.is_person(column.field.name)


def _is_anew(column: Column) -> bool:
    return len(column.values) >= ANEW * max(int(column.counts.sum()), 1)


def _names(column: Column, evidence: Evidence, log_odds: Floats) -> bool:
    """Whether those who would be joined have names that are alike and seldom equal, or names of people at all."""
    likeness = evidence.values[:, evidence.names.index(f"{column.field.name}:likeness")]
    likeness = likeness[(log_odds > 0) & ~np.isnan(likeness)]
    if len(likeness) < FEWEST:
        return False
    return _is_a_persons(column) or bool((likeness == 1.0).mean() <= EQUAL and np.median(likeness) >= ALIKE)


class _Said:
    """The words of records, taken apart once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._apart: dict[tuple[str, int], wording.Text] = {}
        self._words: dict[int, frozenset[str]] = {}

    def differ(self, column: Column, left: int, right: int) -> bool:
        """Whether each name has a word or number that the other record has nowhere, and that is none of its words misspelt or cut short."""
        if MISSING in (column.codes[left], column.codes[right]):
            return False
        one, other = self._text(column, left), self._text(column, right)
        ours = [word for word in wording.left_over(one, other) if word not in self._whole(right)]
        theirs = [word for word in wording.left_over(other, one) if word not in self._whole(left)]
        return bool(ours and theirs) and not any(_may_be_one(a, b) for a in ours for b in theirs)

    def _text(self, column: Column, record: int) -> wording.Text:
        key = (column.field.name, int(column.codes[record]))
        if key not in self._apart:
            self._apart[key] = wording.take_apart(column.values[key[1]])
        return self._apart[key]

    def _whole(self, record: int) -> frozenset[str]:
        """The words of all that a record tells, since values are written in the wrong column, too."""
        if record not in self._words:
            told = [each.values[each.codes[record]] for each in self._records.columns if each.codes[record] != MISSING]
            self._words[record] = frozenset(word for value in told for word in wording.split(value))
        return self._words[record]


def _may_be_one(word: str, other: str) -> bool:
    """Whether two words may be one, misspelt or cut short; numbers are not.

    >>> _may_be_one("ethan", "zthan"), _may_be_one("ltd", "limited"), _may_be_one("m5", "m6"), _may_be_one("karli", "jenna")
    (True, True, False, False)
    """
    if any(map(str.isdecimal, word + other)):
        return False
    short, long = sorted((word, other), key=len)
    return Jaro.similarity(word, other) >= NEAR or wording.shortens(short, long)
