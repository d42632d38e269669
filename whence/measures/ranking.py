"""Whether the right rows come first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from whence.measures.intervals import (
    ROUNDS,
    SEED,
    Measure,
    clusters_of,
    codes_of,
    floats,
    interval,
    mean,
    nothing,
    poisson_weights,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def roc_auc(labels: npt.ArrayLike, scores: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED) -> Measure:
    """The chance that a positive scores above a negative, ties counted half."""
    return _ranked(labels, scores, clusters, _auc, seed)


def average_precision(
    labels: npt.ArrayLike, scores: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Mean precision over the positives, from the top score down; rows of equal score enter together."""
    return _ranked(labels, scores, clusters, _precision, seed)


def ndcg_at(
    k: int,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    queries: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    seed: int = SEED,
) -> Measure:
    """Mean normalised discounted gain of the first k rows of each query that has a positive.

    Rows of equal score share their gain, as if their order were drawn. `clusters` is by row; n counts queries.
    """
    gain, positives = _ndcg(k, labels, scores, queries)
    return _per_query(gain, positives, queries, clusters, seed)


def ndcg_difference(
    k: int,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    others: npt.ArrayLike,
    queries: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    seed: int = SEED,
) -> Measure:
    """NDCG of `scores` less that of `others` over the same queries: `scores` order better for sure when `low` > 0."""
    gain, positives = _ndcg(k, labels, scores, queries)
    return _per_query(gain - _ndcg(k, labels, others, queries)[0], positives, queries, clusters, seed)


def _ndcg(k: int, labels: npt.ArrayLike, scores: npt.ArrayLike, queries: npt.ArrayLike) -> tuple[Floats, Ints]:
    """Each query's gain, and how many positives it has."""
    y, s, query, place = _by_query(labels, scores, queries)
    worth = _discount(place, k)
    gain = np.bincount(query, _tied_mean(y, s, query) * worth)
    positives = np.bincount(query, y).astype(np.int64)
    best = np.append(0.0, np.cumsum(_discount(np.arange(positives.max(initial=0)), k)))[positives]
    return floats(gain / np.where(best > 0, best, 1.0)), positives


def top1(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    queries: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    seed: int = SEED,
) -> Measure:
    """Of the queries that have a positive, the share whose first row is one; ties as in `ndcg_at`."""
    y, s, query, place = _by_query(labels, scores, queries)
    first = np.bincount(query, _tied_mean(y, s, query) * (place == 0))
    return _per_query(floats(first), np.bincount(query, y).astype(np.int64), queries, clusters, seed)


def _ranked(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: npt.ArrayLike | None,
    statistic: Callable[[Floats, Floats], float],
    seed: int,
) -> Measure:
    """A statistic of positive and negative weight by distinct score, highest first."""
    y, s = floats(labels), floats(scores)
    if not len(y) or not 0 < y.sum() < len(y):
        return nothing(len(y))
    codes, count = clusters_of(clusters, len(y))
    order = np.argsort(-s, kind="stable")
    ordered, y, codes = s[order], y[order], codes[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 0]))

    def of(weight: Floats) -> float:
        return statistic(np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts))

    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.array([of(row[codes]) for block in poisson_weights(count, seed, ROUNDS // 2) for row in block])
    return interval(of(np.ones_like(y)), drawn, len(y))


def _auc(positive: Floats, negative: Floats) -> float:
    below = negative.sum() - np.cumsum(negative)
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def _precision(positive: Floats, negative: Floats) -> float:
    hits = np.cumsum(positive)
    seen = hits + np.cumsum(negative)
    return float((positive * hits / np.maximum(seen, 1e-12)).sum() / hits[-1])


def _discount(place: Ints, k: int) -> Floats:
    return np.where(place < k, 1 / np.log2(place + 2.0), 0.0)


def _by_query(labels: npt.ArrayLike, scores: npt.ArrayLike, queries: npt.ArrayLike) -> tuple[Floats, Floats, Ints, Ints]:
    """Labels, scores, query codes and places within the query (from 0), sorted by query and falling score."""
    y, s = floats(labels), floats(scores)
    query, _ = codes_of(queries, len(y))
    order = np.lexsort((-s, query))
    query = query[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(query) != 0])) if len(query) else np.empty(0, np.int64)
    place = np.arange(len(query)) - np.repeat(first, np.diff(np.append(first, len(query))))
    return y[order], s[order], query, place


def _tied_mean(y: Floats, s: Floats, query: Ints) -> Floats:
    """Each row's label averaged over the rows of the same query and score."""
    fresh = np.concatenate([[True], (np.diff(query) != 0) | (np.diff(s) != 0)]) if len(y) else np.empty(0, bool)
    group = np.cumsum(fresh) - 1
    return np.asarray((np.bincount(group, y) / np.maximum(np.bincount(group), 1))[group] if len(y) else y)


def _per_query(values: Floats, positives: Ints, queries: npt.ArrayLike, clusters: npt.ArrayLike | None, seed: int) -> Measure:
    codes, count = codes_of(queries, len(np.asarray(queries)))
    owner = np.zeros(count, dtype=np.int64)
    owner[codes] = codes if clusters is None else codes_of(clusters, len(codes))[0]
    has = positives > 0
    return mean(values[has], owner[has], seed=seed)
