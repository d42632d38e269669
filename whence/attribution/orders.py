"""Which conversions count: each order once, and a refund takes back what its conversion was given."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

LOOK_BACK_DAYS = 60
"""How far back the other telling of an order, and what a refund takes back, are looked for."""


@dataclass(frozen=True)
class Orders:
    """A day's conversions, sorted out."""

    counted: pd.DataFrame
    """Conversions that are news, by conversion_id."""
    refunds: pd.DataFrame
    """Refunds, with `original`: the conversion_id whose credit they take back, None when it is not known."""
    repeats: int
    """Tellings of an order or a conversion that was told before, as by pixel and then by server."""


def sort_out(today: pd.DataFrame, earlier: pd.DataFrame) -> Orders:
    """Split a day's rows of `conversions`; `earlier` are the rows of the days before it.

    The first telling counts, by (seen_at, event_id). A refund of a repeat takes back the telling that counted.

    >>> times = pd.to_datetime(["2026-05-01T10:00Z", "2026-05-01T11:00Z", "2026-05-01T12:00Z"])
    >>> day = pd.DataFrame({"event_id": ["1", "2", "3"], "conversion_id": ["a", "b", "r"], "order_id": ["o", "o", None],
    ...     "refund_of": [None, None, "b"], "seen_at": times, "kind": ["purchase", "purchase", "refund"]})
    >>> found = sort_out(day, day.head(0))
    >>> found.counted["conversion_id"].tolist(), found.refunds["original"].tolist(), found.repeats
    (['a'], ['a'], 1)
    """
    told = pd.concat([earlier, today], ignore_index=True) if len(earlier) else today.reset_index(drop=True)
    is_today = pd.Series(range(len(told))) >= len(earlier)
    is_refund = told["refund_of"].notna() | told["kind"].eq("refund")
    order = told["order_id"].where(told["order_id"].notna(), "conversion:" + told["conversion_id"])
    order = order.where(~is_refund, "refund:" + told["conversion_id"])
    told = told.assign(order=order, place=range(len(told))).sort_values(["seen_at", "event_id"])
    first = told.drop_duplicates("conversion_id").drop_duplicates("order")
    counts_as = told["order"].map(first.set_index("order")["conversion_id"]).fillna(told["conversion_id"])
    original = dict(zip(told["conversion_id"], counts_as, strict=True))
    new = first[is_today[first["place"]].to_numpy()].drop(columns=["order", "place"])
    takes_back = new["refund_of"].notna() | new["kind"].eq("refund")
    counted, refunds = new[~takes_back], new[takes_back]
    refunds = refunds.assign(original=refunds["refund_of"].map(original).astype(object))
    return Orders(
        counted.sort_values("conversion_id", ignore_index=True),
        refunds.sort_values("conversion_id", ignore_index=True),
        len(today) - len(new),
    )
