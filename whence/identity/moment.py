"""Inputs of identity-ranker that a moment decides, written beside those that stand; by `moment.c` where it was built.

What is built is built when whence is installed, as `whence/trees/blend.c` is; without it numpy does the same, and a match
takes longer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from whence import kernels
from whence.columns import Columns, Numbers
from whence.identity import evidence

SOURCE = Path(__file__).with_name("moment.c")
NOWHERE = -1


def write(matrix: Numbers, places: Sequence[int], signals: Columns, facts: Columns) -> None:
    """Write OF_THE_MOMENT into their `places` of the matrix, pairs × features, where they are NaN; NOWHERE for one not wanted.

    `signals` and `facts` are as `evidence.columns_of_the_moment` takes them, with one signal, one network and one identifier
    for all pairs.
    """
    if (kernel := compiled()) is None:
        write_plainly(matrix, places, signals, facts)
        return
    age, together, person, hour, agrees = places
    told = kernel(
        matrix,
        *matrix.shape,
        facts["pair_features__last_together_at"],
        facts["person_features__last_seen_at"],
        facts["person_features__mean_hour"],
        signals["seen_at"],
        evidence.hour_of_day(signals["happened_at"]),
        facts["network_features__age_hours"],
        together,
        person,
        hour,
        age,
    )
    if told:
        raise ValueError(f"{matrix.shape[1]} features have no places {places}")
    if agrees != NOWHERE and facts["identifier_features__person_id"] is not None:
        matrix[:, agrees] = evidence.identifier_agrees(signals["person_id"], facts)


def write_plainly(matrix: Numbers, places: Sequence[int], signals: Columns, facts: Columns) -> None:
    """The same without the kernel."""
    found = evidence.columns_of_the_moment(signals, facts)
    for name, place in zip(evidence.OF_THE_MOMENT, places, strict=True):
        if place != NOWHERE:
            matrix[:, place] = found[name]


@cache
def compiled() -> Callable[..., int] | None:
    """The built kernel; None when there is none, or none that this machine can load."""
    if (kernel := kernels.loaded(SOURCE)) is None:
        return None
    found: Callable[..., int] = kernel.whence_moment_write
    data, number, size, place = ctypes.py_object, ctypes.c_double, ctypes.c_ssize_t, ctypes.c_int
    found.argtypes = (data, size, size, data, data, data, ctypes.c_int64, number, number, *[place] * 4)  # type: ignore[attr-defined]
    return found
