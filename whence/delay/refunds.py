"""Refunds, the second delay: a conversion comes late, and may go back later still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.delay.curve import Floats, MaturityCurve, curves_by_segment, maturity_curve


@dataclass(frozen=True)
class RefundCurve:
    """How conversions are refunded by their age, as a whole and by segment.

    It knows of no refund later than the longest watch behind it: `whole.window`, or what the history has of it.
    """

    whole: MaturityCurve
    segments: Mapping[Any, MaturityCurve]

    def net_share(self, age: npt.ArrayLike, segment: npt.ArrayLike | None = None) -> Floats:
        """The chance that a conversion of this age which has not been refunded stays; a segment not met counts as the whole.

        At age 0 it is what a conversion that is only foretold is worth: chance × value × net_share(0).

        >>> curve = refund_curve([4.0] * 4, [1.0, float("nan"), float("nan"), float("nan")], window=4.0)
        >>> curve.net_share([0.0, 2.0]).tolist()
        [0.75, 1.0]
        """
        at = np.atleast_1d(np.asarray(age, dtype=np.float64))
        if segment is None:
            return 1 - self.whole.late(at)
        at, names = np.broadcast_arrays(at, np.asarray(segment, dtype=object))
        stays = np.empty(len(at))
        for name in set(names.tolist()):
            here = names == name
            stays[here] = 1 - self.segments.get(name, self.whole).late(at[here])
        return stays


def refund_curve(
    elapsed: npt.ArrayLike, delay: npt.ArrayLike, window: float, segment: npt.ArrayLike | None = None
) -> RefundCurve:
    """The curve of conversions that were each watched for `elapsed`; `delay` until the refund was known, NaN without one."""
    segments = {} if segment is None else curves_by_segment(elapsed, delay, segment, window)
    return RefundCurve(maturity_curve(elapsed, delay, window), segments)
