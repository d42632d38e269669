"""A data frame's columns as arithmetic wants them: float64, int64 microseconds, texts; missing is NaN, NOT_A_TIME, None."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Numbers = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Texts = Sequence[str | None]
"""A list, for texts are looked up and compared one by one, and numpy is no faster at that."""
Columns = Mapping[str, Any]
"""Numbers, Ints (times) and Texts by name, all of one length; or one time, or one text, that all rows share."""

MOST_KEPT = 8
"""Of what is worked out of kept texts, so many are kept."""
NOT_A_TIME = -(2**63)
SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
"""In microseconds."""


class Kept(tuple[str | None, ...]):
    """Texts that come again as the very same object, as those of a network's people do; what is worked out of them stays here."""

    def __init__(self, texts: Iterable[str | None]) -> None:
        """Nothing is worked out yet."""
        self.found: dict[tuple[str, str | None], Any] = {}


def once(what: str, one: Texts | str | None, many: Texts, work: Callable[[Texts, Texts], T]) -> T:
    """`work` of two columns; where `one` is shared by all rows and `many` is Kept, done once, and kept under `what`."""
    if one is not None and not isinstance(one, str):
        return work(one, many)
    if type(many) is not Kept:
        return work([one] * len(many), many)
    if (found := many.found.get((what, one))) is None:
        found = work([one] * len(many), many)
        if len(many.found) < MOST_KEPT:
            many.found[what, one] = found
    return cast("T", found)


def numbers(frame: pd.DataFrame, name: str) -> Numbers:
    """A column as float64, NaN where it is missing or no number; all NaN where the frame lacks it."""
    import pandas as pd

    if name not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[name], errors="coerce").astype("float64").to_numpy())


def times(frame: pd.DataFrame, name: str) -> Ints:
    """A column in microseconds since 1970, NOT_A_TIME where it is missing; all so where the frame lacks it."""
    import pandas as pd

    if name not in frame:
        return np.full(len(frame), NOT_A_TIME)
    instants = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return np.asarray(instants.dt.tz_localize(None).to_numpy().astype("datetime64[us]").view(np.int64))


def texts(frame: pd.DataFrame, name: str) -> Texts:
    """A column of texts, None where it is missing; all None where the frame lacks it."""
    if name not in frame:
        return [None] * len(frame)
    told = zip(frame[name].tolist(), frame[name].notna().tolist(), strict=True)
    return [text if is_there else None for text, is_there in told]


def hours_between(then: Ints, now: Ints | int) -> Numbers:
    """Hours from times to other ones, or to one that all rows share; NaN where one is missing.

    >>> hours_between(np.array([0, NOT_A_TIME]), np.array([HOUR // 2, HOUR])).tolist()
    [0.5, nan]
    """
    gap: Numbers = (now - then) / SECOND / 3600
    if is_lacking(then) or is_lacking(now):
        gap[(then == NOT_A_TIME) | (now == NOT_A_TIME)] = np.nan
    return gap


def is_lacking(times: Ints | int) -> bool:
    """Whether one of the times is missing."""
    if isinstance(times, int):
        return times == NOT_A_TIME
    return bool(np.minimum.reduce(times, initial=0) == NOT_A_TIME)
