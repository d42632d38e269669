"""What differs in a word of its name is another thing: things of one series, and members of one family.

A catalogue has many rows of one maker, shelf and price, which look like one thing: the same bolt in five lengths, the same
case for thirty clubs. Whoever lists each thing once gives each a name of its own, so that rows that are believed to be
one thing have names that are alike, and seldom two that are equal. Where most things are there twice, many names are;
then numbers alone tell things apart, since one thing is called in other words, and hardly with another number. So do years:
a wine of two vintages is two wines. People who book and order together share a mail, a phone and a home, and not their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Jaro

from whence.identity.records import headers, strangers, wording
from whence.identity.records.table import MISSING, Column, Evidence, Floats, Pairs, Records

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

NAMES = frozenset({"text", "name"})
"""Kinds that may name things."""
FEWEST = 30
"""Pairs that would be joined below which nothing is said."""
ANEW = 0.8
"""Different names for each row that has one, from which nearly each row is given one anew …"""
EQUAL = 0.3
"""… and the share of the pairs that would be joined whose names are equal, up to which they are seldom …"""
ALIKE = 0.35
"""… and how alike these names are in the middle, from which they are names, and not remarks, unless the header says that they are titles."""
MANY = 0.25
"""The share of the pairs that would be joined that differ in a word, from which they are believed no longer."""
NEAR = 0.75
"""Likeness from which two words may be one misspelt."""
LONG = 0.25
"""Likeness up to which two years are two years apart at least: one year is a slip, or another way to count."""
OPEN = -2.0
"""Log-odds above which a pair is worth a look at its words …"""
REFUSED = -6.0
"""… and those of a pair that differs in one."""


@dataclass(frozen=True)
class Told:
    """Log-odds of pairs, what tells them apart by column, and the pairs that would have been joined."""

    log_odds: Floats
    columns: dict[str, str]
    """By column `word`, `number` or `year`: which kind of it the records of a pair differ in."""
    apart: npt.NDArray[np.int64]
    """Their places."""


def told_apart(records: Records, pairs: Pairs, evidence: Evidence, log_odds: Floats, before: Floats | None = None) -> Told | None:
    """The log-odds without those of pairs that differ in a word or a number of their names, or in a year; None where few of
    those who would be joined do.

    `before` are log-odds by which more would be joined: which columns are names is seen there, where too few are left to see it.
    """
    rows = np.flatnonzero((log_odds > OPEN) & of_one_hand(records, pairs))
    would = log_odds[rows] > 0
    if not would.any():
        return None
    differs, found = np.zeros(len(rows), dtype=np.bool_), dict[str, str]()
    shown = log_odds if before is None or (log_odds > 0).sum() >= FEWEST else before
    for named, apart, seen in _looks(records, Pairs(pairs.left[rows], pairs.right[rows]), rows, evidence, shown):
        if seen[would].sum() >= max(MANY * would.sum(), 1):
            differs |= apart
            found |= named
    if not found:
        return None
    odds = log_odds.copy()
    odds[rows[differs]] = np.minimum(odds[rows[differs]], REFUSED)
    return Told(odds, found, rows[differs & would])


def _looks(
    records: Records, pairs: Pairs, rows: Ints, evidence: Evidence, log_odds: Floats
) -> Iterator[tuple[dict[str, str], Bools, Bools]]:
    """Columns that may tell things apart, the pairs that they would, and those by which that is seen."""
    named = [column for column in records.columns if column.field.kind in NAMES]
    worded = [each for each in named if (_is_a_persons(each) or _is_anew(each)) and _names(each, evidence, log_odds)]
    said = _Said(records)
    both = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    if worded:
        apart = np.asarray([any(said.differ(column, *pair) for column in worded) for pair in both], dtype=np.bool_)
        if not all(_are_alike(each, evidence, log_odds) for each in worded):
            apart &= ~strangers.named(records, Evidence(evidence.names, evidence.values[rows]))[0]
        yield {column.field.name: "word" for column in worded}, apart, apart
    if (log_odds[rows] > 0).sum() < FEWEST:
        return
    for column in named:
        if column not in worded:
            apart = np.asarray([said.are_numbered(column, *pair) for pair in both], dtype=np.bool_)
            yield {column.field.name: "number"}, apart, apart
    for column in records.columns:
        if column.field.kind == "year" and not headers.is_birth(column.field.name):
            likeness = evidence.values[rows, evidence.names.index(f"{column.field.name}:likeness")]
            yield {column.field.name: "year"}, likeness < 1.0, likeness <= LONG


def of_one_hand(records: Records, pairs: Pairs) -> Bools:
    """Which pairs are of one source: another source may write the same thing in other words."""
    if records.source is None:
        return np.ones(len(pairs.left), dtype=np.bool_)
    return np.asarray(records.source[pairs.left] == records.source[pairs.right])


def _is_a_persons(column: Column) -> bool:
    return column.field.kind == "name" and headers.is_person(column.field.name)


def _is_anew(column: Column) -> bool:
    return len(column.values) >= ANEW * max(int(column.counts.sum()), 1)


def _names(column: Column, evidence: Evidence, log_odds: Floats) -> bool:
    """Whether those who would be joined have names that are alike and seldom equal, or titles, or names of people at all."""
    likeness = _believed(column, evidence, log_odds)
    if len(likeness) < FEWEST:
        return False
    is_called = headers.is_title(column.field.name) or _are_alike(column, evidence, log_odds)
    return _is_a_persons(column) or bool((likeness == 1.0).mean() <= EQUAL and is_called)


def _are_alike(column: Column, evidence: Evidence, log_odds: Floats) -> bool:
    """Whether names of those who would be joined are alike in the middle."""
    return bool(np.median(_believed(column, evidence, log_odds)) >= ALIKE)


def _believed(column: Column, evidence: Evidence, log_odds: Floats) -> npt.NDArray[np.float32]:
    """How alike the values are of those who would be joined, where both have one."""
    likeness = evidence.values[:, evidence.names.index(f"{column.field.name}:likeness")]
    return np.asarray(likeness[(log_odds > 0) & ~np.isnan(likeness)])


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
        return _are_left(*self._own(column, left, right))

    def are_numbered(self, column: Column, left: int, right: int) -> bool:
        """Whether each name has a number, or a word with one, that the other record has nowhere."""
        if MISSING in (column.codes[left], column.codes[right]):
            return False
        return all(any(map(_is_numbered, each)) for each in self._own(column, left, right))

    def _own(self, column: Column, left: int, right: int) -> tuple[list[str], list[str]]:
        """The words of each name that the other record has nowhere."""
        one, other = self._text(column, left), self._text(column, right)
        ours = [word for word in wording.left_over(one, other) if word not in self._whole(right)]
        theirs = [word for word in wording.left_over(other, one) if word not in self._whole(left)]
        return ours, theirs

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


def _is_numbered(word: str) -> bool:
    return any(map(str.isdecimal, word))


def _are_left(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether both have a word left once each has been put beside one of the other that it may be, the likest first.

    >>> _are_left(["insurance", "ltd"], ["services", "inc"]), _are_left(["ltd"], ["limited"])
    (True, False)
    """
    fitting = sorted(
        ((-Jaro.similarity(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs) if _may_be_one(a, b))
    )
    taken, given = set[int](), set[int]()
    for _, i, j in fitting:
        if i not in taken and j not in given:
            taken.add(i)
            given.add(j)
    return len(taken) < len(ours) and len(given) < len(theirs)


def _may_be_one(word: str, other: str) -> bool:
    """Whether two words may be one, misspelt or cut short; numbers are not.

    >>> _may_be_one("ethan", "zthan"), _may_be_one("ltd", "limited"), _may_be_one("m5", "m6"), _may_be_one("karli", "jenna")
    (True, True, False, False)
    """
    if _is_numbered(word + other):
        return False
    short, long = sorted((word, other), key=len)
    return Jaro.similarity(word, other) >= NEAR or wording.shortens(short, long)
