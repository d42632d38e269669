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

from whence.identity.records import near
from whence.identity.records.table import MISSING, Codes, Column, Records

PairCodes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


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

    with duckdb.connect(config={"threads": 1}) as con:
        for key in keys:
            rows, group, sizes = _blocks(records, key)
            crowded = sizes[group] > cap + 1
            pairs = _joined(con, records, rows[~crowded], group[~crowded], cap)
            near, capped = _large_blocks(records, key, rows[crowded], group[crowded], cap, (orders or {}).get(key))
            yield Blocked(np.sort(np.concatenate([pairs, near])), capped, int((sizes > cap + 1).sum()))


def _joined(con: Any, records: Records, rows: Rows, group: Rows, cap: int) -> PairCodes:
    """The pairs within blocks, by the database; records alone with their key have not come this far."""
    columns = {"row": rows.astype(np.int32), "key": group}
    if records.unique_sources and records.source is not None:
        columns["source"] = records.source[rows]
    table = pa.table(columns)
    expression = pairs_of(ibis.table(ibis.Schema.from_pyarrow(table.schema), name="keyed"), ["key"], cap)
    con.register("keyed", table)
    found = con.sql(str(ibis.to_sql(expression, dialect="duckdb"))).to_arrow_table()
    con.unregister("keyed")
    return np.asarray(found["row"].to_numpy().astype(np.int64) * len(records) + found["other"].to_numpy())


def pairs_of(table: ir.Table, parts: Sequence[str], cap: int) -> ir.Table:
    """The expression for rows that agree on all parts, in blocks of no more than `cap + 1` rows; `row` is below `other`.

    With a column `source` only rows of different sources are paired. The same expression runs on Spark.
    """
    filled = table.filter(*(table[part].notnull() for part in parts))
    sizes = filled.group_by(list(parts)).agg(size=filled.count())
    small = sizes.filter((sizes.size > 1) & (sizes.size <= cap + 1))
    sourced = ["source"] if "source" in table.columns else []
    left = filled.join(small, list(parts)).select("row", *sourced, *parts)
    right = filled.view().rename(other="row", **({"other_source": "source"} if sourced else {}))
    apart = [left.source != right.other_source] if sourced else []
    return left.join(right, [*parts, left.row < right.other, *apart]).select("row", "other")


def _blocks(records: Records, key: Key) -> tuple[Rows, Rows, Rows]:
    """The rows that share a key with another, the number of each one's block, and the sizes of the blocks."""
    together, filled = np.zeros(len(records), dtype=np.int64), np.ones(len(records), dtype=bool)
    span = 1
    for part in key.parts:
        codes, texts = transformed(records.column(part.column), part.of)
        filled &= codes != MISSING
        if span * (len(texts) + 1) > 1 << 62:
            together = np.unique(together, return_inverse=True)[1].astype(np.int64)
            span = len(together)
        together, span = together * (len(texts) + 1) + codes + 1, span * (len(texts) + 1)
    rows = np.flatnonzero(filled)
    rows = rows[np.argsort(together[rows], kind="stable")]
    if not len(rows):
        return rows, rows, rows
    starts = np.flatnonzero(np.r_[True, together[rows][1:] != together[rows][:-1]])
    sizes = np.diff(np.r_[starts, len(rows)])
    is_shared = sizes > 1
    return rows[np.repeat(is_shared, sizes)], np.repeat(np.arange(is_shared.sum()), sizes[is_shared]), sizes[is_shared]


def transformed(column: Column, of: str) -> tuple[Codes, Sequence[str]]:
    """The codes and the distinct texts of a transform of a column's values; MISSING where the transform has nothing."""
    if of == "whole":
        return column.codes, column.values
    if of not in column.derived:
        column.derived[of] = _transformed(column, TRANSFORMS[of](column.values))
    return column.derived[of]


def _transformed(column: Column, texts: Sequence[str] | pa.Array) -> tuple[Codes, Sequence[str]]:
    coded = pa.array(texts, type=pa.string()).dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary).to_numpy()
    distinct = coded.dictionary.take(order).to_pylist()
    blank = 1 if distinct and distinct[0] == "" else 0
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32) - blank
    of_value = np.append(rank[coded.indices.to_numpy(zero_copy_only=False)], np.int32(MISSING))
    return of_value[column.codes].astype(np.int32), distinct[blank:]


def _tokens(value: str) -> list[str]:
    return [value] if value.isalnum() else re.findall(r"\w+", value)


