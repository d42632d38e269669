"""What becomes of conversions after they came: the share that goes back, with the refunds that are not in yet."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from training import known
from whence.attribution import policy as policies
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.delay import refund_curve
from whence.lake import Lake
from whence.measures import Measure

Floats = npt.NDArray[np.float64]
FULLY = 3.0
"""Of n conversions without a refund, 3 / n is the most that the share may be at the 95 % level."""


def expected(settings: Settings, lake: Lake, window: Window) -> dict[str, Measure]:
    """The measures of `shares` over the window's conversions, refunds counted as long as the policy takes them back."""
    return shares(known.events(lake, "conversions", window), window.end, policies.of(settings).refunds.within_days)


def shares(conversions: pd.DataFrame, end: datetime, within_days: float) -> dict[str, Measure]:
    """Of these conversions, which share is refunded as known now, and which will be; nothing where there are none.

    conversion-value foretells conversions and not what remains of them, as a refund is no doing of the touch and comes
    too late to learn from: what a foretold conversion is worth net is its value times 1 − refunded_share_expected.
    """
    elapsed, delay = watched(conversions, end)
    if not len(elapsed):
        return {}
    curve = refund_curve(elapsed, delay, within_days)
    n, came = len(elapsed), curve.whole.conversions
    low, high = curve.whole.rate_interval()
    expecting = Measure(curve.whole.rate, low, high if came else min(FULLY / n, 1.0), n)
    open_share = 1 - float(curve.net_share(elapsed[np.isnan(delay)]).mean()) if came < n else 0.0
    return {
        "refunded_share_known": Measure(came / n, float("nan"), float("nan"), n),
        "refunded_share_still_to_come": Measure(open_share, float("nan"), float("nan"), n - came),
        "refunded_share_expected": expecting,
    }


def watched(conversions: pd.DataFrame, end: datetime) -> tuple[Floats, Floats]:
    """For each conversion that was no refund, told first: days until `end`, and until its refund was known, NaN without."""
    is_refund = conversions["refund_of"].notna() | conversions["kind"].eq("refund")
    bought = conversions[~is_refund].sort_values("seen_at").drop_duplicates("conversion_id")
    back = conversions[is_refund].groupby("refund_of")["seen_at"].min()
    happened = pd.to_datetime(bought["happened_at"], utc=True)
    came = pd.to_datetime(bought["conversion_id"].map(back), utc=True)
    elapsed = (pd.Timestamp(end) - happened).dt.total_seconds().to_numpy(dtype=np.float64) / 86_400
    delay = (came - happened).dt.total_seconds().to_numpy(dtype=np.float64) / 86_400
    return np.maximum(elapsed, 0.0), np.maximum(delay, 0.0)
