"""What was known at the end of a day of the conversions and touches before it: whose they were, and which count."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from serving.daily import history
from whence.attribution import journeys, orders, value
from whence.attribution.journeys import GHOST
from whence.attribution.near import near
from whence.attribution.orders import Orders
from whence.attribution.policy import Policy
from whence.attribution.told import COLUMNS, ONCE, Touches
from whence.contracts.events import LINK_KEYS
from whence.contracts.times import Window
from whence.identity.exact import who
from whence.identity.signals import carried

if TYPE_CHECKING:
    import duckdb

    from whence.lake import Lake

ACTIVITY = ["person_id", "happened_at", "seen_at"]
"""What is asked of sightings and conversions to tell who was quiet."""
OWNED = ("person_id", "person_probability")
READ = tuple(name for name in dict.fromkeys((*COLUMNS, *LINK_KEYS, "day")) if name not in OWNED)
"""What credit asks of a touch, but for its person."""
AT_ONCE = 20_000
"""Touches of a day that are scored together."""


@dataclass(frozen=True)
class People:
    """Whose each identifier is at one time: a table of a connection with identifier (each once), person_id and probability."""

    con: duckdb.DuckDBPyConnection
    name: str

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, at: date, rows: pd.DataFrame | None = None) -> People:
        """What the view `persons` of the connection says at the end of a day; or what rows say in its place."""
        name = f"people_{at:%Y%m%d}"
        source = f"SELECT * FROM persons WHERE day <= '{at}'"
        if rows is not None:
            once = rows[["identifier", "person_id", "probability"]].drop_duplicates("identifier")
            con.register("given_people", once.assign(day=str(at)))
            source = "SELECT * FROM given_people"
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE {name} AS SELECT identifier, answer.person_id, answer.probability FROM (
                SELECT identifier::VARCHAR AS identifier, arg_max(
                    struct_pack(person_id := person_id::VARCHAR, probability := probability::DOUBLE), day
                ) AS answer FROM ({source}) GROUP BY identifier
            )
        """)
        return cls(con, name)

    def whose(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What is known of the identifiers of some events."""
        return self._asked("identifier", carried(rows)["identifier"])

    def identifiers(self, people: pd.Series) -> list[str]:
        """The identifiers of some people."""
        return list(self._asked("person_id", people.dropna())["identifier"])

    def _asked(self, column: str, values: pd.Series) -> pd.DataFrame:
        self.con.register("asked_people", pa.table({"value": pa.array(values.unique(), pa.string())}))
        found: pd.DataFrame = self.con.sql(f"FROM {self.name} WHERE {column} IN (FROM asked_people) ORDER BY identifier").df()
        return found


@dataclass(frozen=True)
class Events:
    """The rows of some days."""

    touches: Touches
    """Each once, in a table: a day's touches may be more than memory likes, and those of weeks are. None has a person yet."""
    people: Mapping[date, People]
    """As known at the end of the last day and, where days are restated, of the day before."""
    conversions: pd.DataFrame
    """Those that may be credited, and of those before them whatever counts for them; by (seen_at, event_id), as sightings."""
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
        """The touches that may have earned these conversions, as known at `known_by`, by default the end of `at`."""
        asked = counted if "known_by" in counted else counted.assign(known_by=Window(self.at, self.at).end)
        found = near(self.touches.con, self.touches.name, asked, self.policy)
        return journeys.candidate_touches(asked, found, self.policy, self.activity)


def read(lake: Lake, day: date, policy: Policy, persons: pd.DataFrame | None = None) -> Events:
    """The events that the credit of the day, and of days that the day may restate, can rest on.

    Who is who is known by the table, or by `persons` (identifier, person_id, probability) in its place. Of conversions that
    are credited no more, those are read that were told of the same orders, and those of the same customers: older than tellings
    and refunds are followed, by the customers' own identifiers alone. All are, where the policy asks who was quiet.
    """
    first = day - timedelta(days=policy.restate_days)
    told = history.events(lake, "conversions", Window(first, day))
    oldest = min([first, *told["happened_at"].dt.date]) - timedelta(days=math.ceil(policy.reach_days))
    touches = _touches(lake, Window(oldest, day))
    lake.show(touches.con, history.days_until(lake, day, "persons"), "persons")
    days = [day, *([history.before(day)] if policy.restate_days else [])]
    people = {at: People.of(touches.con, at, persons) for at in days}
    filled = orders.fill_identifiers(told)
    customers = [each for one in people.values() for each in one.identifiers(who(filled, one.whose(filled)))]
    back, followed = _remembered(policy), Window(first - timedelta(days=_followed(policy)), history.before(first))
    if policy.reengagement.conversions:
        parts = [history.events(lake, "conversions", followed), told]
    else:
        parts = [history.conversions_beside(lake, followed, told, customers), told]
    if back > _followed(policy):
        older = Window(first - timedelta(days=back), history.before(followed.first))
        parts = [history.events_of(lake, "conversions", older, customers), *parts]
    conversions = pd.concat([each for each in parts if len(each)] or [told], ignore_index=True)
    return Events(touches, people, conversions, _sightings(lake, Window(oldest, day), policy))


def _touches(lake: Lake, window: Window) -> Touches:
    con = lake.connect(window, "touches")
    con.execute(f"CREATE TEMP TABLE told AS SELECT {', '.join(READ)} FROM touches {ONCE}")
    return Touches(con, "told")


def of_day(known: Known) -> Iterator[pd.DataFrame]:
    """The touches that were told first on the last day, as conversion-value takes them: some at a time, in no order, without ghosts.

    Columns touch_id, LINK_KEYS, value.TOLD and value.COUNTS. `known` comes from `read`; nothing else may be asked of its connection meanwhile.
    """
    columns = ", ".join(dict.fromkeys(("touch_id", *LINK_KEYS, *value.TOLD)))
    first = f"SELECT event_id FROM {known.touches.name} WHERE day = '{known.at}' AND kind <> '{GHOST}'"
    today = f"SELECT {columns} FROM touches WHERE day = '{known.at}' AND event_id IN ({first})"
    for some in known.touches.con.sql(value.counted(today)).to_arrow_reader(AT_ONCE):
        yield some.to_pandas()


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


def as_known(events: Events, at: date, policy: Policy) -> Known:
    """The events until the end of `at`, by who is who as known then."""
    people = events.people[at]
    conversions, sightings = (
        each[each["day"] <= str(at)].reset_index(drop=True) for each in (events.conversions, events.sightings)
    )
    touches, sightings = owned(events.touches, people, at, f"known_{at:%Y%m%d}"), _named(sightings, people)
    conversions = _named(orders.fill_identifiers(conversions), people)
    activity = pd.concat([conversions[ACTIVITY], sightings[ACTIVITY]], ignore_index=True)
    return Known(at, touches, conversions, activity, policy)


def owned(told: Touches, people: People, at: date, name: str) -> Touches:
    """The touches until the end of `at`, each with the person of its strongest identifier that is known, as a table of this name."""
    joins = " ".join(f"LEFT JOIN owners {key}_is ON {key}_is.identifier = '{key}:' || t.{key}" for key in LINK_KEYS)
    told.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE {name} AS
        WITH owners AS (SELECT identifier, struct_pack(person_id, probability) AS owner FROM {people.name})
        SELECT t.* EXCLUDE (owned), owned.person_id, owned.probability AS person_probability FROM (
            SELECT t.*, coalesce({", ".join(f"{key}_is.owner" for key in LINK_KEYS)}) AS owned
            FROM {told.name} t {joins} WHERE t.day <= '{at}'
        ) t
    """)
    return Touches(told.con, name)


def _named(rows: pd.DataFrame, people: People) -> pd.DataFrame:
    known = people.whose(rows).set_index("identifier")
    by = who(rows, known.reset_index().assign(person_id=known.index))
    person = by.map(known["person_id"]).astype(object)
    return rows.assign(
        person_id=person.where(person.notna(), None), person_probability=by.map(known["probability"]).astype("float64")
    )
