"""A finding: what a person should know of a day, how urgent it is, what stands behind it, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from whence.contracts.tables import TABLES

CALM, WARN, RECALIBRATE, RETRAIN, ROLLBACK, STOP = "calm", "warn", "recalibrate", "retrain", "rollback", "stop"
LEVELS = (CALM, WARN, RECALIBRATE, RETRAIN, ROLLBACK, STOP)
"""In the order of their urgency; `stop` asks to publish nothing of the day."""
URGENCY: Mapping[str, int] = {level: place for place, level in enumerate(LEVELS)}
OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True)
class Finding:
    """A row of the `findings` table without its day."""

    model: str
    level: str
    metric: str
    segment: str
    reason: str
    cause: str = ""
    """What is behind it, as far as the pattern tells: tracker_outage, signal_loss, …; empty if unknown."""
    money_micros: int | None = None
    """What the day's rows that it touches are worth; None where nobody knows."""
    currency: str = ""
    runbook: str = ""
    """The anchor in docs/runbooks.md."""
    evidence: str = "{}"
    """JSON: what was expected, what came, how sure that is, the series that are off."""
    since: str = ""
    """The first day of the episode, ISO; empty on a calm row."""
    status: str = ""
    """`open`, or `closed` on the first day without the harm; empty on a calm row that closes nothing."""

    @property
    def facts(self) -> dict[str, Any]:
        """The evidence, read."""
        found: dict[str, Any] = json.loads(self.evidence)
        return found


def to_arrow(day: str, findings: Iterable[Finding]) -> pa.Table:
    """The findings as rows of the `findings` table."""
    return pa.Table.from_pylist([{"day": day, **asdict(finding)} for finding in findings], schema=TABLES["findings"].schema)


def by_day(rows: pa.Table) -> dict[str, list[Finding]]:
    """Rows of the `findings` table, as findings under their day."""
    days: dict[str, list[Finding]] = {}
    for row in rows.to_pylist():
        days.setdefault(row.pop("day"), []).append(_finding(row))
    return days


def _finding(row: Mapping[str, Any]) -> Finding:
    """A row as a finding; rows that were written before a column came have a null there."""
    return Finding(**{name: value for name, value in row.items() if value is not None})
