"""What speaks for and against each candidate pair, found once per distinct pair of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import DamerauLevenshtein, JaroWinkler
from rapidfuzz.fuzz import token_set_ratio, token_sort_ratio
from rapidfuzz.process import cpdist

from whence.identity.records import wording
from whence.identity.records.near import positions
from whence.identity.records.table import MISSING, Codes, Column, Evidence, Floats, Pairs, Records
from whence.identity.records.wording import Wording

Likeness = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.float32]]
"""How alike two texts are, 0 to 1, for two lists of the same length."""

CHUNK = 2_000_000
"""Pairs compared at a time, so that memory does not grow with the number of pairs."""
LIKENESS, RARITY = "likeness", "rarity"
"""The two signals of every field: how alike its values are (1 when equal), and how rare the value that both share is, in nats."""
LETTERS = "letters_cosine"
WORDED = ("text", "name", "address")
"""Kinds whose likeness is that of weighed letters as well as of spelling."""
MANY = 100_000
"""Distinct names or addresses from which spelling alone has to do: letters are weighed at some 50 µs a value."""
DAYS = 24.0
EQUAL = np.float32(1.0)
NEARLY = np.float32(0.999)


def compare(records: Records, pairs: Pairs, wordings: Mapping[str, Wording] | None = None) -> Evidence:
    """Signals for each field, NaN where either record lacks a value: likeness in [0, 1], and rarity, 0 unless equal.

    Texts have the signals of `wording` besides. Equality and rarity come from integer codes; texts are looked at once
    for each distinct pair of unequal values. `wordings` tells how common words are, by field, where it was found before;
    otherwise it is found from these records.
    """
    return Comparer(records, wordings)(pairs)


def wordings(records: Records) -> dict[str, Wording]:
    """How common words are in each field whose words are looked at."""
    return {column.field.name: wording.fit(column.values) for column in records.columns if _is_worded(column)}


def _is_worded(column: Column) -> bool:
    return column.field.kind == "text" or (column.field.kind in WORDED and len(column.values) <= MANY)


class Comparer:
    """Compares pairs of the same records time and again, and reads their texts once."""

    def __init__(self, records: Records, wordings: Mapping[str, Wording] | None = None) -> None:
        self._columns = tuple(_Comparison(column, wordings) for column in records.columns)

    def __call__(self, pairs: Pairs) -> Evidence:
        """The evidence of pairs, as `compare` has it."""
        names = tuple(name for each in self._columns for name in each.names)
        values = np.full((len(pairs.left), len(names)), np.nan, dtype=np.float32)
        for rows in _chunks(len(pairs.left)):
            start = 0
            for each in self._columns:
                each.fill(values[rows, start : start + len(each.names)], pairs.left[rows], pairs.right[rows])
                start += len(each.names)
        return Evidence(names, values)


class _Comparison:
    """One field's signals."""

    def __init__(self, column: Column, wordings: Mapping[str, Wording] | None) -> None:
        self.column = column
        self.wordings = wordings
        self.is_worded = _is_worded(column) if wordings is None else column.field.name in wordings
        words = wording.evidence("", self.texts, *_nobody(), is_cheap=True).names if column.field.kind == "text" else ()
        self.names = tuple(f"{column.field.name}:{signal.removeprefix(':')}" for signal in (LIKENESS, RARITY, *words))

    @cached_property
    def texts(self) -> wording.Texts:
        known = wording.fit(self.column.values) if self.wordings is None else self.wordings.get(self.column.field.name)
        return wording.Texts(self.column.values, known or wording.fit(()))

    def fill(self, into: npt.NDArray[np.float32], left: Codes, right: Codes) -> None:
        ours, theirs = self.column.codes[left], self.column.codes[right]
        known = (ours != MISSING) & (theirs != MISSING)
        same = known & (ours == theirs)
        into[known, :2] = 0.0
        into[same, 0] = EQUAL
        into[same, 1] = rarity(self.column)[ours[same]]
        rows = np.flatnonzero(known if self.column.field.kind == "text" else known & ~same)
        if len(rows):
            distinct, back = _distinct(self.column, ours[rows], theirs[rows])
            found = self._of_distinct(*distinct)[back]
            into[rows, 2:] = found[:, 1:]
            unlike = ~same[rows]
            into[rows[unlike], 0] = np.minimum(found[unlike, 0], NEARLY)

    def _of_distinct(self, ours: Codes, theirs: Codes) -> npt.NDArray[np.float32]:
        """Likeness and, for texts, the signals of wording, of distinct pairs of values."""
        kind = self.column.field.kind
        if not self.is_worded:
            return self._likeness(ours, theirs)[:, None]
        if kind != "text":
            letters = wording.letters_cosine(self.texts, ours, theirs)
            return np.asarray((letters + self._likeness(ours, theirs)) / 2, dtype=np.float32)[:, None]
        worded = wording.evidence("", self.texts, ours, theirs, is_cheap=True)
        letters = np.nan_to_num(worded.values[:, worded.names.index(f":{LETTERS}")])
        return np.column_stack([letters, worded.values])

    def _likeness(self, ours: Codes, theirs: Codes) -> npt.NDArray[np.float32]:
        texts = np.asarray(self.column.values, dtype=object)
        return LIKENESSES[self.column.field.kind](texts[ours].tolist(), texts[theirs].tolist())


