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

from whence.identity.records.keys import Part
from whence.identity.records.table import MISSING, Codes, Floats, Records

Sparse = Any
"""A scipy.sparse.csr_matrix of records by terms; scipy is not typed."""

K1 = 1.2
B = 0.75
GRAMS = 1 << 20
"""3-grams are numbered by a hash of 20 bits."""
GRAM_WEIGHT = 0.5
"""A sign of a text is in three grams at once, so that a gram says less than a word that is as rare."""
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


def index(records: Records, parts: Sequence[Part], work: int | None = None) -> Index:
    """The terms of the records by BM25, without those that only one record holds and those that are too costly."""
    blocks, scales = [], []
    for part in parts:
        block, scale = _terms(records, part)
        blocks.append(block)
        scales.append(np.full(block.shape[1], scale))
    counts = sp.hstack(blocks, format="csr", dtype=np.float32) if blocks else sp.csr_matrix((len(records), 0), dtype=np.float32)
    kept, dropped = _affordable(records, counts, work or max(WORK, WORK_PER_RECORD * len(records)))
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    idf = _idf(counts) * (np.concatenate(scales) if scales else 1.0)
    counts = counts[:, kept]
    weights = bm25(counts, lengths, idf[kept])
    held = counts.copy()
    held.data = np.ones_like(held.data)
    return Index(held, weights, dropped, np.asarray(weights.sum(axis=1)).ravel())


def bm25(counts: Sparse, lengths: Floats, idf: Floats) -> Sparse:
    """Robertson's weight of each term in each record, with k1=1.2 and b=0.75."""
    mean = float(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0
    norm = np.repeat(K1 * (1 - B + B * lengths / mean), np.diff(counts.indptr))
    weights = counts.copy()
    weights.data = (idf[counts.indices] * counts.data * (K1 + 1) / (counts.data + norm)).astype(np.float32)
    return weights


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


def _idf(counts: Sparse) -> Floats:
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.log1p((counts.shape[0] - held + 0.5) / (held + 0.5))


def _affordable(records: Records, counts: Sparse, work: int) -> tuple[npt.NDArray[np.int64], int]:
    """The terms that more than one record holds, from the rarest on, until the work is spent."""
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    shared = np.flatnonzero(held > 1)
    shared = shared[np.argsort(held[shared], kind="stable")]
    spent = np.cumsum(held[shared].astype(np.int64) ** 2)
    kept = shared[spent <= work]
    return np.sort(kept), len(shared) - len(kept)


def _terms(records: Records, part: Part) -> tuple[Sparse, float]:
    column = records.column(part.column)
    if part.of == "grams":
        values, scale = _gram_counts(column.values), GRAM_WEIGHT
    else:
        values, scale = _word_counts(column.values, WORDS[part.of]), 1.0
    with_missing = sp.vstack([values, sp.csr_matrix((1, values.shape[1]), dtype=np.float32)], format="csr")
    return with_missing[np.where(column.codes == MISSING, len(column.values), column.codes)], scale


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
    "phone": "number pieces",
    "postcode": "code pieces",
    "place": "words",
    "year": "whole",
    "category": "whole",
    "number": "whole",
    "ip": "whole",
    "user_agent": "whole",
}
"""Which terms speak for a field of each kind."""
