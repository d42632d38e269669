"""What cannot be right, or cannot be compared: torn log files, orders told in two ways, champions that decide nothing or have no reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring import checks
from monitoring.checks import Check

if TYPE_CHECKING:
    import duckdb

TOLD_DAYS = 30
"""Days in which a retelling of an order is compared with what was told of it before."""
SERVED_DAYS = 3
"""A model that decided on so many days before should have one that it can be compared with."""


def log_checks(con: duckdb.DuckDBPyConnection, day: str) -> list[Check]:
    """Of the service's decision log on the day: files that end in half a decision, and what is damaged in their midst.

    `con` has a view of `decision_files`; a day without any says nothing.
    """
    row = con.execute(
        "SELECT count(*), count(*) FILTER (is_torn), coalesce(sum(unreadable), 0) FROM decision_files WHERE day = ?", [day]
    ).fetchall()[0]
    files, torn, unreadable = (int(each) for each in row)
    if not files:
        return []
    return [
        checks.plain("decisions", "torn_files", "all", float(torn), files),
        checks.plain("decisions", "unreadable_decisions", "all", float(unreadable), files),
    ]


def told_twice_checks(con: duckdb.DuckDBPyConnection, day: str) -> list[Check]:
    """How many of the day's orders contradict what was told of them before: another value, currency, click or kind.

    `con` has a view of `conversions` with the day and TOLD_DAYS before it. Refunds are no retelling.
    """
    row = con.execute(
        """
        WITH told AS (SELECT * FROM conversions WHERE order_id IS NOT NULL AND refund_of IS NULL),
        again AS (
            SELECT now.order_id, bool_or(coalesce(now.value_micros <> earlier.value_micros, false)
                OR coalesce(now.currency <> earlier.currency, false) OR coalesce(now.click_id <> earlier.click_id, false)
                OR now.kind <> earlier.kind) AS contradicts
            FROM told AS now JOIN told AS earlier ON now.order_id = earlier.order_id AND now.event_id <> earlier.event_id
                AND (earlier.seen_at, earlier.event_id) < (now.seen_at, now.event_id)
            WHERE now.day = ? GROUP BY 1
        )
        SELECT count(*), count(*) FILTER (contradicts) FROM again
        """,
        [day],
    ).fetchall()[0]
    return [checks.plain("conversions", "contradicted", "all", float(row[1]), int(row[0]))] if row[0] else []


def serving_checks(model: str, has_champion: bool, decided: int, days_before: int, reference: int) -> list[Check]:
    """Whether a champion was there and decided nothing, and whether there is nothing to compare its decisions with.

    `decided` are the day's decisions, `days_before` the days on which it decided, `reference` the rows of clean days.
    """
    found = [checks.plain(model, "undecided", "all", float(not decided), decided)] if has_champion else []
    if decided:
        lacks = not reference and days_before >= SERVED_DAYS
        found.append(checks.plain(model, "unreferenced", "all", float(lacks), reference))
    return found
