"""How good credit is: against what truly caused each conversion where that is known, and in itself where it is not."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from whence.attribution.credit import NO_AD


@dataclass(frozen=True)
class Quality:
    """One algorithm's credit against the truth; each conversion weighs the same; NaN without conversions."""

    algorithm: str
    credit_to_cause: float
    """The mean share that went to the touch that caused it, or to no ad where none did."""
    channel_error: float
    """Half the sum over channels (no ad among them) of |credited share − true share|: 0 is right, 1 all wrong."""
    unattributed: float
    """The mean share given to no ad."""
    truly_unattributed: float
    """The share of conversions that no ad caused."""
    conversions: int


def quality(credits: pd.DataFrame, truth: pd.DataFrame, touches: pd.DataFrame) -> tuple[Quality, ...]:
    """Each algorithm's quality, in the order of their names.

    `credits` has the columns of the credits table, `truth` those of truth_conversions (caused_by null: no
    ad), `touches` touch_id and channel of every touch that may be a cause. Conversions without a truth and
    refunds (negative credit) are left out.
    """
    channel_of = touches.drop_duplicates("touch_id").set_index("touch_id")["channel"]
    cause = truth.drop_duplicates("conversion_id").set_index("conversion_id")["caused_by"]
    gained = credits[credits["credit_micros"] >= 0]
    judged = gained[gained["conversion_id"].isin(cause.index)]
    judged = judged.assign(cause=judged["conversion_id"].map(cause).fillna(NO_AD))
    return tuple(_of(str(name), rows, channel_of) for name, rows in judged.groupby("algorithm", sort=True))


def unattributed(credits: pd.DataFrame) -> pd.Series:
    """The mean share given to no ad, by algorithm; needs no truth."""
    shares = credits["share"].where(credits["touch_id"] == NO_AD, 0.0)
    return shares.groupby(credits["algorithm"]).sum() / credits.groupby("algorithm")["conversion_id"].nunique()


def _of(algorithm: str, rows: pd.DataFrame, channel_of: pd.Series) -> Quality:
    total = rows["conversion_id"].nunique()
    causes = rows.drop_duplicates("conversion_id")["cause"]
    true_channels = causes.map(channel_of).fillna(NO_AD).value_counts() / total
    credited = rows.groupby("channel")["share"].sum() / total
    return Quality(
        algorithm=algorithm,
        credit_to_cause=float(rows.loc[rows["touch_id"] == rows["cause"], "share"].sum() / total),
        channel_error=float(credited.sub(true_channels, fill_value=0.0).abs().sum() / 2),
        unattributed=float(rows.loc[rows["touch_id"] == NO_AD, "share"].sum() / total),
        truly_unattributed=float((causes == NO_AD).mean()),
        conversions=int(total),
    )
