"""Whether probabilities mean what they say: losses, observed over expected, and calibration errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from whence.measures.intervals import SEED, Measure, cluster_sums, clusters_of, floats, mean, nothing, over_sums, poisson_weights

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLOOR = 1e-6
"""Probabilities are kept this far from 0 and 1 inside a logarithm."""
BINS = 15
NEWTON_STEPS = 30


def log_losses(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """The negative log-likelihood of each row, in nats.

    >>> log_losses([1, 0], [0.5, 0.5]).round(4).tolist()
    [0.6931, 0.6931]
    """
    y, p = floats(labels), np.clip(floats(probabilities), FLOOR, 1 - FLOOR)
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
    return mean((floats(labels) - floats(probabilities)) ** 2, clusters, seed=seed)


def observed_over_expected(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Positives that came over positives foretold: 1 is right, 1.2 means 20 % more came than was said.

    Without a positive the upper end is three over the expected number, since resampling cannot see doubt there.
    """
    y, p = floats(labels), floats(probabilities)
    measure = over_sums(cluster_sums(np.column_stack([y, p]), clusters), lambda s: s[..., 0] / s[..., 1], len(y), seed)
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
    y, p = floats(labels), floats(probabilities)
    if not len(y):
        return nothing(0)
    bin_of = _equal_mass(p, bins)
    codes, count = clusters_of(clusters, len(y))
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

    drawn = np.concatenate([error(np.asarray((sums.T @ w.T).T), 2) for w in poisson_weights(count, seed)])
    value = float(error(np.asarray(sums.sum(axis=0), dtype=np.float64).ravel(), 1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value, min(float(low), value), max(float(high), value), len(y))


def calibration_slope(labels: npt.ArrayLike, probabilities: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> Measure:
    """What the log-odds should be multiplied by, with an intercept of its own: 1 is right, below 1 they are too far apart.

    A logistic regression of the labels on the log-odds; the interval is from the residuals of whole clusters. Nothing where
    the labels or the probabilities are all the same, or where the log-odds tell them apart without an error.
    After Cox: Two further applications of a model for binary regression (1958).
    """
    y, p = floats(labels), np.clip(floats(probabilities), FLOOR, 1 - FLOOR)
    if not 0 < y.sum() < len(y) or np.ptp(p) < 1e-9:
        return nothing(len(y))
    x = np.column_stack([np.ones_like(p), np.log(p) - np.log1p(-p)])
    beta = np.array([np.log(y.mean() / (1 - y.mean())), 0.0])
    for _ in range(NEWTON_STEPS):
        said = _logistic(x @ beta)
        information = (x * (said * (1 - said))[:, None]).T @ x
        if np.linalg.cond(information) > 1e12:
            return nothing(len(y))
        step = np.linalg.solve(information, x.T @ (y - said))
        while np.abs(step).max() > 1e-9 and _loss(x @ (beta + step), y) > _loss(x @ beta, y):
            step = step / 2  # far from its aim a whole step may overshoot, and never come back
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            break
    else:
        return nothing(len(y))
    bread = np.linalg.inv(information)
    pulls = cluster_sums(x * (y - said)[:, None], clusters)
    error = 1.96 * float(np.sqrt((bread @ (pulls.T @ pulls) @ bread)[1, 1]))
    return Measure(float(beta[1]), float(beta[1]) - error, float(beta[1]) + error, len(y))


def _logistic(odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -500, 500))))


def _loss(odds: Floats, y: Floats) -> float:
    return float((np.logaddexp(0, odds) - y * odds).sum())


def _equal_mass(p: Floats, bins: int) -> Ints:
    """A bin for each row, cut at quantiles; equal values fall into the same bin, and no bin is empty."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True)[1].astype(np.int64)
