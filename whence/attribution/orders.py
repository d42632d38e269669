"""Which conversions count, who may be paid for them, and what a refund takes back."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from whence.attribution.customers import standing
from whence.attribution.policy import Policy
from whence.contracts.events import IDENTIFIERS

REFUND = "refund"
DAY = pd.Timedelta(days=1)
FILLED = (*(each.name for each in IDENTIFIERS if each.name != "consent"), "product")
"""What one telling of an order may take from another."""


@dataclass(frozen=True)
class Orders:
    """A day's conversions, sorted out."""

    counted: pd.DataFrame
    """Conversions that are news, by conversion_id, with `pays` (False: no ad earns it) and `new_to_brand` (None: nobody knows)."""
    refunds: pd.DataFrame
    """Refunds, with `original`: the conversion_id whose credit they take back, None when they take from no ad; and
    `takes_micros`: how much of value_micros they take from there, the rest is from no ad."""
    repeats: int
    """Tellings of an order, a conversion or a refund that was told before, as by pixel and then by server."""


def sort_out(today: pd.DataFrame, earlier: pd.DataFrame, policy: Policy) -> Orders:
    """Split the rows of `conversions` of a day, or of several; `earlier` are rows of the days before. All carry person_id.

    Several days at once give what each gives by itself, save that `standing` knows all of them. `earlier` has to reach back for
    `orders.look_back_days`; what it holds beyond counts for `standing` alone.

    What counts, in the order of (seen_at, event_id):

    - An order told twice counts once, with the value, currency and time of the telling that counts: the first; or, among those
      that came on the same UTC day as the first, the one of the source that `orders.prefer` names. What the others say of value
      or currency is not looked at. A telling more than `orders.look_back_days` after the one before it is a new order, and a
      conversion without an order is its own.
    - A refund is what has refund_of, the kind refund, or a negative value. It takes from the conversion that refund_of names
      (from the telling of it that counts), else from that of its order_id.
    - The same refund told by two sources (same conversion, value and currency) counts once; by one source, it is two refunds.
    - A refund takes from no ad when its conversion is not known by the end of its day (a refund told before its order), is older
      than `refunds.within_days`, or was in another currency: nobody knows the rate. The refunds of a conversion take at most its
      value from where its credit went, the rest from no ad. With `refunds.mode` = ignore there are none.
    - Cool-downs and who is new: customers.standing.

    >>> times = pd.to_datetime(["2026-05-01T10:00Z", "2026-05-01T11:00Z", "2026-05-01T12:00Z"])
    >>> day = pd.DataFrame({"event_id": ["1", "2", "3"], "conversion_id": ["a", "b", "r"], "order_id": ["o", "o", None],
    ...     "refund_of": [None, None, "b"], "seen_at": times, "happened_at": times, "kind": ["purchase", "purchase", "refund"],
    ...     "source": ["pixel", "server", "server"], "value_micros": [9, 9, -4], "currency": "EUR", "person_id": "p"})
    >>> found = sort_out(day, day.head(0), Policy())
    >>> found.counted["conversion_id"].tolist(), found.refunds["original"].tolist(), found.repeats
    (['a'], ['a'], 1)
    """
    if today.empty:
        return Orders(today.assign(pays=True, new_to_brand=None), today.assign(original=None, takes_micros=0), 0)
    told = _told(today, earlier, policy.orders.look_back_days)
    sales, backs = told[~told["is_refund"]], told[told["is_refund"]]
    counting = _counting(sales, policy.orders.prefer)
    new = counting[counting["is_today"]].drop_duplicates("conversion_id")
    judged = standing(new, counting[~counting["is_today"]], policy)
    counted = new.assign(pays=judged["pays"], new_to_brand=judged["new_to_brand"])
    refunds = _refunds(backs, sales, counting, policy)
    mine = refunds[refunds["is_today"]]
    repeats = len(today) - len(counted) - len(mine)
    if policy.refunds.mode == "ignore":
        mine = mine.head(0)
    return Orders(_by_id(counted, today), _by_id(mine, today), repeats)


def fill_identifiers(told: pd.DataFrame) -> pd.DataFrame:
    """Give each telling of an order the identifiers that it lacks and another telling of the same UTC day has.

    The first that has one gives it, by (seen_at, event_id). A telling without consent to ad use gives and takes nothing.
    So a server's telling that counts is matched by the pixel's cookie, and a pixel's by the server's e-mail address.
    """
    may = (told["order_id"].notna() & told["consent"].ne("denied")).to_numpy(dtype=bool)
    shared = told[may].sort_values(["seen_at", "event_id"])
    keys = [shared["order_id"], pd.to_datetime(shared["seen_at"], utc=True).dt.floor("D")]
    columns = [name for name in FILLED if name in told]
    first = shared.groupby(keys)[columns].transform("first").reindex(told.index)
    return told.assign(**{name: told[name].where(told[name].notna() | first[name].isna(), first[name]) for name in columns})


