"""What a report needs from the tables: statements of credit, priced touches, and how far everything is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from monitoring import holding
from whence.contracts.times import Window

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from whence.attribution.policy import Policy
    from whence.lake import Lake

TABLES = ("touches", "conversions", "quarantine", "persons", "person_events", "credits")
"""Those whose version a report names."""


@dataclass(frozen=True)
class Read:
    """The rows of a period, and which versions of what they are."""

    statements: pd.DataFrame
    """Every statement of credit in reach, superseded ones too."""
    touches: pd.DataFrame
    """Of every touch in reach what it cost, as summary.spend wants it."""
    refunds: frozenset[str]
    """Conversions that take money back."""
    without_credit: tuple[str, ...]
    """Days of the period that have conversions, and no credit yet."""
    without_events: tuple[str, ...]
    """Days of the period without any touch or conversion."""
    versions: dict[str, int]
    ledger_until: datetime | None
    """When the last change in who is who came to be known."""
    ledger_events: int
    linked_by: dict[str, int]
    """By the bundle of identity-ranker how many identifiers it gave to somebody, until the period's end."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Days of the period whose credit is not final, and why."""
    quarantined: int = 0
    """Rows of conversions of the period that broke the contract: no sum has them."""


def read(lake: Lake, window: Window, policy: Policy, *, by_touch: bool) -> Read:
    """The rows that a report of the window's days rests on.

    Touches may be told late, by the policy's `restate_days`; where credit goes by the day of the touch, the conversions that
    it is of may come later still, by the longest window.
    """
    late = _longer(window, policy.restate_days)
    reach = _longer(late, math.ceil(policy.reach_days)) if by_touch else window
    with lake.connect(reach, "credits", "conversions") as con:
        statements = _rows(con, "SELECT * FROM credits ORDER BY ALL")
        refunds = con.execute(
            "SELECT DISTINCT conversion_id FROM conversions WHERE refund_of IS NOT NULL OR kind = 'refund' OR value_micros < 0"
        )
        taking_back = frozenset(str(name) for (name,) in refunds.fetchall())
    with lake.connect(late, "touches") as con:
        query = "SELECT touch_id, happened_at, seen_at, kind, holdout, campaign_id, channel, price_micros, currency FROM touches"
        touches = _rows(con, f"{query} ORDER BY seen_at, event_id")
    with lake.connect(window, "quarantine") as con:
        quarantined = int(con.execute("SELECT count(*) FROM quarantine WHERE \"table\" = 'conversions'").fetchall()[0][0])
    with lake.connect(None, "person_events") as con:
        until, events = con.execute("SELECT max(known_at), count(*) FROM person_events").fetchall()[0]
    with lake.connect(None, "persons") as con:
        query = (
            "SELECT bundle, count(DISTINCT identifier) FROM persons WHERE bundle IS NOT NULL AND day <= $1 GROUP BY 1 ORDER BY 1"
        )
        links = {str(bundle): int(n) for bundle, n in con.execute(query, [str(window.last)]).fetchall()}
    days = {name: set(lake.days(name)) for name in ("touches", "conversions", "credits")}
    return Read(
        statements=statements,
        touches=touches,
        refunds=taking_back,
        without_credit=tuple(day for day in window.days if day in days["conversions"] - days["credits"]),
        without_events=tuple(day for day in window.days if day not in days["conversions"] | days["touches"]),
        versions={name: lake.version(name) for name in TABLES},
        ledger_until=until,
        ledger_events=int(events),
        linked_by=links,
        held={each.day: each.reason for each in holding.held(lake, window)},
        quarantined=quarantined,
    )


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> pd.DataFrame:
    # by way of arrow, so that a whole number with gaps stays whole
    found: pd.DataFrame = con.sql(query).to_arrow_table().to_pandas(integer_object_nulls=True)
    return found


def _longer(window: Window, days: int) -> Window:
    return Window(window.first, min(window.last + timedelta(days=days), date.max))
