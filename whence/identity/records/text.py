"""Search among texts: for each record the others whose character 3-grams speak most for it, by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sparse_dot_topn import sp_matmul_topn

from whence.identity.records.table import MISSING, Codes, Records

Sparse = sp.csr_matrix

K1 = 1.2
B = 0.75


@dataclass(frozen=True)
class Hits:
    """The best `k` others of each query, best first within a query."""

    query: Codes
    other: Codes
    score: npt.NDArray[np.float32]
    rank: Codes


def search(records: Records, columns: Sequence[str], k: int, chunk: int = 20_000) -> Hits:
    """The `k` most similar records of each record, from other sources where a source never holds one person twice."""
    grams = count_grams(records, columns)
    weights = bm25(grams)
    presence = grams.copy()
    presence.data = np.ones_like(presence.data, dtype=np.float32)
    if not records.unique_sources or records.source is None:
        return _top(presence, weights, np.arange(len(records)), np.arange(len(records)), k, chunk)
    found = []
    for source in np.unique(records.source):
        queries = np.flatnonzero(records.source == source)
        others = np.flatnonzero(records.source != source)
        found.append(_top(presence, weights, queries, others, k, chunk))
    return Hits(*(np.concatenate(parts) for parts in zip(*((h.query, h.other, h.score, h.rank) for h in found), strict=True)))


def count_grams(records: Records, columns: Sequence[str]) -> Sparse:
    """How often each record holds each 3-gram, over the columns together; a word's edges are grams too."""
    total = None
    width = 0
    for name in columns:
        column = records.column(name)
        if not column.values:
            continue
        values, width = _gram_counts(column.values), GRAMS
        empty = sp.csr_matrix((1, width), dtype=np.float32)
        counts = sp.vstack([values, empty], format="csr")[np.where(column.codes == MISSING, len(column.values), column.codes)]
        total = counts if total is None else total + counts
    if total is None:
        return sp.csr_matrix((len(records), GRAMS), dtype=np.float32)
    return total


GRAMS = 1 << 20
"""3-grams are numbered by a hash of 20 bits."""


def _gram_counts(values: Sequence[str]) -> Sparse:
    text = "".join(f"  {value} " for value in values)
    lengths = np.fromiter((len(value) + 3 for value in values), dtype=np.int64, count=len(values))
    signs = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(signs) < 3:
        return sp.csr_matrix((len(values), GRAMS), dtype=np.float32)
    mixed = (
        (signs[:-2] * np.uint64(0x9E3779B97F4A7C15))
        ^ (signs[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F))
        ^ (signs[2:] * np.uint64(0x165667B19E3779F9))
    )
    mixed ^= mixed >> np.uint64(29)
    hashed = ((mixed * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(44)).astype(np.int64)
    row = np.repeat(np.arange(len(values)), lengths)
    ends = np.cumsum(lengths)
    valid = np.ones(len(signs), dtype=bool)
    valid[ends - 1] = valid[ends - 2] = False
    valid = valid[:-2]
    counts = sp.coo_matrix((np.ones(valid.sum(), dtype=np.float32), (row[:-2][valid], hashed[valid])), shape=(len(values), GRAMS))
    return counts.tocsr()


def bm25(counts: Sparse) -> Sparse:
    """Robertson's weights of the grams in each record, k1=1.2 and b=0.75."""
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((counts.shape[0] - held + 0.5) / (held + 0.5))
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    mean = lengths[lengths > 0].mean() if (lengths > 0).any() else 1.0
    norm = K1 * (1 - B + B * lengths / mean)
    often = counts.data
    weights = counts.copy()
    weights.data = (idf[counts.indices] * often * (K1 + 1) / (often + np.repeat(norm, np.diff(counts.indptr)))).astype(np.float32)
    return weights


def _top(
    presence: Sparse, weights: Sparse, queries: npt.NDArray[np.int64], others: npt.NDArray[np.int64], k: int, chunk: int
) -> Hits:
    index = weights[others].T.tocsr()
    parts = []
    for start in range(0, len(queries), chunk):
        rows = queries[start : start + chunk]
        best = sp_matmul_topn(presence[rows], index, top_n=k + 1, sort=True, n_threads=1)
        query = np.repeat(rows, np.diff(best.indptr))
        other = others[best.indices]
        keep = query != other
        query, other, score = query[keep], other[keep], best.data[keep]
        order = np.lexsort((other, -score, query))
        query, other, score = query[order], other[order], score[order]
        first = np.flatnonzero(np.r_[True, query[1:] != query[:-1]]) if len(query) else np.empty(0, dtype=np.int64)
        rank = np.arange(len(query)) - np.repeat(first, np.diff(np.r_[first, len(query)]))
        keep = rank < k
        parts.append((query[keep], other[keep], score[keep], rank[keep]))
    query, other, score, rank = (np.concatenate(each) for each in zip(*parts, strict=True)) if parts else (np.empty(0),) * 4
    return Hits(query.astype(np.int32), other.astype(np.int32), score.astype(np.float32), rank.astype(np.int32))
