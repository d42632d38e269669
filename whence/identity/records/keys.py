"""Exact keys: records that agree on all parts of a key are candidates, as long as the key is not too common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.identity.records.table import MISSING, Codes, Column, Records

PairCodes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """One piece of a key: a column, and what of its value has to agree."""

    column: str
    of: str = "whole"
    """`whole`, or one of TRANSFORMS."""

    def __str__(self) -> str:
        return self.column if self.of == "whole" else f"{self.of} of {self.column}"


@dataclass(frozen=True)
class Key:
    """Records that agree on every part are candidates of each other."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return " + ".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Capped:
    """A block of records with one key that is too large to pair everyone with everyone."""

    key: str
    value: str
    records: int
    skipped: int
    """Pairs that were not made."""


@dataclass(frozen=True)
class Blocked:
    """The pairs of one key, as `left * records + right`, sorted, and the blocks that were too large."""

    pairs: PairCodes
    capped: tuple[Capped, ...] = ()
    """The largest of the blocks above the cap."""
    large: int = 0
    """How many blocks were above the cap."""


def block(
    records: Records, keys: Sequence[Key], cap: int = 50, orders: Mapping[Key, Sequence[str]] | None = None
) -> Iterator[Blocked]:
    """For each key in turn the pairs of records that agree on it; a record gets at most about `cap` partners from a key.

    A larger block is not dropped: its records are put in order of their other columns, and each is paired with its
    next few neighbours, so that the cost of a block is bounded by its size. The columns are found by `telling`, unless
    `orders` names them: then the pairs of a block depend on nothing outside it.
    """
    import duckdb

    coded = _coded(records, keys)
    with duckdb.connect(config={"threads": 1}) as con:
        con.register("records", coded.table)
        for key in keys:
            names = [coded.names[part] for part in key.parts]
            sql = str(
                ibis.to_sql(pairs_of(_unbound(coded.table), names, cap, two_sources=records.unique_sources), dialect="duckdb")
            )
            found = con.sql(sql).to_arrow_table()
            left, right = (found[side].to_numpy() for side in ("row", "other"))
            near, capped, large = _large_blocks(records, key, coded, cap, (orders or {}).get(key))
            yield Blocked(np.sort(np.concatenate([left.astype(np.int64) * len(records) + right, near])), capped, large)


def pairs_of(table: ir.Table, parts: Sequence[str], cap: int, two_sources: bool = False) -> ir.Table:
    """The expression for rows that agree on all parts, in blocks of no more than `cap + 1` rows; `row` is below `other`."""
    filled = table.filter(*(table[part].notnull() for part in parts))
    sizes = filled.group_by(list(parts)).agg(size=filled.count())
    small = sizes.filter((sizes.size > 1) & (sizes.size <= cap + 1))
    left = filled.join(small, list(parts)).select("row", *(["source"] if two_sources else []), *parts)
    right = filled.view().rename(other="row")
    if two_sources:
        right = right.rename(other_source="source")
    conditions = [*parts, left.row < right.other]
    if two_sources:
        conditions.append(left.source != right.other_source)
    return left.join(right, conditions).select("row", "other")


def transformed(column: Column, of: str) -> tuple[Codes, tuple[str, ...]]:
    """The codes and the distinct texts of a transform of a column's values; MISSING where the transform has nothing."""
    if of == "whole":
        return column.codes, column.values
    texts = pa.array(TRANSFORMS[of](column.values), type=pa.string()).dictionary_encode()
    found = texts.dictionary.to_pylist()
    distinct = tuple(sorted(text for text in found if text))
    place = {text: code for code, text in enumerate(distinct)}
    codes = np.array([*(place.get(text, MISSING) for text in found), MISSING], dtype=np.int32)
    of_value = np.append(codes[texts.indices.to_numpy(zero_copy_only=False)], MISSING)
    return of_value[column.codes].astype(np.int32), distinct


def _tokens(value: str) -> list[str]:
    return re.findall(r"\w+", value)


def _soundex(word: str) -> str:
    """The classic four-sign code of how a word sounds (Russell 1918), for words in Latin letters."""
    letters = [letter for letter in word if "a" <= letter <= "z"]
    if not letters:
        return word
    sounds = [_SOUND.get(letter, "") for letter in letters]
    kept, last = [letters[0]], sounds[0]
    for letter, sound in zip(letters[1:], sounds[1:], strict=True):
        if sound and sound != last:
            kept.append(sound)
        if letter not in "hw":
            last = sound
    return ("".join(kept) + "000")[:4]


_SOUND = {letter: str(code) for code, group in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), start=1) for letter in group}


def _each(change: Callable[[str], str]) -> Callable[[Sequence[str]], list[str]]:
    return lambda values: [change(value) for value in values]


def _first(signs: int) -> Callable[[Sequence[str]], pa.Array]:
    return lambda values: pc.utf8_slice_codeunits(pa.array(values, type=pa.string()), 0, signs)


TRANSFORMS: Mapping[str, Callable[[Sequence[str]], Sequence[str] | pa.Array]] = {
    "first 2": _first(2),
    "first 3": _first(3),
    "first 4": _first(4),
    "first token": _each(lambda value: next(iter(_tokens(value)), "")),
    "last token": _each(lambda value: next(iter(reversed(_tokens(value))), "")),
    "sorted tokens": _each(lambda value: " ".join(sorted(_tokens(value)))),
    "initials": _each(lambda value: "".join(sorted(token[0] for token in _tokens(value)))),
    "sound": _each(lambda value: _soundex(next(iter(_tokens(value)), ""))),
    "sound of last": _each(lambda value: _soundex(next(iter(reversed(_tokens(value))), ""))),
    "year": _each(lambda value: value[:4] if value[:4].isdigit() else ""),
    "month and day": _each(lambda value: value[5:10]),
    "before at": _each(lambda value: value.partition("@")[0]),
    "last 7": _each(lambda value: value[-7:]),
}
"""What of a value has to agree, on a normalised text; `whole` is all of it."""


