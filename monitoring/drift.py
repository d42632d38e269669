"""Which columns can be compared with the reference, and how far apart chance alone would bring them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring import checks
from monitoring.checks import Check
from monitoring.columns import is_number

METHOD = "psi"
LEAST_ROWS = 50
"""A column with fewer values than this on either side is not compared."""
LEAST_PSI = 0.1
"""No column counts as drifted below this, however many rows make it certain."""
DRAWS = 200
MARGIN = 1.25
"""The largest of the draws, times this, is the threshold: about one false column in a thousand."""
MOST_VALUES = 20
"""Evidently cuts a number with more values than this into bins, and compares the others value by value."""
EMPTY = 1e-4
"""What Evidently writes for an empty bin."""


@dataclass(frozen=True)
class Column:
    """A column that can be compared: its kind, and the PSI from which on it counts as drifted."""

    name: str
    is_number: bool
    threshold: float


@dataclass(frozen=True)
class Comparison:
    """What a comparison of one column gave; `psi` is None when it could not be computed."""

    column: Column
    psi: float | None
    trouble: str = ""

    @property
    def is_drifted(self) -> bool:
        """True when chance does not explain the distance."""
        return self.psi is not None and self.psi >= self.column.threshold


def comparable(today: pd.DataFrame, reference: pd.DataFrame, clusters: tuple[int, int], seed: int) -> list[Column]:
    """Columns with enough values on both sides, each with its threshold.

    `clusters` are the numbers of distinct subjects today and in the reference: rows of one subject
    move together, so that they count as fewer.
    """
    found = []
    for name in [name for name in reference.columns if name in today.columns]:
        now, then = clean(today[name]), clean(reference[name])
        if min(len(now), len(then)) < LEAST_ROWS:
            continue
        number = is_number(now, then)
        sizes = min(len(now), clusters[0]), min(len(then), clusters[1])
        found.append(Column(name, number, chance_psi(_bins(now, then, number), sizes, seed)))
    return found


def clean(values: pd.Series) -> pd.Series:
    """The values that are there and finite: nulls and infinities have checks of their own."""
    held = values.dropna()
    return held[np.isfinite(held.to_numpy("float64"))] if is_number(held) else held


def chance_psi(together: npt.NDArray[np.float64], sizes: tuple[int, int], seed: int) -> float:
    """The PSI that two samples of such sizes from one distribution stay below, by drawing them.

    Fixed bounds (0.1, 0.25) are folklore: for few rows chance alone goes beyond them.
    """
    generator = np.random.default_rng(seed)
    share = together / together.sum()
    now, then = (generator.multinomial(max(size, 1), share, DRAWS) / max(size, 1) for size in sizes)
    return max(LEAST_PSI, MARGIN * float(psi(now, then).max()))


def psi(now: npt.NDArray[np.float64], then: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The population stability index over the last axis, empty bins filled as Evidently does."""
    a, b = np.where(now == 0, EMPTY, now), np.where(then == 0, EMPTY, then)
    return np.asarray(((b - a) * np.log(b / a)).sum(axis=-1))


def drift_checks(model: str, comparisons: Sequence[Comparison], rows: int) -> list[Check]:
    """A row for each compared column, the share that drifted, and the columns that could not be computed."""
    found = [checks.plain(model, "psi", each.column.name, each.psi, rows) for each in comparisons if each.psi is not None]
    found += [checks.plain(model, "drift_failed", each.column.name, 1.0, rows) for each in comparisons if each.psi is None]
    if comparisons:
        drifted = sum(each.is_drifted for each in comparisons)
        found.append(checks.plain(model, "drifted_share", "inputs and score", drifted / len(comparisons), rows))
    return found


def _bins(now: pd.Series, then: pd.Series, number: bool) -> npt.NDArray[np.float64]:
    """Counts of both samples together, in the bins that Evidently's PSI would use."""
    if number and then.nunique() > MOST_VALUES:
        together = np.concatenate([now.to_numpy("float64"), then.to_numpy("float64")])
        return np.histogram(together, np.histogram_bin_edges(together, bins="sturges"))[0].astype("float64")
    counts = pd.concat([now, then]).astype(str).value_counts()
    return np.asarray(counts, dtype="float64")
