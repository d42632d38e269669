"""How long after each touch a conversion may still be its doing, by the policy's windows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from whence.attribution.policy import SAME_PRODUCT, Policy, Reach, weight

NAMES = ("touch_kind", "channel", "campaign_id", "touch_product", "product", "conversion_kind")
"""What a window may ask about a touch and a conversion; `product` is the conversion's."""


def days(pairs: pd.DataFrame, policy: Policy) -> np.ndarray:
    """The look-back window of each pair in days; 0 where the policy lets the touch earn nothing of the conversion.

    `pairs` has NAMES (the products may be absent or missing). The window that names most counts. A conversion of a kind that
    `reengagement` holds for has `reengagement.window_days` instead, where that is not 0.

    >>> pairs = pd.DataFrame({"touch_kind": ["click", "view"], "channel": "search", "campaign_id": "a", "conversion_kind": "x"})
    >>> days(pairs, Policy()).tolist()
    [7.0, 1.0]
    """
    asked = pairs.reindex(columns=list(NAMES))
    codes, kinds = _distinct(asked)
    found = np.zeros(len(kinds))
    for window in sorted(policy.windows, key=weight):
        found[_fits(kinds, window)] = window.days
    back = policy.reengagement
    if back.window_days:
        found[kinds["conversion_kind"].isin(back.conversions).to_numpy() & (found > 0)] = back.window_days
    return np.asarray(found[codes])


def _distinct(asked: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Each combination once, and which one each row has: there are few, however many pairs there are."""
    codes = np.zeros(len(asked), dtype="int64")
    for name in NAMES:
        column, values = pd.factorize(asked[name], use_na_sentinel=False)
        codes = pd.factorize(codes * max(len(values), 1) + column)[0]
    first = pd.Series(codes).drop_duplicates().index
    return codes, asked.iloc[first].reset_index(drop=True)


def _fits(kinds: pd.DataFrame, window: Reach) -> np.ndarray:
    fits = np.ones(len(kinds), dtype=bool)
    wanted = (window.touch, window.channel, window.campaign, window.conversion)
    for name, value in zip(("touch_kind", "channel", "campaign_id", "conversion_kind"), wanted, strict=True):
        if value:
            fits &= kinds[name].eq(value).to_numpy(dtype=bool, na_value=False)
    if window.product == SAME_PRODUCT:
        fits &= (kinds["touch_product"].notna() & kinds["touch_product"].eq(kinds["product"])).to_numpy(dtype=bool)
    elif window.product:
        bought = kinds["product"].where(kinds["product"].notna(), kinds["touch_product"])
        fits &= bought.eq(window.product).to_numpy(dtype=bool, na_value=False)
    return fits