@dataclass(frozen=True)
class _Coded:
    table: pa.Table
    names: Mapping[Part, str]
    texts: Mapping[Part, tuple[str, ...]]

    def codes(self, part: Part) -> Codes:
        return np.asarray(self.table[self.names[part]].fill_null(MISSING).to_numpy(), dtype=np.int32)


def _coded(records: Records, keys: Sequence[Key]) -> _Coded:
    parts = sorted({part for key in keys for part in key.parts}, key=str)
    columns: dict[str, pa.Array] = {"row": pa.array(np.arange(len(records), dtype=np.int32))}
    if records.source is not None:
        columns["source"] = pa.array(records.source)
    names, texts = {}, {}
    for number, part in enumerate(parts):
        codes, texts[part] = transformed(records.column(part.column), part.of)
        names[part] = f"part_{number}"
        columns[names[part]] = pa.array(codes, mask=codes == MISSING)
    return _Coded(pa.table(columns), names, texts)


def _unbound(table: pa.Table) -> ir.Table:
    return ibis.table(ibis.Schema.from_pyarrow(table.schema), name="records")


def _large_blocks(
    records: Records, key: Key, coded: _Coded, cap: int, order_by: Sequence[str] | None
) -> tuple[PairCodes, tuple[Capped, ...], int]:
    """Neighbours in sorted order inside the blocks that are too large, the largest of these blocks, and how many there are."""
    rows, group = _rows_of_large_blocks(key, coded, cap)
    if not len(rows):
        return np.empty(0, dtype=np.int64), (), 0
    names = telling(records, key, rows) if order_by is None else order_by
    codes: list[npt.NDArray[Any]] = [records.column(name).codes[rows] for name in names]
    order = np.lexsort((*codes, group))
    rows, group = rows[order], group[order]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sizes = np.diff(np.r_[starts, len(rows)])
    windows = np.array([_window(int(size), cap) for size in sizes])
    pairs = _neighbours(records, rows, group, np.repeat(windows, sizes))
    largest = np.argsort(-sizes, kind="stable")[:REPORTED]
    capped = tuple(
        Capped(str(key), _value(key, coded, rows[starts[at]]), int(sizes[at]), _skipped(int(sizes[at]), int(windows[at])))
        for at in largest
    )
    return pairs, capped, len(sizes)


REPORTED = 10
"""The largest blocks of a key that are named; the others are counted."""


def _rows_of_large_blocks(key: Key, coded: _Coded, cap: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The rows in blocks of more than `cap + 1`, and a number for the block of each."""
    together, filled = np.zeros(len(coded.table), dtype=np.int64), np.ones(len(coded.table), dtype=bool)
    span = 1
    for part in key.parts:
        codes, width = coded.codes(part), len(coded.texts[part]) + 1
        filled &= codes != MISSING
        if span * width > 1 << 62:
            together = np.unique(together, return_inverse=True)[1].astype(np.int64)
            span = len(together)
        together, span = together * width + codes + 1, span * width
    rows = np.flatnonzero(filled)
    ordered = np.sort(together[rows])
    if not (ordered[cap + 1 :] == ordered[: -cap - 1]).any():
        return rows[:0], together[:0]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    values = ordered[starts]
    is_large = np.diff(np.r_[starts, len(ordered)]) > cap + 1
    number = np.searchsorted(values, together[rows])
    return rows[is_large[number]], number[is_large[number]]


def telling(records: Records, key: Key, rows: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """The columns to put rows of one key in order by: last the one that tells most of them apart, as np.lexsort wants it."""
    used = {part.column for part in key.parts}
    others = [column for column in records.columns if column.field.name not in used and len(column.values) > 1]
    sample = rows[:: max(1, len(rows) // 10_000)]
    apart = [len(np.unique(column.codes[sample])) for column in others]
    return tuple(others[at].field.name for at in np.argsort(apart, kind="stable")[-4:])


def _window(size: int, cap: int) -> int:
    """How many neighbours on each side: half the cap, and fewer in a giant block, so that it costs little more than a large one."""
    return min(cap // 2, max(1, 1000 * cap // size))


def _neighbours(
    records: Records, rows: npt.NDArray[np.int64], group: npt.NDArray[np.int64], window: npt.NDArray[np.int64]
) -> PairCodes:
    found = []
    for step in range(1, int(window.max()) + 1):
        near = np.flatnonzero((group[step:] == group[:-step]) & (window[step:] >= step))
        one, two = rows[near], rows[near + step]
        if records.unique_sources and records.source is not None:
            apart = records.source[one] != records.source[two]
            one, two = one[apart], two[apart]
        found.append(np.minimum(one, two) * len(records) + np.maximum(one, two))
    return np.concatenate(found)


def _value(key: Key, coded: _Coded, row: int) -> str:
    return " + ".join(coded.texts[part][coded.codes(part)[row]] for part in key.parts)


def _skipped(size: int, window: int) -> int:
    return size * (size - 1) // 2 - (window * size - window * (window + 1) // 2)


def to_json(key: Key) -> list[dict[str, str]]:
    """A key as plain values."""
    return [asdict(part) for part in key.parts]


def from_json(parts: Sequence[Mapping[str, str]]) -> Key:
    """A key from plain values."""
    return Key(tuple(Part(part["column"], part["of"]) for part in parts))
