"""What a person's earlier conversions mean for a new one: cool-downs, and who is new to the brand."""

from __future__ import annotations

import pandas as pd

from whence.attribution.policy import Policy

PURCHASE = "purchase"
DAY = pd.Timedelta(days=1)


def standing(counted: pd.DataFrame, before: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Whether each counted conversion may pay anybody, and whether its person is a new customer. Index as in `counted`.

    `counted` and `before` (conversions counted earlier) have conversion_id, person_id, kind and happened_at. Columns:

    - pays: False in a cool-down, that is less than its days after a counted conversion that starts it. One that a cool-down
      kept from paying starts it anew. False, too, where `new_to_brand.only` holds and the person is an earlier customer.
    - new_to_brand: False after a purchase of the person within `new_to_brand.look_back_days` before, refunded or not; None
      where nobody knows the person.

    Earlier means by (happened_at, conversion_id), of all that is known.

    >>> at = pd.to_datetime(["2026-05-01", "2026-05-03"], utc=True)
    >>> both = pd.DataFrame({"conversion_id": ["a", "b"], "person_id": "p", "kind": "purchase", "happened_at": at})
    >>> standing(both, both.head(0), Policy())["new_to_brand"].tolist()
    [True, False]
    """
    names = ["conversion_id", "person_id", "kind", "happened_at"]
    parts = [part[names].assign(row=row) for part, row in ((before, -1), (counted, range(len(counted)))) if len(part)]
    if not parts:
        return pd.DataFrame({"pays": [], "new_to_brand": []}, index=counted.index)
    told = pd.concat(parts, ignore_index=True).sort_values(["happened_at", "conversion_id"])
    told = told[told["row"].ge(0) | told["person_id"].notna()]
    brand = policy.new_to_brand
    is_customer = _since(told, PURCHASE).le(DAY * brand.look_back_days)
    is_new = (~is_customer).astype(object).where(told["person_id"].notna(), None)
    pays = ~is_customer if brand.only else pd.Series(True, index=told.index)
    for pause in policy.cool_downs:
        pays &= ~(told["kind"].isin(pause.blocked) & _since(told, pause.conversion).lt(DAY * pause.days))
    judged = told.assign(pays=pays, new_to_brand=is_new)[["row", "pays", "new_to_brand"]]
    return judged[judged["row"] >= 0].sort_values("row").drop(columns="row").set_axis(counted.index)


def _since(told: pd.DataFrame, kind: str) -> pd.Series:
    """The time from the person's last conversion of the kind to each one; NaT where there is none."""
    at = told["happened_at"].where(told["kind"].eq(kind))
    last = at.groupby(told["person_id"]).shift()  # the person's own place in time, so what is equal is told apart by its id
    return told["happened_at"] - last.groupby(told["person_id"]).ffill()
