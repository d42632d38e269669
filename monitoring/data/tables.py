"""All measures of the event tables on one day, as they stand at the end of it: `check_data` and the daily watch take the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from monitoring.checks import Check
from monitoring.data.clocks import clock_checks
from monitoring.data.columns import AMOUNT, SEGMENT, event_checks, ingest_checks
from monitoring.data.repeats import repeat_checks
from monitoring.data.values import amount_checks, value_checks
from monitoring.findings.money import money_checks
from whence.contracts.events import EVENTS
from whence.contracts.times import Window

if TYPE_CHECKING:
    import duckdb

    from whence.lake import Lake

COMPARED_DAYS = 7
"""Days before that new values are compared with."""
NAMED = {
    "touches": ("kind", "channel", "campaign_id", "currency"),
    "conversions": ("kind", "source", "currency"),
    "sightings": ("kind",),
}
"""Columns whose values people gave: they stay as they are until somebody renames them."""


def day_checks(lake: Lake, day: date) -> list[Check]:
    """Every measure of every event table on a day, against the week before."""
    around, today = Window(day - timedelta(days=COMPARED_DAYS), day), str(day)
    before = {table: tuple(each for each in lake.days(table) if str(around.first) <= each < today) for table in EVENTS}
    with lake.connect(around, *EVENTS, "ingest_counts") as con:
        return table_checks(con, today, before)


def table_checks(con: duckdb.DuckDBPyConnection, day: str, before: Mapping[str, tuple[str, ...]]) -> list[Check]:
    """The same from views of the event tables and of `ingest_counts`; `before` are each table's days to compare with.

    A table without rows gives counts of zero alone.
    """
    found = [check for table in EVENTS for check in _of(con, table, day, before.get(table, ()))]
    return found + ingest_checks(con, day)


def _of(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...]) -> list[Check]:
    found = event_checks(con, table, day, before)
    if not found[0].value:
        return found
    part = SEGMENT[table]
    found += clock_checks(con, table, day, before, part)
    found += repeat_checks(con, table, day, before)
    found += value_checks(con, table, day, before, NAMED[table])
    found += amount_checks(con, table, day, before, part, AMOUNT[table]) if table in AMOUNT else []
    return found + money_checks(con, table, day)