def _nobody() -> tuple[Codes, Codes]:
    return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)


def _chunks(n: int) -> Iterator[slice]:
    yield from (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def _distinct(column: Column, ours: Codes, theirs: Codes) -> tuple[tuple[Codes, Codes], npt.NDArray[np.int64]]:
    """The different pairs of values, whichever side each is on, and which of them each pair of records has."""
    first, second = np.minimum(ours, theirs).astype(np.int64), np.maximum(ours, theirs).astype(np.int64)
    distinct, back = np.unique(first * len(column.values) + second, return_inverse=True)
    a, b = np.divmod(distinct, len(column.values))
    return (a.astype(np.int32), b.astype(np.int32)), back


def rarity(column: Column) -> npt.NDArray[np.float32]:
    """How surprising each value is, in nats: minus the logarithm of the share of records that hold it."""
    return np.asarray(-np.log(column.counts / max(column.counts.sum(), 1)), dtype=np.float32)


def spelling(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """Jaro–Winkler: forgiving of typos, and of the end more than of the beginning.

    >>> spelling(["martha"], ["marhta"]).round(2).tolist()
    [0.9599999785423279]
    """
    return np.asarray(cpdist(ours, theirs, scorer=JaroWinkler.normalized_similarity, dtype=np.float32))


def edits(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """The share of characters that typing errors leave alone; two swapped neighbours are one error.

    >>> edits(["12345678"], ["12354678"]).tolist()
    [0.875]
    """
    return np.asarray(cpdist(ours, theirs, scorer=DamerauLevenshtein.normalized_similarity, dtype=np.float32))


def phrasing(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """The better of spelling in order and of words in any order."""

    ordered, inside = (
        np.asarray(cpdist(ours, theirs, scorer=each, dtype=np.float32)) for each in (token_sort_ratio, token_set_ratio)
    )
    return np.asarray((ordered + inside) / 200, dtype=np.float32)


def dates(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """One digit off or day and month swapped 0.9; year and one part equal 0.7; day and month equal 0.6; same year 0.4; else 0.

    >>> dates(["1971-06-24", "1971-06-24"], ["1971-05-24", "1980-01-01"]).round(1).tolist()
    [0.8999999761581421, 0.0]
    """
    a, b = _digits(ours), _digits(theirs)
    off = (a != b).sum(axis=1)
    year, month, day = ((a[:, part] == b[:, part]).all(axis=1) for part in (slice(0, 4), slice(4, 6), slice(6, 8)))
    swapped = year & (a[:, 4:6] == b[:, 6:8]).all(axis=1) & (a[:, 6:8] == b[:, 4:6]).all(axis=1)
    rules = [(off == 1) | swapped, year & (month | day), (month & day) | (off == 2), year]
    return np.select(rules, [np.float32(0.9), np.float32(0.7), np.float32(0.6), np.float32(0.4)], np.float32(0.0))


def days(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """Falls to a half for dates that are DAYS apart, and to a third for twice as many.

    >>> days(["2022-04-30", "2022-04-30"], ["2022-05-01", "2022-05-24"]).round(2).tolist()
    [0.9599999785423279, 0.5]
    """
    apart = np.abs(positions("day", ours) - positions("day", theirs))
    return np.asarray(np.nan_to_num(1 / (1 + apart / DAYS)), dtype=np.float32)


def _digits(texts: Sequence[str]) -> npt.NDArray[np.str_]:
    bare = ["".join(filter(str.isdigit, text))[:8].ljust(8) for text in texts]
    return np.asarray(bare, dtype="<U8").view("<U1").reshape(len(bare), 8)


def amounts(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """One less the difference as a share of the larger; 0 where either is no number.

    >>> amounts(["100"], ["90"]).round(1).tolist()
    [0.8999999761581421]
    """
    a, b = _numbers(ours), _numbers(theirs)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = 1 - np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    return np.asarray(np.clip(np.nan_to_num(alike), 0, 1), dtype=np.float32)


def years(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """Falls to a half for each year apart."""
    return np.asarray(np.nan_to_num(0.5 ** np.abs(_numbers(ours) - _numbers(theirs))), dtype=np.float32)


def _numbers(texts: Sequence[str]) -> Floats:
    def of(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return float("nan")

    return np.fromiter(map(of, texts), dtype=np.float64, count=len(texts))


def nothing(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """Different is different."""
    return np.zeros(len(ours), dtype=np.float32)


LIKENESSES: dict[str, Likeness] = {
    "name": phrasing,
    "given_name": spelling,
    "surname": spelling,
    "date": dates,
    "day": days,
    "year": years,
    "email": spelling,
    "phone": edits,
    "postcode": edits,
    "address": phrasing,
    "place": spelling,
    "code": edits,
    "category": spelling,
    "number": amounts,
    "text": phrasing,
    "ip": nothing,
    "user_agent": phrasing,
}
