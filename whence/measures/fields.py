"""Calibration by field: how far the cells of a field are off together, and the segment that is worst for sure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy import sparse

from whence.measures.intervals import SEED, Measure, clusters_of, codes_of, floats, nothing, poisson_weights

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_POSITIVES = 50
"""A field's cell with fewer is pooled with the others that have fewer: on its own it would measure luck."""
LEAST_EXPECTED = 10.0
"""A segment with fewer positives, foretold and seen, is not judged on its own."""


def field_calibration_error(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    field: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    least: int = LEAST_POSITIVES,
    seed: int = SEED,
) -> Measure:
    """By how much of its own rate each cell of a field is off, over all rows: 0.1 means that a row's cell is 10 % off.

    The relative calibration error of a field, (1/N) · Σ over cells of |Σ (y − p)| / mean y; cells with fewer than `least`
    positives are one. Noise alone makes it more than 0, and a resample carries the sample's noise and its own, so the
    interval is what the resamples say mirrored at the value. Pan and others: Field-aware calibration (2020).
    """
    y, p = floats(labels), floats(probabilities)
    if not y.any():
        return nothing(len(y))
    cell = pooled(y, field, least)
    person, count = clusters_of(clusters, len(y))
    width = int(cell.max()) + 1
    key, where = np.unique(person * width + cell, return_inverse=True)
    at, place = key // width, key % width
    columns = (np.bincount(where, y - p), np.bincount(where, y), np.bincount(where).astype(np.float64))
    sums = sparse.hstack([sparse.csr_matrix((x, (at, place)), shape=(count, width)) for x in columns], format="csr")

    def error(s: Floats) -> Floats:
        residual, positive, rows = (s[..., i * width : (i + 1) * width] for i in range(3))
        return np.asarray((np.abs(residual) * rows / np.maximum(positive, 1.0)).sum(-1) / np.maximum(rows.sum(-1), 1.0))

    value = float(error(np.asarray(sums.sum(axis=0), dtype=np.float64).ravel()))
    drawn = np.concatenate([error(np.asarray((sums.T @ w.T).T)) for w in poisson_weights(count, seed)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value, max(0.0, min(value, 2 * value - float(high))), max(value, 2 * value - float(low)), len(y))


def pooled(labels: npt.ArrayLike, field: npt.ArrayLike, least: int) -> Ints:
    """The cell of each row: its value of the field, those with fewer than `least` positives together.

    Where even these together have fewer, the smallest other cell joins them.

    >>> pooled([1, 1, 0, 1, 1], ["a", "a", "b", "c", "c"], 2).tolist()
    [0, 0, 0, 1, 1]
    """
    y = floats(labels)
    codes, count = codes_of(field, len(y))
    positives = np.bincount(codes, y, count)
    is_small = positives < least
    if is_small.any() and positives[is_small].sum() < least and not is_small.all():
        is_small[np.argmin(np.where(is_small, np.inf, positives))] = True
    return np.unique(np.where(is_small, -1, np.arange(count))[codes], return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Worst:
    """The segment whose level is off furthest for sure."""

    segment: str
    ratio: Measure
    """Observed over expected in it, with an interval that holds for all the segments judged at once."""
    among: int
    """How many segments were judged."""

    @property
    def is_off(self) -> bool:
        """Whether its interval leaves 1 out; when the worst does not, none does."""
        return bool(self.ratio.low > 1 or self.ratio.high < 1)


def worst_segment(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    segments: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    least: float = LEAST_EXPECTED,
) -> Worst | None:
    """The segment whose interval of observed over expected lies furthest from 1; None when all are too small to judge.

    Each interval is at the level 1 − 0.05 / segments (Bonferroni), so that looking at many does not find one by chance.
    It is on a logarithmic scale, from the residuals of whole clusters.
    """
    y, p = floats(labels), floats(probabilities)
    codes, count = codes_of(segments, len(y))
    names = np.unique(np.asarray(segments).astype(str))
    seen, said = np.bincount(codes, y, count), np.bincount(codes, p, count)
    judged = np.flatnonzero(np.maximum(seen, said) >= least)
    if not len(judged):
        return None
    person, _ = clusters_of(clusters, len(y))
    spread = NormalDist().inv_cdf(1 - 0.025 / len(judged))
    ratios = [_ratio(y[codes == each], p[codes == each], person[codes == each], spread) for each in judged]
    worst = int(np.argmax([_distance(ratio) for ratio in ratios]))
    return Worst(str(names[judged[worst]]), ratios[worst], len(judged))


def _ratio(y: Floats, p: Floats, person: Ints, spread: float) -> Measure:
    """Observed over expected, `spread` standard errors to each side."""
    seen, said = float(y.sum()), float(p.sum())
    if not seen:
        chance = 2 * (1 - NormalDist().cdf(spread))
        return Measure(0.0, 0.0, -float(np.log(chance)) / said, len(y))  # no positive of so many foretold has this chance
    ratio = seen / said
    residual = np.bincount(np.unique(person, return_inverse=True)[1], y - ratio * p)
    wide = float(np.exp(spread * np.sqrt((residual**2).sum()) / seen))
    return Measure(ratio, ratio / wide, ratio * wide, len(y))


def _distance(ratio: Measure) -> float:
    """How far the interval is from 1, as a logarithm; negative when it holds 1."""
    with np.errstate(divide="ignore"):
        return float(max(np.log(ratio.low), -np.log(ratio.high)))
