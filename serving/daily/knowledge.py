"""What was known at the end of a day of the conversions and touches before it: whose they were, and which count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from serving.daily import history
from whence.attribution import journeys, orders
from whence.attribution.orders import Orders
from whence.attribution.policy import Policy
from whence.contracts.times import Window
from whence.identity.exact import who

if TYPE_CHECKING:
    from whence.lake import Lake

ACTIVITY = ["person_id", "happened_at", "seen_at"]
"""What is asked of sightings and conversions to tell who was quiet."""
UNREAD = ("ad_id", "creative_id", "bid_micros", "currency", "holdout", "experiment", "arm", "locale", "consent")
"""Of touches, what credit does not ask for."""


@dataclass(frozen=True)
class Events:
    """The rows of some days, by (seen_at, event_id), each touch once."""

    touches: pd.DataFrame
    conversions: pd.DataFrame
    sightings: pd.DataFrame
    """Only where the policy asks who was quiet; else empty."""


@dataclass(frozen=True)
class Known:
    """Events until the end of `at`, with the person_id and person_probability that they had then."""

    at: date
    touches: pd.DataFrame
    conversions: pd.DataFrame
    activity: pd.DataFrame
    policy: Policy

    def orders(self, window: Window) -> Orders:
        """The conversions seen in the window, sorted out by the policy."""
        day = self.conversions["day"]
        earlier, told = self.conversions[day < str(window.first)], self.conversions[day.isin(window.days)]
        return orders.sort_out(told, earlier, self.policy)

    def pairs(self, counted: pd.DataFrame) -> pd.DataFrame:
        """The touches that may have earned these conversions, as known at the end of `at`."""
        asked = counted.assign(known_by=Window(self.at, self.at).end)
        return journeys.candidate_touches(asked, self.touches, self.policy, self.activity)


def read(lake: Lake, day: date, policy: Policy, persons: pd.DataFrame) -> Events:
    """The events that the credit of the day, and of days that the day may restate, can rest on; `persons` as known at its end.

    Of conversions older than tellings and refunds are followed, only those of today's customers are read.
    """
    first = day - timedelta(days=policy.restate_days)
    recent = Window(first - timedelta(days=_followed(policy)), day)
    conversions = history.events(lake, "conversions", recent)
    told = conversions[conversions["day"] >= str(first)]
    if (back := _remembered(policy)) > _followed(policy):
        older = Window(first - timedelta(days=back), history.before(recent.first))
        customers = persons[persons["person_id"].isin(set(who(told, persons).dropna()))]
        conversions = pd.concat([history.events_of(lake, "conversions", older, customers["identifier"].tolist()), conversions])
    oldest = min([first, *told["happened_at"].dt.date]) - timedelta(days=math.ceil(policy.reach_days))
    touches = history.events(lake, "touches", Window(oldest, day), UNREAD).drop_duplicates("touch_id", ignore_index=True)
    return Events(touches, conversions.reset_index(drop=True), _sightings(lake, Window(oldest, day), policy))


def _followed(policy: Policy) -> int:
    """The days over which other tellings of an order and refunds are looked for."""
    return math.ceil(max(policy.orders.look_back_days, policy.refunds.within_days))


def _remembered(policy: Policy) -> int:
    """The days over which a customer's own history counts."""
    return math.ceil(max(policy.new_to_brand.look_back_days, *(each.days for each in policy.cool_downs), 0))


def _sightings(lake: Lake, window: Window, policy: Policy) -> pd.DataFrame:
    if not policy.reengagement.conversions:
        return history.events(lake, "sightings", Window(window.last, window.last)).head(0)
    return history.events(lake, "sightings", window.back(len(window.days) + math.ceil(policy.reengagement.inactivity_days)))


def as_known(events: Events, persons: pd.DataFrame, at: date, policy: Policy) -> Known:
    """The events until the end of `at`, by these answers of who is who (`persons` as known then)."""
    told = (
        each[each["day"] <= str(at)].reset_index(drop=True) for each in (events.touches, events.conversions, events.sightings)
    )
    touches, conversions, sightings = told
    touches, sightings = _named(touches, persons), _named(sightings, persons)
    conversions = _named(orders.fill_identifiers(conversions), persons)
    activity = pd.concat([conversions[ACTIVITY], sightings[ACTIVITY]], ignore_index=True)
    return Known(at, touches, conversions, activity, policy)


def _named(rows: pd.DataFrame, persons: pd.DataFrame) -> pd.DataFrame:
    known = persons.drop_duplicates("identifier").set_index("identifier")
    by = who(rows, persons.assign(person_id=persons["identifier"]))
    person = by.map(known["person_id"]).astype(object)
    return rows.assign(
        person_id=person.where(person.notna(), None), person_probability=by.map(known["probability"]).astype("float64")
    )
