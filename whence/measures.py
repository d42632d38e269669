"""How good a model is, with the doubt: each measure is a value and an interval over people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROUNDS = 400
SEED = 7
FLOOR = 1e-6
"""Probabilities are kept this far from 0 and 1 inside a logarithm."""
BINS = 15
GROUPS = 4000
"""More clusters than this are put into so many groups at random: the doubt stays the same, and its cost bounded."""


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval, and how many rows (or queries, or people) are behind it.

    All of it is NaN where the measure cannot be taken, as a ROC AUC without a positive.

    >>> Measure(0.25, 0.2, 0.3, 100).as_dict()
    {'value': 0.25, 'low': 0.2, 'high': 0.3, 'n': 100}
    """

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float]:
        """A plain dict, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] n={self.n}"


def log_losses(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """The negative log-likelihood of each row, in nats.

    >>> log_losses([1, 0], [0.5, 0.5]).round(4).tolist()
    [0.6931, 0.6931]
    """
    y, p = _floats(labels), np.clip(_floats(probabilities), FLOOR, 1 - FLOOR)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)), dtype=np.float64)


def log_loss(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Mean negative log-likelihood; less is better. `clusters` names the person of each row."""
    return mean(log_losses(labels, probabilities), clusters, seed=seed)


def brier(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Mean squared error of the probabilities; less is better."""
    return mean((_floats(labels) - _floats(probabilities)) ** 2, clusters, seed=seed)


def mean(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED) -> Measure:
    """The mean of the rows, resampled by cluster."""
    x = _floats(values)
    sums = _cluster_sums(np.column_stack([x, np.ones_like(x)]), clusters)
    return _over_sums(sums, lambda s: s[..., 0] / s[..., 1], len(x), seed)


def paired_difference(
    loss_a: npt.ArrayLike, loss_b: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Mean of `loss_a − loss_b` over the same rows: positive when b loses less; b is better for sure when `low` > 0.

    >>> paired_difference([1.0, 1.0, 1.0], [0.5, 0.5, 0.5]).low
    0.5
    """
    a, b = _floats(loss_a), _floats(loss_b)
    if a.shape != b.shape:
        raise ValueError(f"A paired difference needs the same rows on both sides; {len(a)} and {len(b)} came.")
    return mean(a - b, clusters, seed=seed)


def observed_over_expected(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Positives that came over positives foretold: 1 is right, 1.2 means 20 % more came than was said.

    Without a positive the upper end is three over the expected number, since resampling cannot see doubt there.
    """
    y, p = _floats(labels), _floats(probabilities)
    measure = _over_sums(_cluster_sums(np.column_stack([y, p]), clusters), lambda s: s[..., 0] / s[..., 1], len(y), seed)
    return Measure(0.0, 0.0, 3 / float(p.sum()), len(y)) if len(y) and not y.any() and p.any() else measure


def calibration_error(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    bins: int = BINS,
    seed: int = SEED,
) -> Measure:
    """Root mean square gap between said and seen, over bins of equal mass, less what noise alone would give.

    The noise of each bin's gap is estimated over clusters. A resample carries the sample's noise and
    its own, so it is taken off twice there. After Kumar, Liang, Ma: Verified uncertainty calibration (2019).
    """
    y, p = _floats(labels), _floats(probabilities)
    if not len(y):
        return _nothing(0)
    bin_of = _equal_mass(p, bins)
    codes, count = _clusters(clusters, len(y))
    width = int(bin_of.max()) + 1
    cell, where = np.unique(codes * width + bin_of, return_inverse=True)
    residual, rows = np.bincount(where, y - p), np.bincount(where).astype(np.float64)
    person, place = cell // width, cell % width
    gap = np.bincount(place, residual, width) / np.bincount(place, rows, width)
    noise = (residual - rows * gap[place]) ** 2
    parts = [sparse.csr_matrix((x, (person, place)), shape=(count, width)) for x in (residual, rows, noise)]
    sums = sparse.hstack(parts, format="csr")

    def error(s: Floats, times: int) -> Floats:
        r, n, v = (s[..., i * width : (i + 1) * width] for i in range(3))
        n = np.maximum(n, 1.0)
        square = (r / n) ** 2 - times * v / n**2
        return np.asarray(np.sqrt(np.maximum((square * n).sum(-1) / n.sum(-1), 0.0)))

    drawn = np.concatenate([error(np.asarray((sums.T @ w.T).T), 2) for w in _weights(count, seed)])
    value = float(error(np.asarray(sums.sum(axis=0), dtype=np.float64).ravel(), 1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value, min(float(low), value), max(float(high), value), len(y))


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
    y, s, query, place = _by_query(labels, scores, queries)
    worth = _discount(place, k)
    gain = np.bincount(query, _tied_mean(y, s, query) * worth)
    positives = np.bincount(query, y).astype(np.int64)
    best = np.append(0.0, np.cumsum(_discount(np.arange(positives.max(initial=0)), k)))[positives]
    return _per_query(_floats(gain / np.where(best > 0, best, 1.0)), positives, queries, clusters, seed)


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
    return _per_query(_floats(first), np.bincount(query, y).astype(np.int64), queries, clusters, seed)


def _floats(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).ravel()


def _nothing(n: int) -> Measure:
    return Measure(float("nan"), float("nan"), float("nan"), n)


def _codes(names: npt.ArrayLike | None, n: int) -> tuple[Ints, int]:
    """Each row's name as a number, and how many there are; every row has its own when none are given."""
    if names is None:
        return np.arange(n, dtype=np.int64), n
    named = np.asarray(names)
    if len(named) != n:
        raise ValueError(f"There are {len(named)} names of clusters or queries for {n} rows. Give one a row.")
    kinds, codes = np.unique(named.astype(str) if named.dtype == object else named, return_inverse=True)
    return codes.astype(np.int64), len(kinds)


def _clusters(names: npt.ArrayLike | None, n: int) -> tuple[Ints, int]:
    codes, count = _codes(names, n)
    if count <= GROUPS:
        return codes, count
    return (np.random.default_rng(count).permutation(count) % GROUPS)[codes], GROUPS


def _cluster_sums(rows: Floats, clusters: npt.ArrayLike | None) -> Floats:
    codes, count = _clusters(clusters, len(rows))
    return np.column_stack([np.bincount(codes, column, count) for column in rows.T])


def _weights(count: int, seed: int, rounds: int = ROUNDS) -> Iterator[Floats]:
    """Poisson(1) weights in blocks of at most fifty rounds × clusters."""
    generator = np.random.default_rng(seed)
    for start in range(0, rounds, 50):
        yield generator.poisson(1.0, (min(50, rounds - start), count)).astype(np.float64)


def _over_sums(sums: Floats, statistic: Callable[[Floats], Floats], n: int, seed: int) -> Measure:
    if not n:
        return _nothing(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.concatenate([statistic(w @ sums) for w in _weights(len(sums), seed)])
        value = float(statistic(sums.sum(axis=0)))
    return _interval(value, drawn, n)


def _interval(value: float, drawn: Floats, n: int) -> Measure:
    kept = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(kept):
        return Measure(value if np.isfinite(value) else float("nan"), float("nan"), float("nan"), n)
    low, high = np.quantile(kept, [0.025, 0.975])
    return Measure(value, float(low), float(high), n)


def _equal_mass(p: Floats, bins: int) -> Ints:
    """A bin for each row, cut at quantiles; equal values fall into the same bin, and no bin is empty."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True)[1].astype(np.int64)


def _ranked(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: npt.ArrayLike | None,
    statistic: Callable[[Floats, Floats], float],
    seed: int,
) -> Measure:
    """A statistic of positive and negative weight by distinct score, highest first."""
    y, s = _floats(labels), _floats(scores)
    if not len(y) or not 0 < y.sum() < len(y):
        return _nothing(len(y))
    codes, count = _clusters(clusters, len(y))
    order = np.argsort(-s, kind="stable")
    ordered, y, codes = s[order], y[order], codes[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 0]))

    def of(weight: Floats) -> float:
        return statistic(np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts))

    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.array([of(row[codes]) for block in _weights(count, seed, ROUNDS // 2) for row in block])
    return _interval(of(np.ones_like(y)), drawn, len(y))


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
    y, s = _floats(labels), _floats(scores)
    query, _ = _codes(queries, len(y))
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
    codes, count = _codes(queries, len(np.asarray(queries)))
    owner = np.zeros(count, dtype=np.int64)
    owner[codes] = codes if clusters is None else _codes(clusters, len(codes))[0]
    has = positives > 0
    return mean(values[has], owner[has], seed=seed)
