"""Rows that are there again: copies under new event ids, yesterday's rows replayed, and identifiers that were met before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring import checks
from monitoring.checks import Check
from monitoring.data.values import LEAST_VALUES
from whence.contracts.events import EVENTS, LINK_KEYS

if TYPE_CHECKING:
    import duckdb

KNOWN_DAYS = 7
"""Days in which a returning identifier was met; with fewer days at hand the share still grows by itself."""
SAMPLED = 1_000_000
"""Identifiers of more rows than this are sampled, by their hash."""
OWN_IDS = ("event_id", "touch_id", "conversion_id", "happened_at", "seen_at")
"""What a copy may have of its own."""


def repeat_checks(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...]) -> list[Check]:
    """Copies within the day, rows of the day before at the same time of the day, and by identifier the share that returned."""
    rows, copied = con.execute(
        f'SELECT count(*), count(*) - count(DISTINCT {_content(table, "epoch_us(happened_at)")}) FROM "{table}" WHERE day = ?',
        [day],
    ).fetchall()[0]
    found = [checks.share(table, "copied_share", "all", int(copied), int(rows))]
    if before:
        replayed = con.execute(
            f"""
            SELECT count(*) FROM "{table}" WHERE day = ? AND {_content(table, _OF_DAY)} IN
                (SELECT {_content(table, _OF_DAY)} FROM "{table}" WHERE day = ?)
            """,
            [day, before[-1]],
        ).fetchall()[0][0]
        found.append(checks.share(table, "replayed_share", "all", int(replayed), int(rows)))
    if len(before) >= KNOWN_DAYS:
        returning = [_returning(con, table, day, before, name, int(rows)) for name in (*LINK_KEYS, "ip_key")]
        found += [check for check in returning if check.n >= LEAST_VALUES]
    return found


_OF_DAY = "epoch_us(happened_at) % 86400000000"


def _content(table: str, time: str) -> str:
    """A hash of all that a copy has in common with its original."""
    names = [f'"{name}"' for name in EVENTS[table].names if name not in OWN_IDS]
    return f"hash({time}, {', '.join(names)})"


def _returning(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...], name: str, rows: int) -> Check:
    one_in = max(1, rows // SAMPLED)
    held, known = con.execute(
        f"""
        WITH sampled AS (SELECT day, "{name}" AS value FROM "{table}" WHERE "{name}" IS NOT NULL AND hash("{name}") % {one_in} = 0)
        SELECT count(*), count(*) FILTER (value IN (SELECT value FROM sampled WHERE day IN (SELECT unnest(?::VARCHAR[]))))
        FROM sampled WHERE day = ?
        """,
        [list(before[-KNOWN_DAYS:]), day],
    ).fetchall()[0]
    return checks.share(table, "returning_share", name, int(known), int(held))
