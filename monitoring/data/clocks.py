"""Clocks and hours: rows that were seen before they happened, how long they were on their way, hours in which nothing came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring import checks
from monitoring.checks import Check

if TYPE_CHECKING:
    import duckdb

EXPECTED_ROWS = 12
"""An hour that usually brings so many rows is never empty by chance: once in 160,000."""


def clock_checks(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...], part: str) -> list[Check]:
    """Clock skew of the day as a whole, and the delay of delivery by `part`, the column that the table is cut by."""
    rows, ahead = con.execute(
        f'SELECT count(*), count(*) FILTER (happened_at > seen_at + INTERVAL 1 SECOND) FROM "{table}" WHERE day = ?', [day]
    ).fetchall()[0]
    found = [checks.share(table, "clock_ahead_share", "all", int(ahead), int(rows))]
    return [*found, *_delays(con, table, day, part), *_silent_hours(con, table, day, before)]


def _delays(con: duckdb.DuckDBPyConnection, table: str, day: str, part: str) -> list[Check]:
    """The decimal logarithm of seconds from event to delivery: a clock that is an hour off adds two."""
    told = con.execute(
        f"""
        SELECT "{part}", count(*), avg(delay), stddev_samp(delay) FROM (
            SELECT "{part}", log10(greatest(date_diff('millisecond', happened_at, seen_at) / 1000.0, 1.0)) AS delay
            FROM "{table}" WHERE day = ?
        ) GROUP BY 1 ORDER BY 1
        """,
        [day],
    ).fetchall()
    return [checks.mean(table, "log10_delay", f"{part}={name}", level, spread, int(n)) for name, n, level, spread in told]


def _silent_hours(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...]) -> list[Check]:
    """Hours without a row that usually bring many."""
    if not before:
        return []
    silent = con.execute(
        f"""
        SELECT count(*) FILTER (now = 0 AND usual >= {EXPECTED_ROWS}) FROM (
            SELECT hour(seen_at) AS hour, count(*) FILTER (day = ?) AS now, count(*) FILTER (day <> ?) / ? AS usual
            FROM "{table}" WHERE day = ? OR day IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1
        )
        """,
        [day, day, len(before), day, list(before)],
    ).fetchall()[0][0]
    return [checks.plain(table, "silent_hours", "all", float(silent), 24)]
