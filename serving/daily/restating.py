"""Which conversions of earlier days a day's news touches: late events, and identities that are known better now."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from serving.daily.knowledge import Known
from whence.attribution.orders import Orders
from whence.contracts.times import Window

JUDGED = ["pays", "new_to_brand"]
"""What the policy says of a conversion, which depends on who it was."""


@dataclass(frozen=True)
class Journeys:
    """The conversions of some days that count, and the touches that may have earned them, as known at one time."""

    orders: Orders
    pairs: pd.DataFrame

    @classmethod
    def of(cls, known: Known, window: Window) -> Journeys:
        """The journeys of these days by what is known."""
        orders = known.orders(window)
        return cls(orders, known.pairs(orders.counted))

    @property
    def counted(self) -> pd.DataFrame:
        """The conversions."""
        return self.orders.counted


def changed(before: Journeys, now: Journeys) -> set[str]:
    """The conversions whose touches are others than before, or that the policy takes otherwise.

    A person who goes by another id, with the same touches, changes nothing.
    """
    return _other(_judged(before), _judged(now)) | _other(_touched(before), _touched(now))


def _judged(journeys: Journeys) -> pd.Series:
    said = journeys.counted[JUDGED].astype(str).agg("|".join, axis=1) if len(journeys.counted) else pd.Series(dtype=object)
    return said.set_axis(journeys.counted["conversion_id"])


def _touched(journeys: Journeys) -> pd.Series:
    touches = journeys.pairs.sort_values("touch_id").groupby("conversion_id")["touch_id"].agg("|".join)
    return touches.reindex(journeys.counted["conversion_id"]).fillna("")


def _other(before: pd.Series, now: pd.Series) -> set[str]:
    there = before.index.intersection(now.index)
    return set(there[(before.loc[there] != now.loc[there]).to_numpy()])
