"""What the tables say as of a day: its events, and whose each identifier is."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from whence.contracts.events import EVENTS, IDENTIFIERS, LINK_KEYS
from whence.contracts.times import Window

if TYPE_CHECKING:
    import pandas as pd

    from whence.lake import Lake

CARRIES = " OR ".join(f"('{key}:' || {key}) IN (SELECT unnest($1::VARCHAR[]))" for key in LINK_KEYS)
"""Whether a row carries one of the identifiers that are asked for."""
SIGNAL_COLUMNS = ("event_id", "happened_at", "seen_at", *(field.name for field in IDENTIFIERS))


def signals(lake: Lake, window: Window) -> pd.DataFrame:
    """Every event of the window as a signal: its times and identifiers, by (seen_at, event_id)."""
    columns = ", ".join(SIGNAL_COLUMNS)
    union = " UNION ALL ".join(f"SELECT '{name}' AS \"table\", {columns} FROM {name}" for name in EVENTS)
    with lake.connect(window, *EVENTS) as con:
        found: pd.DataFrame = con.sql(f"{union} ORDER BY seen_at, event_id").df()
    return found


def events(lake: Lake, name: str, window: Window) -> pd.DataFrame:
    """One event table's rows of the window, by (seen_at, event_id)."""
    with lake.connect(window, name) as con:
        found: pd.DataFrame = con.sql(f"SELECT * FROM {name} ORDER BY seen_at, event_id").df()
    return found


def events_of(lake: Lake, name: str, window: Window, identifiers: list[str]) -> pd.DataFrame:
    """The rows of an event table that carry one of these identifiers, as `cookie_id:…`, by (seen_at, event_id)."""
    with lake.connect(window, name) as con:
        query = f"SELECT * FROM {name} WHERE {CARRIES} ORDER BY seen_at, event_id"
        found: pd.DataFrame = con.sql(query, params=[identifiers]).df()
    return found


def conversions_beside(lake: Lake, window: Window, told: pd.DataFrame, identifiers: list[str]) -> pd.DataFrame:
    """The window's conversions that have to do with `told` or carry one of these identifiers, and all that have to do with those.

    Rows have to do with each other that share an order_id or a conversion_id, or of which one is the other's refund, as another
    refund of it is. By (seen_at, event_id).
    """
    with lake.connect(window, "conversions") as con:
        keys = "event_id, 'o' || order_id AS order_key, 'c' || conversion_id AS own, 'c' || refund_of AS takes_back"
        con.execute(f"CREATE TEMP TABLE told AS SELECT {keys}, ({CARRIES}) IS TRUE AS is_reached FROM conversions", [identifiers])
        con.register("given", told[["order_id", "conversion_id", "refund_of"]].astype("string"))
        con.execute("""
            CREATE TEMP TABLE keys AS SELECT DISTINCT unnest(['o' || order_id, 'c' || conversion_id, 'c' || refund_of]) AS key FROM given
        """)
        count = -1
        while count != (count := con.sql("SELECT count(*) FROM told WHERE is_reached").fetchall()[0][0]):
            con.execute("""
                INSERT INTO keys SELECT unnest([order_key, own, takes_back]) FROM told WHERE is_reached;
                UPDATE told SET is_reached = true WHERE NOT is_reached
                    AND (order_key IN (FROM keys) OR own IN (FROM keys) OR takes_back IN (FROM keys))
            """)
        reached = "event_id IN (SELECT event_id FROM told WHERE is_reached)"
        found: pd.DataFrame = con.sql(f"SELECT * FROM conversions WHERE {reached} ORDER BY seen_at, event_id").df()
    return found


def persons(lake: Lake, last: date) -> pd.DataFrame:
    """The answer for every identifier as of the end of `last`, one row each, by identifier."""
    return _latest(lake, "persons", "SELECT * FROM persons", last)


def exact_persons(lake: Lake, last: date) -> pd.DataFrame:
    """What exact links alone say as of the end of `last`, also beneath ranked answers: rows as in `persons`."""
    columns = "day, seen_at, identifier, person_id, 1.0 AS probability, 'exact' AS method, NULL AS bundle"
    exact = f"SELECT {columns} FROM persons WHERE method = 'exact' UNION ALL SELECT {columns} FROM exact_persons"
    return _latest(lake, "persons exact_persons", exact, last)


def networks(lake: Lake, day: date) -> pd.DataFrame:
    """Who was lately on which network, as known at the end of the day: person_id, ip_key."""
    with lake.connect(Window(day, day), "pair_features") as con:
        found: pd.DataFrame = con.sql("SELECT person_id, ip_key FROM pair_features ORDER BY ALL").df()
    return found


def credits_of(lake: Lake, last: date, conversions: list[str]) -> pd.DataFrame:
    """The `credits` rows of these conversions that were stated by the runs of days until `last`."""
    with lake.connect(days_until(lake, last, "credits"), "credits") as con:
        asked = "conversion_id IN (SELECT unnest($1::VARCHAR[])) AND stated_on <= $2"
        found: pd.DataFrame = con.sql(f"SELECT * FROM credits WHERE {asked} ORDER BY ALL", params=[conversions, str(last)]).df()
    return found


def credits_stated(lake: Lake, window: Window, until: date) -> pd.DataFrame:
    """The `credits` rows of conversions seen in the window that were stated by the runs of days until `until`."""
    with lake.connect(window, "credits") as con:
        query = "SELECT * FROM credits WHERE stated_on <= $1 ORDER BY ALL"
        found: pd.DataFrame = con.sql(query, params=[str(until)]).df()
    return found


def before(day: date) -> date:
    """The day before."""
    return day - timedelta(days=1)


def _latest(lake: Lake, names: str, query: str, last: date) -> pd.DataFrame:
    with lake.connect(days_until(lake, last, *names.split()), *names.split()) as con:
        newest = "QUALIFY row_number() OVER (PARTITION BY identifier ORDER BY day DESC) = 1"
        found: pd.DataFrame = con.sql(f"SELECT * FROM ({query}) {newest} ORDER BY identifier").df()
    return found


def days_until(lake: Lake, last: date, *names: str) -> Window:
    """All days of these tables until `last`."""
    days = [day for name in names for day in lake.days(name)]
    first = min((date.fromisoformat(day) for day in days), default=last)
    return Window(min(first, last), last)
