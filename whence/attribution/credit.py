"""Credit: shares turned into whole micros that add up to the conversion's value, to the last one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

NO_AD = ""
"""The touch, campaign and channel of the share that no ad earned."""

GRID = 1 << 53
"""Shares are read as whole numbers of 2^-53, so that sums are exact."""

DUST = 1e-12
"""A share of no ad below this is rounding, and gets no row."""

ROW = (
    "day",
    "conversion_id",
    "algorithm",
    "touch_id",
    "campaign_id",
    "channel",
    "person_id",
    "share",
    "credit_micros",
    "currency",
    "bundle",
)


def split(value_micros: int, shares: Sequence[float]) -> tuple[int, ...]:
    """The value in whole micros by these shares: each within one of its exact part, and the sum exactly the value.

    Largest remainder, the earlier share first when two are alike; a negative value splits like its opposite.
    The shares are taken in proportion. Raises ValueError when one is negative or not a number, or all are 0.

    >>> split(100, [1, 1, 1])
    (34, 33, 33)
    >>> split(-100, [0.5, 0.5])
    (-50, -50)
    """
    weights = [_weight(share) for share in shares]
    total = sum(weights)
    if total == 0:
        raise ValueError("The shares are all 0, so nobody can be given the value. Add the share of no ad.")
    size = abs(value_micros)
    parts = [size * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % total), i))
    for i in by_remainder[: size - sum(parts)]:
        parts[i] += 1
    return tuple(parts if value_micros >= 0 else (-part for part in parts))


def credit_rows(
    conversions: pd.DataFrame, pairs: pd.DataFrame, shares: pd.Series, algorithm: str, bundle: str | None = None
) -> pd.DataFrame:
    """Rows of `credits` for every conversion: its touches with a share, and a row of no ad for what is left.

    `conversions` has conversion_id, value_micros, currency, seen_at and person_id (None when unknown), each
    conversion once; `pairs` and `shares` come row by row from candidate_touches and rules. A conversion
    without candidates is all no ad. Columns as in ROW (`day` is the UTC day of seen_at), sorted by the key.
    """
    earned = pairs[["conversion_id", "touch_id", "campaign_id", "channel"]].assign(share=shares.to_numpy(dtype="float64"))
    earned = earned[earned["share"] > 0]
    left = 1.0 - conversions["conversion_id"].map(earned.groupby("conversion_id")["share"].sum()).fillna(0.0)
    if (left < -1e-6).any():
        over = conversions.loc[left < -1e-6, "conversion_id"].iloc[0]
        raise ValueError(f"The shares of conversion {over} sum to {1 - left.min():.6f}, above 1. Scale them down first.")
    no_ad = conversions[["conversion_id"]].assign(touch_id=NO_AD, campaign_id=NO_AD, channel=NO_AD, share=left)
    rows = pd.concat([earned, no_ad[left > DUST]], ignore_index=True)
    rows = rows.merge(_facts(conversions), on="conversion_id").sort_values(["conversion_id", "touch_id"], ignore_index=True)
    rows["credit_micros"] = _micros(rows)
    return rows.assign(algorithm=algorithm, bundle=bundle)[list(ROW)]


def _weight(share: float) -> int:
    if not 0 <= share < float("inf"):
        raise ValueError(f"A share must be 0 or more, and is {share}.")
    return int(share * GRID) if isinstance(share, float) else int(Fraction(share) * GRID)


def _facts(conversions: pd.DataFrame) -> pd.DataFrame:
    day = pd.to_datetime(conversions["seen_at"], utc=True).dt.strftime("%Y-%m-%d")
    return conversions[["conversion_id", "person_id", "value_micros", "currency"]].assign(day=day)


def _micros(rows: pd.DataFrame) -> np.ndarray:
    """Credit for rows sorted by conversion, each conversion split by itself."""
    starts = np.flatnonzero(rows["conversion_id"].ne(rows["conversion_id"].shift()).to_numpy())
    ends = [*starts[1:], len(rows)]
    shares, values = rows["share"].tolist(), rows["value_micros"].tolist()
    parts: Iterable[tuple[int, ...]] = (split(int(values[a]), shares[a:b]) for a, b in zip(starts, ends, strict=True))
    return np.fromiter((micros for part in parts for micros in part), dtype="int64", count=len(rows))
