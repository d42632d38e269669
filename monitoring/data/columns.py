"""What the columns of a day's event table hold: nulls, consent, zeros, money, new values, the busiest network; on every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from monitoring import checks
from monitoring.checks import Check
from whence.contracts.events import EVENTS, IDENTIFIERS, LINK_KEYS
from whence.contracts.times import Window

if TYPE_CHECKING:
    import duckdb

SEGMENT = {"touches": "channel", "conversions": "source", "sightings": "kind"}
"""The column that a table is cut by, so that a part that fails alone is seen."""
AMOUNT = {"touches": "price_micros", "conversions": "value_micros"}
CATEGORIES = {
    "touches": ("kind", "channel", "campaign_id", "currency", "country", "user_agent"),
    "conversions": ("kind", "source", "currency", "country", "user_agent"),
    "sightings": ("kind", "country", "user_agent"),
}
NULLABLE = tuple(field.name for field in IDENTIFIERS if field.name != "consent")
LATE_HOURS = 24
LEAST_AMOUNTS = 10
"""A level of fewer amounts moves with each of them."""


def event_checks(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...]) -> list[Check]:
    """Measures of one event table on one day; `before` are the days that its values are compared with.

    `con` has a view named as the table. An absent day gives a count of zero and no shares.
    """
    totals = _totals(con, table, day)
    rows = int(totals["rows"])
    found = [checks.count(table, "rows", "all", rows)]
    found += _segment_counts(con, table, day, before)
    if not rows:
        return found
    found += [checks.share(table, "null_share", name, totals[f"null_{name}"], rows) for name in NULLABLE]
    found.append(checks.share(table, "consent_share", "granted", totals["granted"], rows))
    found.append(checks.mean(table, "identifiers_per_event", "all", totals["keys"], totals["keys_spread"], rows))
    found.append(checks.share(table, "late_share", f"{LATE_HOURS}h", totals["late"], rows))
    found.append(checks.plain(table, "hours_since_last", "all", totals["idle_hours"], rows))
    found += _top_network(con, table, day)
    found += _unseen(con, table, day, before)
    found += _amounts(con, table, day) if table in AMOUNT else []
    return found


def ingest_checks(con: duckdb.DuckDBPyConnection, day: str) -> list[Check]:
    """What ingest did with each table's rows: the share of duplicates, and of rows that broke the contract."""
    sums = con.execute(
        'SELECT "table", sum("read"), sum(duplicates), sum(quarantined) FROM ingest_counts WHERE day = ? GROUP BY 1 ORDER BY 1',
        [day],
    ).fetchall()
    return [
        check
        for table, read, duplicates, quarantined in sums
        for check in (
            checks.share(table, "duplicate_share", "all", int(duplicates), int(read)),
            checks.share(table, "quarantined_share", "all", int(quarantined), int(read)),
        )
    ]


def _totals(con: duckdb.DuckDBPyConnection, table: str, day: str) -> Mapping[str, Any]:
    keys = [key for key in (*LINK_KEYS, "click_id") if key in EVENTS[table].names]
    held = " + ".join(f'("{key}" IS NOT NULL)::INT' for key in keys)
    nulls = ", ".join(f'count(*) FILTER ("{name}" IS NULL) AS "null_{name}"' for name in NULLABLE)
    end = Window.parse(day).end.isoformat()
    return _one(
        con,
        f"""
        SELECT count(*) AS "rows", {nulls},
               count(*) FILTER (consent = 'granted') AS granted,
               avg({held}) AS keys, stddev_samp({held}) AS keys_spread,
               count(*) FILTER (date_diff('minute', happened_at, seen_at) > {LATE_HOURS * 60}) AS late,
               date_diff('second', max(seen_at), TIMESTAMPTZ '{end}') / 3600 AS idle_hours
        FROM "{table}" WHERE day = ?
        """,
        [day],
    )


def _segment_counts(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...]) -> list[Check]:
    column = SEGMENT[table]
    counted = con.execute(
        f"""
        SELECT "{column}", count(*) FILTER (day = ?) FROM "{table}"
        WHERE day = ? OR day IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1 ORDER BY 1
        """,
        [day, day, list(before)],
    ).fetchall()
    return [checks.count(table, "rows", f"{column}={name}", int(rows)) for name, rows in counted]


def _top_network(con: duckdb.DuckDBPyConnection, table: str, day: str) -> list[Check]:
    """The share of the rows that the busiest network brings: a flood shows here first."""
    top = _one(
        con,
        f"""
        SELECT coalesce(max(n), 0) AS top, coalesce(sum(n), 0) AS total
        FROM (SELECT count(*) AS n FROM "{table}" WHERE day = ? AND ip_key IS NOT NULL GROUP BY ip_key)
        """,
        [day],
    )
    return [checks.share(table, "top_network_share", "all", int(top["top"]), int(top["total"]))]


def _unseen(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...]) -> list[Check]:
    """The share of rows whose value no earlier day had; without earlier days there is nothing to say."""
    if not before:
        return []
    found = []
    for name in CATEGORIES[table]:
        seen = _one(
            con,
            f"""
            SELECT count(*) AS n, count(*) FILTER (value NOT IN (SELECT "{name}" FROM "{table}"
                   WHERE day IN (SELECT unnest(?::VARCHAR[])) AND "{name}" IS NOT NULL)) AS unseen
            FROM (SELECT "{name}" AS value FROM "{table}" WHERE day = ? AND "{name}" IS NOT NULL)
            """,
            [list(before), day],
        )
        found.append(checks.share(table, "unseen_share", name, int(seen["unseen"]), int(seen["n"])))
    return found


def _amounts(con: duckdb.DuckDBPyConnection, table: str, day: str) -> list[Check]:
    """Money by segment: how many zeros, and the decimal logarithm of the median, where an error of units stands out."""
    column, amount = SEGMENT[table], AMOUNT[table]
    sums = con.execute(
        f"""
        SELECT "{column}", count(*), count(*) FILTER ("{amount}" = 0), count(*) FILTER ("{amount}" > 0),
               avg(log10("{amount}")) FILTER ("{amount}" > 0), stddev_samp(log10("{amount}")) FILTER ("{amount}" > 0)
        FROM "{table}" WHERE day = ? AND "{amount}" IS NOT NULL GROUP BY 1 ORDER BY 1
        """,
        [day],
    ).fetchall()
    found = []
    for name, rows, zeros, positive, level, spread in sums:
        segment = f"{amount}:{column}={name}"
        found.append(checks.share(table, "zero_amount_share", segment, int(zeros), int(rows)))
        if positive >= LEAST_AMOUNTS:
            found.append(checks.mean(table, "log10_amount", segment, level, spread, int(positive)))
    return found


def _one(con: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> dict[str, Any]:
    cursor = con.execute(query, values)
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchall()[0], strict=True))  # fetchone would leave the connection busy
