"""Who had been quiet: from when on it was known that a touch met a person who was there anyway."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from whence.attribution.meetings import ALWAYS, Ints


def until(people: pa.Array, at: Ints, activity: pd.DataFrame, days: float) -> Ints:
    """For each touch, the first instant at which an activity of its person was seen that came less than `days` before it.

    `people` and `at` (microseconds) are of the touches; `activity` has person_id, happened_at and seen_at. ALWAYS where there is
    none, and where nobody knows the person. What happened at the very instant of the touch, or just `days` before, does not count.

    >>> day = pd.Timestamp("2026-05-02T00:00Z")
    >>> visits = pd.DataFrame({"person_id": ["p"], "happened_at": [day], "seen_at": [day]})
    >>> touches = np.array([day.value // 1000 + hours * 3_600_000_000 for hours in (0, 1, 24)])
    >>> (until(pa.array(["p", "p", "p"]), touches, visits, 1.0) == day.value // 1000).tolist()
    [False, True, False]
    """
    names = pc.unique(people).drop_null()
    person = pc.fill_null(pc.index_in(people, value_set=names), -1).to_numpy().astype(np.int64)
    active = pa.array(activity["person_id"], pa.string(), from_pandas=True)
    who = pc.fill_null(pc.index_in(active, value_set=names), -1).to_numpy().astype(np.int64)
    happened, seen = (_micros(activity[name]) for name in ("happened_at", "seen_at"))
    order = np.lexsort((happened, who))
    order = order[who[order] >= 0]
    times = np.sort(happened[order])
    stride = len(times) + 1
    places = who[order] * stride + np.searchsorted(times, happened[order])
    back = round(days * 86_400e6)
    first = np.searchsorted(places, person * stride + np.searchsorted(times, at - back, side="right"))
    last = np.searchsorted(places, person * stride + np.searchsorted(times, at))
    return _least(seen[order], np.where(person >= 0, first, 0), np.where(person >= 0, last, 0))


def _least(values: Ints, first: Ints, last: Ints) -> Ints:
    """The least of values[first:last] for each pair of ends: two overlapping spans of a power of two (a sparse table, row by row)."""
    found = np.full(len(first), ALWAYS)
    length = last - first
    levels = np.log2(np.maximum(length, 1)).astype(np.int64)
    for level in range(int(levels.max(initial=0)) + 1):
        width = 1 << level
        if level:
            values = np.minimum(values[: -width // 2], values[width // 2 :])
        here = np.flatnonzero((length > 0) & (levels == level))
        found[here] = np.minimum(values[first[here]], values[last[here] - width])
    return found


def _micros(times: pd.Series) -> Ints:
    return np.asarray(pd.to_datetime(times, utc=True, cache=False).astype("datetime64[us, UTC]").astype("int64").to_numpy())
