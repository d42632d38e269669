"""What was known at the end of a day of the conversions and touches before it: whose they were, and which count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from serving.daily import history
from whence.attribution import journeys, orders
from whence.attribution.near import near
from whence.attribution.orders import Orders
from whence.attribution.policy import Policy
from whence.attribution.told import COLUMNS, ONCE, Touches
from whence.contracts.events import LINK_KEYS
from whence.contracts.times import Window
from whence.identity.exact import who

if TYPE_CHECKING:
    from whence.lake import Lake

ACTIVITY = ["person_id", "happened_at", "seen_at"]
"""What is asked of sightings and conversions to tell who was quiet."""
OWNED = ("person_id", "person_probability")
READ = tuple(name for name in dict.fromkeys((*COLUMNS, *LINK_KEYS, "day")) if name not in OWNED)
"""What credit asks of a touch, but for its person."""


@dataclass(frozen=True)
class Events:
    """The rows of some days."""

    touches: Touches
    """Each once, in a table: a day's touches may be more than memory likes, and those of weeks are. None has a person yet."""
    conversions: pd.DataFrame
    """By (seen_at, event_id), as sightings."""
    sightings: pd.DataFrame
    """Only where the policy asks who was quiet; else empty."""


@dataclass(frozen=True)
class Known:
    """Events until the end of `at`, with the person_id and person_probability that they had then."""

    at: date
    touches: Touches
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
        found = near(self.touches.con, self.touches.name, asked, self.policy)
        return journeys.candidate_touches(asked, found, self.policy, self.activity)


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
    return Events(
        _touches(lake, Window(oldest, day)), conversions.reset_index(drop=True), _sightings(lake, Window(oldest, day), policy)
    )


def _touches(lake: Lake, window: Window) -> Touches:
    con = lake.connect(window, "touches")
    con.execute(f"CREATE TEMP TABLE told AS SELECT {', '.join(READ)} FROM touches {ONCE}")
    return Touches(con, "told")


def of_day(lake: Lake, known: Known) -> pd.DataFrame:
    """The touches that were told first on the last day, whole, by (seen_at, event_id)."""
    first = known.touches.con.sql(f"SELECT event_id FROM {known.touches.name} WHERE day = '{known.at}'").df()["event_id"]
    today = history.events(lake, "touches", Window(known.at, known.at))
    return today[today["event_id"].isin(first)].reset_index(drop=True)


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
    conversions, sightings = (
        each[each["day"] <= str(at)].reset_index(drop=True) for each in (events.conversions, events.sightings)
    )
    touches, sightings = _owned(events.touches, persons, at), _named(sightings, persons)
    conversions = _named(orders.fill_identifiers(conversions), persons)
    activity = pd.concat([conversions[ACTIVITY], sightings[ACTIVITY]], ignore_index=True)
    return Known(at, touches, conversions, activity, policy)


def _owned(told: Touches, persons: pd.DataFrame, at: date) -> Touches:
    """The touches until the end of `at`, each with the person of its strongest identifier that is known."""
    name, con = f"known_{at:%Y%m%d}", told.con
    con.register("whose", persons[["identifier", "person_id", "probability"]].drop_duplicates("identifier"))
    joins = " ".join(f"LEFT JOIN owners {key}_is ON {key}_is.identifier = '{key}:' || t.{key}" for key in LINK_KEYS)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE {name} AS
        WITH owners AS (
            SELECT identifier::VARCHAR AS identifier, struct_pack(person_id := person_id::VARCHAR, probability := probability::DOUBLE) AS owner FROM whose
        )
        SELECT t.* EXCLUDE (owned), owned.person_id, owned.probability AS person_probability FROM (
            SELECT t.*, coalesce({", ".join(f"{key}_is.owner" for key in LINK_KEYS)}) AS owned
            FROM {told.name} t {joins} WHERE t.day <= '{at}'
        ) t
    """)
    con.unregister("whose")
    return Touches(con, name)


def _named(rows: pd.DataFrame, persons: pd.DataFrame) -> pd.DataFrame:
    known = persons.drop_duplicates("identifier").set_index("identifier")
    by = who(rows, persons.assign(person_id=persons["identifier"]))
    person = by.map(known["person_id"]).astype(object)
    return rows.assign(
        person_id=person.where(person.notna(), None), person_probability=by.map(known["probability"]).astype("float64")
    )
