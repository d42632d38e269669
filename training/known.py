"""What the tables say as of the end of a day: events, whose each identifier is, and what became of old person ids."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pyarrow as pa

from whence.attribution.near import near
from whence.attribution.policy import Policy
from whence.contracts.events import EVENTS, LINK_KEYS
from whence.contracts.times import Window
from whence.identity.signals import strongest
from whence.lake import Lake


def events(lake: Lake, name: str, window: Window) -> pd.DataFrame:
    """An event table's rows of the window, by (seen_at, event_id), without the days that are stopped."""
    query = f"SELECT * EXCLUDE (day) FROM {name} WHERE NOT list_contains(?, day) ORDER BY seen_at, event_id"
    stopped = list(stopped_days(lake, window))
    with lake.connect(window, name) as con:
        rows: pd.DataFrame = con.execute(query, [stopped]).df()
    return rows


def touches_near(lake: Lake, window: Window, people: pd.DataFrame, conversions: pd.DataFrame, policy: Policy) -> pa.Table:
    """The window's touches that these conversions may owe themselves to, each with its person, without the days that are stopped.

    Nothing else is held in memory: neither what led to no conversion, nor more of a busy person than the policy looks at.
    """
    stopped = ", ".join(f"'{day}'" for day in stopped_days(lake, window))
    person = ", ".join(f"{key}_is.person_id" for key in LINK_KEYS)
    joins = " ".join(f"LEFT JOIN whose {key}_is ON {key}_is.identifier = '{key}:' || t.{key}" for key in LINK_KEYS)
    with lake.connect(window, "touches") as con:
        con.register("whose", people[["identifier", "person_id"]])
        con.execute(
            f"CREATE TEMP VIEW named_touches AS SELECT t.*, coalesce({person})::VARCHAR AS person_id FROM touches t {joins} "
            f"WHERE NOT list_contains([{stopped}]::VARCHAR[], t.day)"
        )
        return near(con, "named_touches", conversions, policy)


def stopped_days(lake: Lake, window: Window) -> tuple[str, ...]:
    """Days whose events nobody should learn from: an event table has a finding at `stop` that is still open."""
    query = "SELECT DISTINCT day FROM findings WHERE level = 'stop' AND coalesce(status, 'open') = 'open' AND list_contains(?, model) ORDER BY day"
    with lake.connect(window, "findings") as con:
        return tuple(day for (day,) in con.execute(query, [list(EVENTS)]).fetchall())


def persons(lake: Lake, last: date) -> pd.DataFrame:
    """The answer for every identifier as of the end of `last`: columns identifier, person_id, probability."""
    newest = "QUALIFY row_number() OVER (PARTITION BY identifier ORDER BY day DESC) = 1"
    with lake.connect(_until(lake, last), "persons") as con:
        rows: pd.DataFrame = con.sql(f"SELECT identifier, person_id, probability FROM persons {newest} ORDER BY identifier").df()
    return rows


def successors(lake: Lake, last: date) -> dict[str, str]:
    """Every person id that was ever given, to the one that most of its identifiers have as of the end of `last`.

    Features of an earlier day name people by the ids of that day; two accounts that turned out to be one are one here.
    """
    query = """
        WITH latest AS (
            SELECT identifier, person_id AS successor FROM persons
            QUALIFY row_number() OVER (PARTITION BY identifier ORDER BY day DESC) = 1
        ), counted AS (
            SELECT p.person_id, l.successor, count(*) AS n FROM persons p JOIN latest l USING (identifier) GROUP BY ALL
        )
        SELECT person_id, successor FROM counted
        QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY n DESC, successor) = 1
    """
    with lake.connect(_until(lake, last), "persons") as con:
        found = con.sql(query).df()
    return dict(zip(found["person_id"], found["successor"], strict=True))


def owners(people: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """Who a row counts for in splits and intervals: the person, else the thing it came from, else itself."""
    things = strongest(rows).to_numpy()
    return people.fillna(pd.Series(things, index=people.index)).fillna(rows["event_id"].set_axis(people.index))


def versions(lake: Lake, names: tuple[str, ...]) -> dict[str, int]:
    """The version of each table that is read; -1 for one that is not there."""
    return {name: lake.version(name) for name in names}


def history(lake: Lake, as_of: date, days: int) -> Window:
    """The window of at most `days` days up to `as_of` that has events; a day without any is not invented before the first."""
    known = [day for name in EVENTS for day in lake.days(name)]
    first = min((date.fromisoformat(day) for day in known), default=as_of)
    window = Window(as_of, as_of).back(days)
    return Window(min(max(first, window.first), as_of), as_of)


def _until(lake: Lake, last: date) -> Window:
    first = min((date.fromisoformat(day) for day in lake.days("persons")), default=last)
    return Window(min(first, last), last)
