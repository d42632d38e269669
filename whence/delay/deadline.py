"""What was known at an earlier time: rows that had happened then, for as long as they had been watched then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Then:
    """The rows of an earlier time. What came after it is not in here."""

    happened: Bools
    """Which of the rows given had happened; the others have no place below."""
    elapsed: Floats
    """How long each of these had been watched."""
    delay: Floats
    """When its conversion was known, NaN where none was known then."""


def as_known(elapsed: npt.ArrayLike, delay: npt.ArrayLike, back: float) -> Then:
    """The rows as somebody knew them `back` ago, when the deadline is set there instead of now.

    >>> then = as_known([5.0, 5.0, 1.0], [1.0, 4.0, 0.5], back=2.0)
    >>> then.happened.tolist(), then.elapsed.tolist(), then.delay.tolist()
    ([True, True, False], [3.0, 3.0], [1.0, nan])
    """
    if back < 0:
        raise ValueError(f"A deadline lies in the past, and {-back:g} ahead was asked for. Give how far back it is.")
    earlier = np.asarray(elapsed, dtype=np.float64) - back
    happened = np.asarray(earlier > 0)
    watched, came = earlier[happened], np.asarray(delay, dtype=np.float64)[happened]
    return Then(happened, watched, np.where(came <= watched, came, np.nan))
