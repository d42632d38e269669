"""Search: for each record the others that share most of what is rare in it, by BM25 over 3-grams, words and pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sparse_dot_topn import sp_matmul_topn

from whence.identity.records import near
from whence.identity.records.keys import Part
from whence.identity.records.table import MISSING, Codes, Floats, Records

Sparse = Any
"""A scipy.sparse.csr_matrix of records by terms; scipy is not typed."""

K1 = 1.2
B = 0.75
GRAMS = 1 << 20
"""3-grams are numbered by a hash of 20 bits."""
WORK = 500_000_000
"""Products of two terms that a search may cost, about three seconds of one core; what is too common is left out first."""
WORK_PER_RECORD = 300


@dataclass(frozen=True)
class Hits:
    """The best others of each query, best first: `rank` counts from 0 within a query."""

    query: Codes
    other: Codes
    score: npt.NDArray[np.float32]
    rank: Codes


@dataclass(frozen=True)
class Index:
    """What each record holds, and what it weighs in it."""

    held: Sparse
    weights: Sparse
    dropped: int
    """Terms that are too common to be worth their cost."""
    own: Floats
    """What each record scores against itself."""


def index(records: Records, parts: Sequence[Part], weights: Sequence[float] | None = None, work: int | None = None) -> Index:
    """The terms of the records by BM25, without those that only one record holds and those that are too costly.

    Without `weights` one part is as BM25 has it. With weights, several parts count by them: a record that agrees with
    itself on a part scores that part's weight there on average, so that a long text does not outweigh a short name.
    """
    counts = [_terms(records, part) for part in parts]
    kept, dropped = _affordable(counts, work or max(WORK, WORK_PER_RECORD * len(records)))
    blocks = [_bm25(each, keep) for each, keep in zip(counts, kept, strict=True)]
    if weights is not None:
        blocks = [_scaled(block, weight) for block, weight in zip(blocks, weights, strict=True)]
    joined = sp.hstack(blocks, format="csr", dtype=np.float32) if blocks else sp.csr_matrix((len(records), 0), dtype=np.float32)
    held = joined.copy()
    held.data = np.ones_like(held.data)
    return Index(held, joined, dropped, _row_sums(joined))


def _bm25(counts: Sparse, kept: npt.NDArray[np.int64]) -> Sparse:
    """Robertson's weight of each term that is kept in each record, with k1=1.2 and b=0.75."""
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    filled = max(int((np.diff(counts.indptr) > 0).sum()), 1)
    idf = np.log1p((counts.shape[0] - held + 0.5) / (held + 0.5))[kept]
    lengths = _row_sums(counts)
    norm = K1 * (1 - B + B * lengths / max(lengths.sum() / filled, 1.0))
    weights = counts[:, kept]
    spread = np.repeat(norm, np.diff(weights.indptr))
    weights.data = (idf[weights.indices] * weights.data * (K1 + 1) / (weights.data + spread)).astype(np.float32)
    return weights


def _scaled(block: Sparse, weight: float) -> Sparse:
    own = _row_sums(block)
    mean = own[own > 0].mean() if (own > 0).any() else 1.0
    scaled = block.copy()
    scaled.data = (block.data * (weight / mean)).astype(np.float32)
    return scaled


def _row_sums(matrix: Sparse) -> Floats:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def search(records: Records, held: Index, k: int, rows: npt.NDArray[np.int64] | None = None, chunk: int = 20_000) -> Hits:
    """The `k` best others of each record, or of those in `rows`; of other sources where no source holds one person twice."""
    rows = np.arange(len(records)) if rows is None else rows
    if not records.unique_sources or records.source is None:
        return _best(held, rows, np.arange(len(records)), k, chunk)
    found = []
    for source in np.unique(records.source[rows]):
        others = np.flatnonzero(records.source != source)
        found.append(_best(held, rows[records.source[rows] == source], others, k, chunk))
    return _joined(found)


def _best(held: Index, queries: npt.NDArray[np.int64], others: npt.NDArray[np.int64], k: int, chunk: int) -> Hits:
    turned = held.weights[others].T.tocsr()
    return _joined(
        [
            _chunk(held.held[queries[at : at + chunk]], turned, queries[at : at + chunk], others, k)
            for at in range(0, len(queries), chunk)
        ]
    )


def _chunk(asked: Sparse, turned: Sparse, queries: npt.NDArray[np.int64], others: npt.NDArray[np.int64], k: int) -> Hits:
    best = sp_matmul_topn(asked, turned, top_n=k + 1, sort=True, n_threads=1)
    query = np.repeat(queries, np.diff(best.indptr))
    other, score = others[best.indices], best.data
    apart = (query != other) & (score > 0)
    query, other, score = query[apart], other[apart], score[apart]
    order = np.lexsort((other, -score, query))
    query, other, score = query[order], other[order], score[order]
    rank = places(query)
    kept = rank < k
    return Hits(
        query[kept].astype(np.int32), other[kept].astype(np.int32), score[kept].astype(np.float32), rank[kept].astype(np.int32)
    )


