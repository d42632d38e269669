"""A measure with its doubt: a value, and an interval from resampling people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROUNDS = 400
SEED = 7
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


def mean(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED) -> Measure:
    """The mean of the rows, resampled by cluster."""
    x = floats(values)
    sums = cluster_sums(np.column_stack([x, np.ones_like(x)]), clusters)
    return over_sums(sums, lambda s: s[..., 0] / s[..., 1], len(x), seed)


def paired_difference(
    loss_a: npt.ArrayLike, loss_b: npt.ArrayLike, clusters: npt.ArrayLike | None = None, *, seed: int = SEED
) -> Measure:
    """Mean of `loss_a − loss_b` over the same rows: positive when b loses less; b is better for sure when `low` > 0.

    >>> paired_difference([1.0, 1.0, 1.0], [0.5, 0.5, 0.5]).low
    0.5
    """
    a, b = floats(loss_a), floats(loss_b)
    if a.shape != b.shape:
        raise ValueError(f"A paired difference needs the same rows on both sides; {len(a)} and {len(b)} came.")
    return mean(a - b, clusters, seed=seed)


def floats(values: npt.ArrayLike) -> Floats:
    """The values as one flat array of doubles."""
    return np.asarray(values, dtype=np.float64).ravel()


def nothing(n: int) -> Measure:
    """The measure that cannot be taken."""
    return Measure(float("nan"), float("nan"), float("nan"), n)


def codes_of(names: npt.ArrayLike | None, n: int) -> tuple[Ints, int]:
    """Each row's name as a number, and how many there are; every row has its own when none are given."""
    if names is None:
        return np.arange(n, dtype=np.int64), n
    named = np.asarray(names)
    if len(named) != n:
        raise ValueError(f"There are {len(named)} names of clusters or queries for {n} rows. Give one a row.")
    kinds, codes = np.unique(named.astype(str) if named.dtype == object else named, return_inverse=True)
    return codes.astype(np.int64), len(kinds)


def clusters_of(names: npt.ArrayLike | None, n: int) -> tuple[Ints, int]:
    """Each row's cluster as a number, of which there are at most GROUPS."""
    codes, count = codes_of(names, n)
    if count <= GROUPS:
        return codes, count
    return (np.random.default_rng(count).permutation(count) % GROUPS)[codes], GROUPS


def cluster_sums(rows: Floats, clusters: npt.ArrayLike | None) -> Floats:
    """The column sums of the rows of each cluster."""
    codes, count = clusters_of(clusters, len(rows))
    return np.column_stack([np.bincount(codes, column, count) for column in rows.T])


def poisson_weights(count: int, seed: int, rounds: int = ROUNDS) -> Iterator[Floats]:
    """Poisson(1) weights in blocks of at most fifty rounds × clusters."""
    drawn = _drawn(count, seed, rounds)
    for start in range(0, rounds, 50):
        yield drawn[start : start + 50].astype(np.float64)


@lru_cache(maxsize=24)
def _drawn(count: int, seed: int, rounds: int) -> npt.NDArray[np.uint8]:
    """The weights of all rounds, kept: a gate takes a dozen measures of the same clusters, and drawing is most of its time."""
    generator = np.random.default_rng(seed)
    blocks = [generator.poisson(1.0, (min(50, rounds - start), count)).astype(np.uint8) for start in range(0, rounds, 50)]
    return np.concatenate(blocks)


def over_sums(sums: Floats, statistic: Callable[[Floats], Floats], n: int, seed: int) -> Measure:
    """A statistic of column sums, resampled by cluster."""
    if not n:
        return nothing(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.concatenate([statistic(w @ sums) for w in poisson_weights(len(sums), seed)])
        value = float(statistic(sums.sum(axis=0)))
    return interval(value, drawn, n)


def interval(value: float, drawn: Floats, n: int) -> Measure:
    """A value with the middle 95 % of what was drawn."""
    kept = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(kept):
        return Measure(value if np.isfinite(value) else float("nan"), float("nan"), float("nan"), n)
    low, high = np.quantile(kept, [0.025, 0.975])
    return Measure(value, float(low), float(high), n)
