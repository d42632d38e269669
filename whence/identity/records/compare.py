"""What speaks for and against each candidate pair, found once per distinct pair of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import DamerauLevenshtein, JaroWinkler
from rapidfuzz.process import cpdist

from whence.identity.records.table import MISSING, Codes, Column, Evidence, Floats, Pairs, Records

Likeness = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.float32]]
"""How alike two texts are, 0 to 1, for two lists of the same length."""

CHUNK = 2_000_000
"""Pairs compared at a time, so that memory does not grow with the number of pairs."""
LIKENESS, RARITY = "likeness", "rarity"
"""The two signals of every field: how alike its values are (1 when equal), and how rare the value that both share is, in nats."""


def compare(records: Records, pairs: Pairs) -> Evidence:
    """Two signals for each field, NaN where either record lacks a value: likeness in [0, 1], and rarity, 0 unless equal.

    Equality and rarity come from integer codes; texts are looked at once for each distinct pair of unequal values.
    """
    names = tuple(f"{column.field.name}:{signal}" for column in records.columns for signal in (LIKENESS, RARITY))
    values = np.full((len(pairs.left), len(names)), np.nan, dtype=np.float32)
    for rows in _chunks(len(pairs.left)):
        for place, column in enumerate(records.columns):
            values[rows, 2 * place : 2 * place + 2] = _signals(column, pairs.left[rows], pairs.right[rows])
    return Evidence(names, values)


def _chunks(n: int) -> Iterator[slice]:
    yield from (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def _signals(column: Column, left: Codes, right: Codes) -> npt.NDArray[np.float32]:
    ours, theirs = column.codes[left], column.codes[right]
    known = (ours != MISSING) & (theirs != MISSING)
    same = known & (ours == theirs)
    signals = np.full((len(left), 2), np.nan, dtype=np.float32)
    signals[known] = 0.0
    signals[same, 0] = 1.0
    signals[same, 1] = rarity(column)[ours[same]]
    unlike = known & ~same
    if unlike.any():
        signals[unlike, 0] = _of_distinct(column, ours[unlike], theirs[unlike])
    return signals


def rarity(column: Column) -> npt.NDArray[np.float32]:
    """How surprising each value is, in nats: minus the logarithm of the share of records that hold it."""
    return np.asarray(-np.log(column.counts / max(column.counts.sum(), 1)), dtype=np.float32)


def _of_distinct(column: Column, ours: Codes, theirs: Codes) -> npt.NDArray[np.float32]:
    first, second = np.minimum(ours, theirs).astype(np.int64), np.maximum(ours, theirs).astype(np.int64)
    distinct, back = np.unique(first * len(column.values) + second, return_inverse=True)
    a, b = np.divmod(distinct, len(column.values))
    texts = np.asarray(column.values, dtype=object)
    alike = LIKENESSES[column.field.kind](texts[a].tolist(), texts[b].tolist())
    return np.minimum(alike, np.float32(0.999))[back]


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


def wording(ours: Sequence[str], theirs: Sequence[str]) -> npt.NDArray[np.float32]:
    """The better of spelling in order and of words in any order."""
    from rapidfuzz.fuzz import token_set_ratio, token_sort_ratio

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
    "name": wording,
    "given_name": spelling,
    "surname": spelling,
    "date": dates,
    "year": years,
    "email": spelling,
    "phone": edits,
    "postcode": edits,
    "address": wording,
    "place": spelling,
    "code": edits,
    "category": spelling,
    "number": amounts,
    "text": wording,
    "ip": nothing,
    "user_agent": wording,
}