def _told(today: pd.DataFrame, earlier: pd.DataFrame, look_back_days: int) -> pd.DataFrame:
    """All rows with is_today, is_refund, seen_on, order_key and `order` (the key and its how-many-th use), by (seen_at, event_id)."""
    parts = [part.assign(is_today=is_today) for part, is_today in ((earlier, False), (today, True)) if len(part)]
    told = pd.concat(parts, ignore_index=True)
    key = ("order:" + told["order_id"].astype(object)).where(told["order_id"].notna(), "conversion:" + told["conversion_id"])
    is_refund = (told["refund_of"].notna() | told["kind"].eq(REFUND) | told["value_micros"].lt(0)).astype(bool)
    told = told.assign(order_key=key, is_refund=is_refund, seen_on=told["seen_at"].dt.floor("D"))
    told = told.sort_values(["seen_at", "event_id"])
    same = [told["order_key"], told["is_refund"]]
    is_again = told.groupby(same)["seen_on"].diff() > DAY * look_back_days
    return told.assign(order=told["order_key"] + "|" + is_again.groupby(same).cumsum().astype(str))


def _counting(sales: pd.DataFrame, prefer: str) -> pd.DataFrame:
    """The telling of each order that counts."""
    is_of_first_day = sales["seen_on"] == sales.groupby("order")["seen_on"].transform("min")
    is_preferred = is_of_first_day & sales["source"].eq(prefer)
    ranked = sales.assign(rank=2 - is_of_first_day.astype("int8") - is_preferred.astype("int8"))
    return ranked.sort_values("rank", kind="stable").drop_duplicates("order").drop(columns="rank")


def _refunds(backs: pd.DataFrame, sales: pd.DataFrame, counting: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Each refund once, with what it takes from where."""
    backs = backs.drop_duplicates("conversion_id")
    order = _latest(backs, sales, "refund_of", "conversion_id")
    order = order.where(order.notna(), _latest(backs, sales, "order_key", "order_key"))
    sale = counting.set_index("order").reindex(order).set_axis(backs.index)
    known = sale["conversion_id"].where(sale["conversion_id"].notna(), backs["refund_of"])
    backs = backs.assign(of=known.where(known.notna(), backs["order"]), worth=sale["value_micros"])
    is_in_time = (backs["happened_at"] - sale["happened_at"]) <= DAY * policy.refunds.within_days
    is_followed = (backs["seen_on"] - sale["seen_on"]) <= DAY * policy.orders.look_back_days
    takes = is_in_time & is_followed & sale["currency"].eq(backs["currency"])
    once = _once(backs.assign(original=sale["conversion_id"].astype(object).where(takes, None)))
    return once.assign(takes_micros=_taken(once))


def _latest(backs: pd.DataFrame, sales: pd.DataFrame, left: str, right: str) -> pd.Series:
    """The order of the last sale with the same name that was told by the end of the refund's day."""
    asked = (
        backs[["seen_on"]].assign(name=backs[left].astype(object), row=backs.index).dropna(subset="name").sort_values("seen_on")
    )
    there = sales[["seen_on", "order"]].assign(name=sales[right].astype(object))
    found = pd.merge_asof(asked, there, on="seen_on", by="name")
    return found.set_index("row")["order"].reindex(backs.index)


def _once(backs: pd.DataFrame) -> pd.DataFrame:
    """The k-th refund of a source is the k-th of another, where conversion, value and currency are the same."""
    same = ["of", "value_micros", "currency"]
    place = backs.groupby([*same, "source"], dropna=False).cumcount()
    return backs.assign(place=place).drop_duplicates([*same, "place"])


def _taken(refunds: pd.DataFrame) -> pd.Series:
    """How much of each refund is taken from where the credit went: of a conversion's refunds in turn, at most its value."""
    wanted = -refunds["value_micros"].where(refunds["original"].notna(), 0).astype("int64")
    before = wanted.groupby(refunds["original"].fillna("")).cumsum() - wanted
    left = (refunds["worth"].fillna(0).astype("int64") - before).clip(lower=0)
    return -wanted.clip(lower=0, upper=left).astype("int64")


def _by_id(rows: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    made = ["pays", "new_to_brand"] if "pays" in rows else ["original", "takes_micros"]
    return rows[[*like.columns, *made]].sort_values("conversion_id", ignore_index=True)
