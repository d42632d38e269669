"""Log-ins as weak labels: rows of one log-in are one person, and rows of two are two people, unless all else says one.

A person may have several log-ins, so that two different ones are no label by themselves: pairs that look like one person
to a scorer without labels are left out of what is learned from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whence.identity.records import boosted
from whence.identity.records.boosted import Boosted, TooFewLabels
from whence.identity.records.known import Known
from whence.identity.records.table import MISSING, Evidence, Floats, Pairs, Records

DOUBTFUL = -2.0
"""Log-odds without labels from which two log-ins may be one person's."""


def together(records: Records) -> Known:
    """Rows of one log-in, each with the next: one person."""
    if records.login is None:
        return {}
    rows = np.flatnonzero(records.login != MISSING)
    rows = rows[np.argsort(records.login[rows], kind="stable")]
    same = records.login[rows[1:]] == records.login[rows[:-1]]
    return {(records.ids[a], records.ids[b]): True for a, b in zip(rows[:-1][same], rows[1:][same], strict=True)}


def fit(
    records: Records, pairs: Pairs, evidence: Evidence, start: Floats, *, seed: int = 0, threads: int = 1
) -> tuple[Boosted, int] | None:
    """A scorer learned from log-ins, and from how many pairs; None without log-ins, or with too few.

    `start` are the log-odds of a scorer without labels, by which doubtful pairs are left out.
    """
    if records.login is None:
        return None
    ours, theirs = records.login[pairs.left], records.login[pairs.right]
    same = ours == theirs
    rows: npt.NDArray[np.int64] = np.flatnonzero((ours != MISSING) & (theirs != MISSING) & (same | (start < DOUBTFUL)))
    share = max(float((records.login != MISSING).mean()), 1e-3)
    people, labels = np.column_stack([ours[rows], theirs[rows]]), same[rows].astype(np.float64)
    shown = Evidence(evidence.names, evidence.values[rows])
    weights = np.where(same[rows], 1.0, 1 / share)
    try:
        return boosted.fit(shown, labels, people, weights=weights, seeds=(seed,), threads=threads), len(rows)
    except TooFewLabels:
        return None
