"""What the online features remember of a person for a conversion, and what of the policy they cannot know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from whence.attribution.one import Row
from whence.attribution.orders import REFUND
from whence.attribution.policy import Policy

LOOK_BACK = timedelta(days=14)
"""How far back person_features remember, from the end of their day."""
MOST = 50
"""Of touches and sales, person_features hold the latest so many."""


@dataclass(frozen=True)
class Remembered:
    """A person's touches and conversions, as far as they are known online."""

    touches: Sequence[Row]
    """Those of the request and those of the features, each id once."""
    sales: Sequence[Row]
    """Earlier conversions, refunds left out, each order once: sale, conversion_id, happened_at, kind."""
    since: datetime | None
    """From when on the touches are whole; None when nothing is known of the person."""

    @property
    def done(self) -> list[datetime]:
        """When the person is known to have done something, for the policy's re-engagement."""
        return [sale["happened_at"] for sale in self.sales]

    def told_before(self, conversion: Row) -> bool:
        """Whether another telling of the conversion's order was counted on a day before."""
        order, name = conversion.get("order_id"), conversion["conversion_id"]
        return bool(order) and any(sale["sale"] == order and sale["conversion_id"] != name for sale in self.sales)


def remembered(features: Mapping[str, str | None] | None, known_at: datetime | None, sent: Sequence[Row]) -> Remembered:
    """What a person's row of person_features, known at `known_at`, and the request's touches say; None: no such row."""
    told = features or {}
    stored, sales = _rows(told.get("recent_touches")), _rows(told.get("recent_sales"))
    touches = {touch["touch_id"]: touch for touch in (*reversed(stored), *reversed(sent))}
    since = known_at - LOOK_BACK if known_at is not None and features is not None else None
    if since is not None and len(stored) >= MOST:
        since = max(since, min(touch["happened_at"] for touch in stored))
    return Remembered(tuple(touches.values()), sales, since)


def _rows(text: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = orjson.loads(text) if text else []
    for row in rows:
        row["happened_at"] = datetime.fromisoformat(row["happened_at"])
    return rows


def is_refund(conversion: Row) -> bool:
    """Whether the conversion takes back what another was given, as in orders.sort_out."""
    return bool(conversion.get("refund_of")) or conversion["kind"] == REFUND or conversion["value_micros"] < 0


def unknown(conversion: Row, memory: Remembered, policy: Policy) -> Iterator[str]:
    """What the policy asks about the conversion that only the batch can tell."""
    at, kind = conversion["happened_at"], conversion["kind"]
    if memory.since is not None and at - timedelta(days=policy.reach_days) < memory.since:
        yield f"touches are known since {memory.since:%Y-%m-%d %H:%M}, and the policy looks back {policy.reach_days:g} days"
    if (click := conversion.get("click_id")) and all(touch.get("click_id") != click for touch in memory.touches):
        yield "the touch of its click_id is not known"
    if policy.reengagement.inactivity_days and kind in policy.reengagement.conversions:
        yield "sightings are not known, so a touch may count whose person had not gone quiet"
    if kept := [each.days for each in policy.cool_downs if kind in each.blocked and timedelta(days=each.days) > LOOK_BACK]:
        yield f"conversions are known for {LOOK_BACK.days} days, and a cool-down lasts {max(kept):g}"
    if policy.new_to_brand.only and timedelta(days=policy.new_to_brand.look_back_days) > LOOK_BACK:
        yield f"conversions are known for {LOOK_BACK.days} days, and who bought before is no new customer for {policy.new_to_brand.look_back_days}"
    if order := conversion.get("order_id"):
        if policy.orders.prefer in ("first", conversion["source"]):
            yield f"whether order {order} was told before today is known, and not whether earlier today"
        else:
            yield f"the {policy.orders.prefer}'s telling of order {order} counts instead, if it comes today"
