"""For Evidently's report on a sample: which columns it can compare, and how far apart chance alone would bring them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring import checks
from monitoring.checks import Check

METHOD = "psi"
LEAST_ROWS = 50
"""A column with fewer values than this on either side is not compared."""
LEAST_DAYS = 2
"""With fewer reference days nobody knows how much clean days differ."""
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


def comparable(
    today: pd.DataFrame, reference: pd.DataFrame, days: pd.Series, subjects: tuple[int, int], seed: int
) -> list[Column]:
    """Columns with enough values on both sides, each with its threshold.

    `days` names the day of each reference row, `subjects` how many distinct ones are behind today's and the
    reference's rows: rows of one subject move together, so that they count as fewer. Clean days differ among
    themselves too (eight campaigns have eight click rates, new ones every day): a column must be further away
    than they are from each other. With fewer than LEAST_DAYS of them nothing is compared. Lists and mappings
    never are: what there is to say of embeddings their summaries say.
    """
    if days.nunique() < LEAST_DAYS:
        return []
    found = []
    for name in [name for name in reference.columns if name in today.columns]:
        if not (_is_plain(today[name]) and _is_plain(reference[name])):
            continue
        now, then = clean(today[name]), clean(reference[name])
        if min(len(now), len(then)) < LEAST_ROWS:
            continue
        number = is_number(now, then)
        both = _bins(now, then, number)
        sizes = min(len(now), subjects[0]), min(len(then), subjects[1])
        threshold = max(chance_psi(both, sizes, seed), MARGIN * clean_psi(then, days.reindex(then.index), number))
        found.append(Column(name, number, threshold))
    return found


def _is_plain(values: pd.Series) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def clean_psi(then: pd.Series, days: pd.Series, number: bool) -> float:
    """The largest PSI of one reference day against the others; days with too few values are no judge."""
    distances = [0.0]
    for _, one in then.groupby(days):
        others = then.drop(one.index)
        if min(len(one), len(others)) >= LEAST_ROWS:
            distances.append(float(psi(*_shares(one, others, number))))
    return max(distances)


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


def failures(model: str, comparisons: Sequence[Comparison], rows: int) -> list[Check]:
    """A row for each column of the sample that Evidently could not compare."""
    return [checks.plain(model, "drift_failed", each.column.name, 1.0, rows) for each in comparisons if each.psi is None]


def is_number(*columns: pd.Series) -> bool:
    """True when every value that is there is a number; a column with nothing in it counts as one."""
    return all(
        isinstance(value, int | float) or hasattr(value, "__float__") for column in columns for value in column.dropna().unique()
    )


def _bins(now: pd.Series, then: pd.Series, number: bool) -> npt.NDArray[np.float64]:
    """Counts of both samples together, in the bins that Evidently's PSI would use."""
    one, other = _counts(now, then, number)
    return np.asarray(one + other)


def _shares(now: pd.Series, then: pd.Series, number: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    one, other = _counts(now, then, number)
    return one / one.sum(), other / other.sum()


def _counts(now: pd.Series, then: pd.Series, number: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Counts of each sample by bin: by Sturges' bins for a number with many values, else by value."""
    if number and then.nunique() > MOST_VALUES:
        one, other = now.to_numpy("float64"), then.to_numpy("float64")
        edges = np.histogram_bin_edges(np.concatenate([one, other]), bins="sturges")
        return np.histogram(one, edges)[0].astype("float64"), np.histogram(other, edges)[0].astype("float64")
    counts = [side.astype("float64" if number else "str").value_counts() for side in (now, then)]
    values = counts[0].index.union(counts[1].index)
    one, other = (np.asarray(count.reindex(values, fill_value=0), dtype="float64") for count in counts)
    return one, other
