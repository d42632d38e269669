"""What the online features remember of a person for a conversion, and what of the policy they cannot know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from whence.attribution import journeys
from whence.attribution.orders import REFUND
from whence.attribution.policy import Policy

SALES = ("sale", "conversion_id", "happened_at", "kind")
LOOK_BACK = timedelta(days=14)
"""How far back person_features remember, from the end of their day."""
MOST = 50
"""Of touches and sales, person_features hold the latest so many."""


@dataclass(frozen=True)
class Remembered:
    """A person's touches and conversions, as far as they are known online."""

    touches: pd.DataFrame
    """For journeys.candidate_touches: those of the features and those of the request, each id once."""
    sales: pd.DataFrame
    """Earlier conversions, refunds left out, each order once: SALES and person_id."""
    since: datetime | None
    """From when on the touches are whole; None when nothing is known of the person."""

    @property
    def activity(self) -> pd.DataFrame:
        """What the person is known to have done, for the policy's re-engagement."""
        return self.sales[["person_id", "happened_at"]].assign(seen_at=self.sales["happened_at"])

    def told_before(self, conversion: Mapping[str, Any]) -> bool:
        """Whether another telling of the conversion's order was counted on a day before."""
        same = self.sales["sale"].eq(conversion.get("order_id") or "") & self.sales["conversion_id"].ne(
            conversion["conversion_id"]
        )
        return bool(same.any())


def remembered(
    person: str | None, features: Mapping[str, Any] | None, known_at: datetime | None, sent: Sequence[Mapping[str, Any]]
) -> Remembered:
    """What `features` (the person's row of person_features, known at `known_at`) and the request's touches say."""
    told = features or {}
    stored = journeys.recent_touches(told.get("recent_touches"), person or "")
    given = pd.DataFrame([{**touch, "person_id": person} for touch in sent]).reindex(columns=list(journeys.TOUCH_COLUMNS))
    parts = [frame.astype(object) for frame in (given, stored) if len(frame)]
    touches = pd.concat(parts, ignore_index=True).drop_duplicates("touch_id") if parts else stored
    sales = pd.DataFrame(json.loads(told.get("recent_sales") or "[]"), columns=list(SALES)).assign(person_id=person)
    sales["happened_at"] = pd.to_datetime(sales["happened_at"], utc=True, format="ISO8601")
    since = known_at - LOOK_BACK if known_at is not None and features is not None else None
    if since is not None and len(stored) >= MOST:
        since = max(since, stored["happened_at"].min().to_pydatetime())
    return Remembered(touches, sales, since)


def is_refund(conversion: Mapping[str, Any]) -> bool:
    """Whether the conversion takes back what another was given, as in orders.sort_out."""
    return bool(conversion.get("refund_of")) or conversion["kind"] == REFUND or conversion["value_micros"] < 0


def unknown(conversion: Mapping[str, Any], memory: Remembered, policy: Policy) -> Iterator[str]:
    """What the policy asks about the conversion that only the batch can tell."""
    at, kind = conversion["happened_at"], conversion["kind"]
    if memory.since is not None and at - timedelta(days=policy.reach_days) < memory.since:
        yield f"touches are known since {memory.since:%Y-%m-%d %H:%M}, and the policy looks back {policy.reach_days:g} days"
    if (click := conversion.get("click_id")) and not memory.touches["click_id"].eq(click).any():
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
