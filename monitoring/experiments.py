"""Credit against experiments, and how long people take: what held-out groups say the ads brought, and Kaplan and Meier's delays."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.checks import Z95, Check
from whence.attribution import lift, value
from whence.delay import maturity_curve

QUANTILES = (0.5, 0.9)


def lift_checks(touches: pd.DataFrame, conversions: pd.DataFrame, credits: pd.DataFrame) -> list[Check]:
    """By algorithm, the conversions credited to campaigns that hold people out, over those that the held-out say the ads brought.

    `touches` (with `experiment`) and `conversions` have person_id; `credits` are the current statements about these conversions.
    Only people who were to see the ads count on either side, and only algorithms that credited every day. 1 is right, 2 means that half of the credit was not earned. The
    interval is the experiments'; without an upper end where they do not rule out that the ads brought nothing.
    """
    people = lift.arms(touches)
    lifts = lift.measured(people, conversions)
    told = lifts[lifts["held_out"] >= lift.LEAST_HELD_OUT]
    if told.empty:
        return []
    brought, wide = float(told["incremental"].sum()), Z95 * float(np.sqrt((told["sd"] ** 2).sum()))
    treated = people.loc[~people["is_held_out"] & people["stream"].isin(told.index), ["stream", "person_id"]]
    complete = credits.groupby("algorithm")["day"].transform("nunique") == credits["day"].nunique()
    paid = credits[complete & (credits["touch_id"] != "") & (credits["credit_micros"] >= 0)]
    mine = paid.merge(treated, left_on=["campaign_id", "person_id"], right_on=["stream", "person_id"])
    held_out = int(told["held_out"].sum())
    return [
        Check(
            "credits",
            "credited_over_lift",
            str(algorithm),
            _over(claimed, brought),
            _over(claimed, brought + wide),
            _over(claimed, brought - wide),
            held_out,
        )
        for algorithm, claimed in mine.groupby("algorithm")["share"].sum().items()
    ]


def delay_checks(touches: pd.DataFrame, conversions: pd.DataFrame, now: pd.Timestamp, window_days: float) -> list[Check]:
    """Days until half, and nine of ten, of those who convert within the window have, from the click on; with intervals.

    After Kaplan and Meier: who was clicked lately has not had the time to be slow, so that a mean of what came is too short.
    """
    clicks = touches[touches["kind"] == "click"]
    told, day = value.labels(clicks, conversions, window_days), pd.Timedelta(days=1)
    curve = maturity_curve((now - clicks["happened_at"]) / day, (told["converted_at"] - clicks["happened_at"]) / day, window_days)
    if not curve.conversions:
        return []
    low, high = curve.interval(curve.ages)
    return [
        Check(
            "credits",
            "days_to_convert",
            f"{q:g}",
            _first(curve.ages, curve.shares, q),
            _first(curve.ages, high, q),
            _first(curve.ages, low, q),
            curve.conversions,
        )
        for q in QUANTILES
    ]


def _over(claimed: float, brought: float) -> float | None:
    return claimed / brought if brought > 0 else None


def _first(ages: np.ndarray, shares: np.ndarray, share: float) -> float | None:
    """The first age by which so many are known."""
    reached = ages[shares >= share]
    return float(reached[0]) if len(reached) else None
