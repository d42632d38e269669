"""How good the assigned persons are against the truth: pairs of signals that belong together, counted not listed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Quality:
    """Pairwise measures over signals; NaN where there is nothing to measure."""

    precision: float
    """Of the pairs of signals given to one person, the share that truly are of one."""
    recall: float
    """Of the pairs of signals that truly are of one person, the share given to one."""
    f1: float
    match_rate: float
    """The share of signals with a person."""
    signals: int
    persons: int
    """Distinct persons assigned."""
    true_persons: int


def quality(assigned: pd.Series, truth: pd.Series) -> Quality:
    """Compare the person of each signal with the true one; both are by event_id, signals without a truth are left out.

    A signal without a person (None) is in no assigned pair, and counts against recall.

    >>> q = quality(pd.Series({"e1": "p", "e2": "p", "e3": None}), pd.Series({"e1": "a", "e2": "a", "e3": "a"}))
    >>> q.precision, round(q.recall, 2), round(q.match_rate, 2)
    (1.0, 0.33, 0.67)
    """
    both = pd.DataFrame({"person": assigned.reindex(truth.index).to_numpy(dtype=object), "true": truth.to_numpy()})
    known = both.dropna(subset="person")
    together = _pairs(known.groupby(["person", "true"]).size())
    given, real = _pairs(known["person"].value_counts()), _pairs(both["true"].value_counts())
    precision, recall = _share(together, given), _share(together, real)
    return Quality(
        precision=precision,
        recall=recall,
        f1=_share(2 * together, given + real),
        match_rate=_share(len(known), len(both)),
        signals=len(both),
        persons=known["person"].nunique(),
        true_persons=both["true"].nunique(),
    )


def _pairs(sizes: pd.Series) -> int:
    return sum(size * (size - 1) // 2 for size in sizes.tolist())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
