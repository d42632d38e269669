"""The most telling rows of a long table, and one row that adds up all others: what a page has room for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from whence.attribution.credit import NO_AD
from whence.attribution.summary import ENDS

MOST = 25
"""Rows of ads that a table of the page has at most; the files have all."""
REST = "others"
"""The channel of the row that adds up the rest."""
APART = {*ENDS, "cost_per_conversion_micros", "cost_per_incremental_micros", "return_on_spend", "new_share"}
"""What does not add up."""


def few(rows: pd.DataFrame, keys: Sequence[str], weight: pd.Series, most: int = MOST) -> pd.DataFrame:
    """The rows of most weight in their order, the sum of the others, and no ad; unchanged where there are few.

    >>> rows = pd.DataFrame({"channel": ["a", "b", "c", "d", ""], "credit_micros": [5, 3, 2, 1, 9]})
    >>> few(rows, ["channel"], rows["credit_micros"], most=2)["credit_micros"].tolist()
    [5, 3, 3, 9]
    """
    is_ad = rows["channel"].ne(NO_AD)
    if is_ad.sum() <= most + 1:
        return rows
    heaviest = rows.index.isin(weight[is_ad].abs().nlargest(most).index)
    rest = rows[is_ad & ~heaviest]
    return pd.concat([rows[is_ad & heaviest], _sum(rest, keys), rows[~is_ad]], ignore_index=True)


def _sum(rest: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One row: sums of what adds up, nothing for what does not."""
    sums = {
        str(name): rest[name].sum(min_count=1)
        for name in rest.select_dtypes("number").columns
        if name not in APART and name not in keys
    }
    row: dict[str, object] = {str(name): sums.get(str(name), np.nan) for name in rest.columns}
    row |= {"channel": REST, keys[0]: f"{len(rest):,} {REST}"}
    row |= {"currency": rest["currency"].iloc[0], "note": ""} if "currency" in rest else {}
    if row.get("spend_micros"):
        row["return_on_spend"] = sums["credit_micros"] / sums["spend_micros"]
    return pd.DataFrame([row], columns=rest.columns).astype(rest.dtypes.to_dict())