def _soundex(word: str) -> str:
    """The classic four-sign code of how a word sounds (Russell 1918), for words in Latin letters.

    >>> _soundex("robert"), _soundex("rupert"), _soundex("tymczak")
    ('r163', 'r163', 't522')
    """
    letters = word if word.isascii() and word.isalpha() and word.islower() else _NOT_LATIN.sub("", word)
    if not letters:
        return word
    sounds = _RUNS.sub("", letters[0].translate(_FIRST) + letters[1:].translate(_SOUNDS))
    return (letters[0] + sounds[1:].replace(".", "") + "000")[:4]


_NOT_LATIN = re.compile("[^a-z]")
_RUNS = re.compile(r"([1-6])(?=\1)")
_GROUPS = ("bfpv", "cgjkqsxz", "dt", "l", "mn", "r")
_CODED = {letter: str(code) for code, group in enumerate(_GROUPS, start=1) for letter in group}
_SOUNDS = str.maketrans(_CODED | dict.fromkeys("aeiouy", ".") | dict.fromkeys("hw"))
_FIRST = str.maketrans(_CODED | dict.fromkeys("aeiouyhw", "."))


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
    "month and day": _each(lambda value: value[5:10] if value[4:5] == "-" else ""),
    "before at": _each(lambda value: value.partition("@")[0]),
    "last 7": _each(lambda value: value[-7:]),
    "band": near.band("number", 0, "-"),
    "other band": near.band("number", 0, "+"),
    "wide band": near.band("number", 1, "-"),
    "other wide band": near.band("number", 1, "+"),
    "week": near.band("day", 0, "-"),
    "other week": near.band("day", 0, "+"),
    "month": near.band("day", 1, "-"),
    "other month": near.band("day", 1, "+"),
    "two years": near.band("year", 0, "-"),
    "other two years": near.band("year", 0, "+"),
}
"""What of a value has to agree, on a normalised text; `whole` is all of it."""


def _large_blocks(
    records: Records, key: Key, rows: Rows, group: Rows, cap: int, order_by: Sequence[str] | None
) -> tuple[PairCodes, tuple[Capped, ...]]:
    """Neighbours in sorted order inside the blocks that are too large, and the largest of these blocks."""
    if not len(rows):
        return np.empty(0, dtype=np.int64), ()
    names = telling(records, key, rows) if order_by is None else order_by
    codes: list[npt.NDArray[Any]] = [records.column(name).codes[rows] for name in names]
    order = np.lexsort((*codes, group))
    rows, group = rows[order], group[order]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sizes = np.diff(np.r_[starts, len(rows)])
    windows = np.array([_window(int(size), cap) for size in sizes])
    pairs = _neighbours(records, rows, group, np.repeat(windows, sizes))
    capped = (
        Capped(str(key), _value(records, key, rows[starts[at]]), int(sizes[at]), _skipped(int(sizes[at]), int(windows[at])))
        for at in np.argsort(-sizes, kind="stable")[:REPORTED]
    )
    return pairs, tuple(capped)


REPORTED = 10
"""The largest blocks of a key that are named; the others are counted."""


def telling(records: Records, key: Key, rows: Rows) -> tuple[str, ...]:
    """The columns to put rows of one key in order by: last the one that tells most of them apart, as np.lexsort wants it."""
    used = {part.column for part in key.parts}
    others = [column for column in records.columns if column.field.name not in used and len(column.values) > 1]
    sample = rows[:: max(1, len(rows) // 10_000)]
    apart = [len(np.unique(column.codes[sample])) for column in others]
    return tuple(others[at].field.name for at in np.argsort(apart, kind="stable")[-4:])


def _window(size: int, cap: int) -> int:
    """How many neighbours on each side: half the cap, and fewer in a giant block, so that it costs little more than a large one."""
    return min(cap // 2, max(1, 1000 * cap // size))


def _neighbours(records: Records, rows: Rows, group: Rows, window: Rows) -> PairCodes:
    found = []
    for step in range(1, int(window.max()) + 1):
        near = np.flatnonzero((group[step:] == group[:-step]) & (window[step:] >= step))
        one, two = rows[near], rows[near + step]
        if records.unique_sources and records.source is not None:
            apart = records.source[one] != records.source[two]
            one, two = one[apart], two[apart]
        found.append(np.minimum(one, two) * len(records) + np.maximum(one, two))
    return np.concatenate(found)


def _value(records: Records, key: Key, row: int) -> str:
    parts = (transformed(records.column(part.column), part.of) for part in key.parts)
    return " + ".join(texts[codes[row]] for codes, texts in parts)


def _skipped(size: int, window: int) -> int:
    return size * (size - 1) // 2 - (window * size - window * (window + 1) // 2)


def to_json(key: Key) -> list[dict[str, str]]:
    """A key as plain values."""
    return [asdict(part) for part in key.parts]


def from_json(parts: Sequence[Mapping[str, str]]) -> Key:
    """A key from plain values."""
    return Key(tuple(Part(part["column"], part["of"]) for part in parts))
