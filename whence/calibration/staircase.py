"""Log-odds of scores by a staircase; by `staircase.c` where it was built, since numpy's calls cost more than some fifty scores do.

What is built is built when whence is installed, as `whence/trees/blend.c` is; without it numpy does the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whence import kernels

Floats = npt.NDArray[np.float64]

SLOPE = 1e-3
"""How far, in log-odds a standard deviation of the score, a flat piece is tilted so that no two scores become one."""
MOST = 1e9
"""Scores beyond it, which no trees give, are for whoever looks at them one by one."""
SOURCE = Path(__file__).with_name("staircase.c")
READ, FAR = 0, 2
"""As `staircase.c` has them."""


def odds(scores: Floats, staircase: tuple[Floats, Floats], centre: float, scale: float, *, is_flat: bool) -> Floats | None:
    """Log-odds by knots and levels, of which a staircase that is flat between its knots has one more; the slope leads upwards.

    None where a score is beyond MOST or missing, or where there is no kernel: see `odds_plainly`.
    """
    kernel = compiled()
    if kernel is None:
        return None
    found = np.empty_like(scores, order="C")
    given = scores if scores.flags.c_contiguous else scores.copy()
    if (told := kernel(given, *staircase, is_flat, centre, scale, SLOPE, MOST, found)) not in (READ, FAR):
        raise ValueError(f"a staircase of {len(staircase[0])} knots and {len(staircase[1])} levels is none")
    return found if told == READ else None


def odds_plainly(scores: Floats, staircase: tuple[Floats, Floats], centre: float, scale: float, *, is_flat: bool) -> Floats:
    """The same without the kernel, for scores however large."""
    away = (scores - centre) / scale
    found: Floats = _stepped(scores, staircase, is_flat=is_flat) + SLOPE * away / (1 + np.abs(away))
    return found


def _stepped(scores: Floats, staircase: tuple[Floats, Floats], *, is_flat: bool) -> Floats:
    knots, levels = staircase
    if is_flat:
        return levels[knots.searchsorted(scores, "right")]
    above = levels.take(knots.searchsorted(scores), mode="clip")
    return np.minimum(np.interp(scores, knots, levels), above)  # interp may overshoot a knot by a bit


@cache
def compiled() -> Callable[..., int] | None:
    """The built kernel; None when there is none, or none that this machine can load."""
    if (kernel := kernels.loaded(SOURCE)) is None:
        return None
    found: Callable[..., int] = kernel.whence_staircase_odds
    data, number = ctypes.py_object, ctypes.c_double
    found.argtypes = (data, data, data, ctypes.c_int, number, number, number, number, data)  # type: ignore[attr-defined]
    return found
