"""Evaluations and sound evidence of made-up rows, for the gate to be tried on."""

from __future__ import annotations

from typing import Any

import numpy as np

from registry.gate import Evaluation, Evidence, Finding, Learned, Retrieved

AS_OF = "2026-05-10"
END = np.datetime64(AS_OF, "us") + np.timedelta64(1, "D")
HOUR = np.timedelta64(3600, "s")
CALM = (Finding("touches", "calm", "all", "all", "41 measures agree with 12 clean days before."),)


def sound(candidate: Evaluation, features: Any = None, names: tuple[str, ...] = (), **more: Any) -> Evidence:
    """Evidence that nothing is wrong with: as many other rows of other people, of the days before, taught the candidate."""
    n = len(candidate.labels)
    people = np.unique(candidate.persons.astype(str), return_inverse=True)[1] if n else np.empty(0)
    ids = np.arange(n, dtype=np.uint64)
    seen = END - HOUR * (1 + ids.astype(np.int64) % 70)
    made = {
        "rows": ids,
        "persons": people.astype(np.uint64),
        "content": ids,
        "seen_at": seen,
        "delay_days": np.where(candidate.labels > 0, 0.5, np.nan),
        "features": np.empty((n, 0)) if features is None else features,
        "names": names,
        "categories": frozenset[str](),
        "learned": Learned(ids + 10**9, ids + 10**9, ids + 10**9, seen),
        "retrieved": Retrieved(np.where(ids % 4 == 3, np.nan, ids % 15).astype(float), candidate.persons),
        "findings": CALM,
    }
    return Evidence(**{**made, **more})