def places(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place of each element within its group, from 0; groups lie together."""
    if not len(groups):
        return np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))


def _joined(hits: Sequence[Hits]) -> Hits:
    if not hits:
        nothing = np.empty(0, dtype=np.int32)
        return Hits(nothing, nothing, np.empty(0, dtype=np.float32), nothing)
    return Hits(
        np.concatenate([each.query for each in hits]),
        np.concatenate([each.other for each in hits]),
        np.concatenate([each.score for each in hits]),
        np.concatenate([each.rank for each in hits]),
    )


def _affordable(counts: Sequence[Sparse], work: int) -> tuple[list[npt.NDArray[np.int64]], int]:
    """For each part the terms that more than one record holds, from the rarest on until the work is spent; and the rest's number."""
    held = [np.bincount(each.indices, minlength=each.shape[1]) for each in counts]
    everything = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *held]))
    spent = np.cumsum(everything**2)
    affordable = np.flatnonzero(spent <= work)
    most = int(everything[affordable[-1]]) if len(affordable) else 1
    kept = [np.flatnonzero((each > 1) & (each <= most)) for each in held]
    return kept, int(sum((each > most).sum() for each in held))


def _terms(records: Records, part: Part) -> Sparse:
    column = records.column(part.column)
    values = _gram_counts(column.values) if part.of == "grams" else _word_counts(column.values, WORDS[part.of])
    with_missing = sp.vstack([values, sp.csr_matrix((1, values.shape[1]), dtype=np.float32)], format="csr")
    return with_missing[np.where(column.codes == MISSING, len(column.values), column.codes)]


def _gram_counts(values: Sequence[str]) -> Sparse:
    """How often each value holds each 3-gram, its edges marked by blanks; columns are only those that occur."""
    text = "".join(f"  {value} " for value in values)
    signs = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(signs) < 3:
        return sp.csr_matrix((len(values), 0), dtype=np.float32)
    lengths = np.fromiter((len(value) + 3 for value in values), dtype=np.int64, count=len(values))
    row = np.repeat(np.arange(len(values)), lengths)[:-2]
    inside = np.ones(len(signs), dtype=bool)
    ends = np.cumsum(lengths)
    inside[ends - 1] = inside[ends - 2] = False
    hashed, row = _hash3(signs)[inside[:-2]], row[inside[:-2]]
    occurs = np.zeros(GRAMS, dtype=np.int64)
    occurs[hashed] = 1
    number = np.cumsum(occurs) - 1
    shape = (len(values), int(occurs.sum()))
    return sp.coo_matrix((np.ones(len(row), dtype=np.float32), (row, number[hashed])), shape=shape).tocsr()


def _hash3(signs: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    mixed = (signs[:-2] << np.uint64(42)) ^ (signs[1:-1] << np.uint64(21)) ^ signs[2:]
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(44)).astype(np.int64)


def _word_counts(values: Sequence[str], split: Callable[[str], Sequence[str]]) -> Sparse:
    numbers: dict[str, int] = {}
    rows, columns = [], []
    for row, value in enumerate(values):
        for word in dict.fromkeys(split(value)):
            rows.append(row)
            columns.append(numbers.setdefault(word, len(numbers)))
    ones = np.ones(len(rows), dtype=np.float32)
    return sp.coo_matrix(
        (ones, (np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64))), shape=(len(values), len(numbers))
    ).tocsr()


def _words(value: str) -> list[str]:
    return re.findall(r"\w+", value)


def _date_pieces(value: str) -> list[str]:
    """The whole date, and each two of its year, month and day, so that one wrong piece leaves something to share."""
    parts = value.split("-")
    if len(parts) != 3:
        return [value]
    year, month, day = parts
    return [value, f"{year}-{month}", f"{year}--{day}", f"--{month}-{day}"]


def _code_pieces(value: str) -> list[str]:
    """The whole, its words, and its first three signs: the area of a postcode."""
    return [f"={value}", *_words(value), f"{value[:3]}*"]


def _number_pieces(value: str) -> list[str]:
    """A phone number, and its last seven digits, which do not depend on how country and area are written."""
    digits = re.sub(r"\D", "", value)
    return [f"={value}", digits[-7:]] if len(digits) >= 7 else [f"={value}"]


WORDS: Mapping[str, Callable[[str], Sequence[str]]] = {
    "whole": lambda value: [value],
    "words": _words,
    "date pieces": _date_pieces,
    "code pieces": _code_pieces,
    "number pieces": _number_pieces,
    "near numbers": near.terms("number"),
    "near years": near.terms("year"),
    "near days": near.terms("day"),
}
"""The terms of a value, apart from `grams`."""

TERMS: Mapping[str, str] = {
    "name": "grams",
    "given_name": "grams",
    "surname": "grams",
    "email": "grams",
    "address": "grams",
    "code": "grams",
    "text": "grams",
    "date": "date pieces",
    "day": "near days",
    "phone": "number pieces",
    "postcode": "code pieces",
    "place": "words",
    "year": "near years",
    "category": "whole",
    "number": "near numbers",
    "ip": "whole",
    "user_agent": "whole",
}
"""Which terms speak for a field of each kind."""
