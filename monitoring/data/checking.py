"""A day's event tables judged as soon as they are in, before anything learns from them: the data part of `checks` and `findings`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from monitoring import checks, findings
from monitoring.checks import Check
from monitoring.data.tables import day_checks
from monitoring.findings import Finding, Past, Today
from whence.contracts.events import EVENTS
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

MEMORY_DAYS = 35
"""Days of earlier checks that are read."""


@dataclass(frozen=True)
class Checked:
    """A day's measures and findings; `changed` is False when the tables held just that already."""

    day: str
    checks: Sequence[Check]
    findings: Sequence[Finding]
    changed: bool


def check_day(settings: Settings, day: date) -> Checked:
    """Measure the day's event tables and judge them against the days before; only rows about event tables are replaced.

    Where nothing has changed, what the daily watch said of these tables stays: it knows more, as who their rows belong to.
    """
    lake, window = Lake.of(settings), Window(day, day)
    found = day_checks(lake, day)
    told = findings.judge(Today(day, found), _past(lake, day))
    fresh = checks.to_arrow(str(day), found)
    changed = lake.replace("checks", pa.concat_tables([_others(lake.read("checks", window), fresh), fresh]), window)
    stated = lake.read("findings", window)
    if changed or not _about(stated, events=True).num_rows:
        rest = _about(stated, events=False)
        changed |= lake.replace("findings", pa.concat_tables([rest, findings.to_arrow(str(day), told)]), window)
    return Checked(str(day), found, told, changed)


def _past(lake: Lake, day: date) -> list[Past]:
    before = Window(day - timedelta(days=MEMORY_DAYS), day - timedelta(days=1))
    measured = checks.by_day(_about(lake.read("checks", before), events=True))
    told = findings.by_day(_about(lake.read("findings", before), events=True))
    return [Past(each, measured[each], told.get(each, [])) for each in sorted(measured)]


def _others(rows: pa.Table, fresh: pa.Table) -> pa.Table:
    """Rows of measures that are not taken here."""
    return rows.filter(pc.or_(pc.invert(_of_events(rows)), pc.invert(pc.is_in(rows["metric"], fresh["metric"].unique()))))


def _about(rows: pa.Table, *, events: bool) -> pa.Table:
    return rows.filter(_of_events(rows) if events else pc.invert(_of_events(rows)))


def _of_events(rows: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(rows["model"], pa.array(list(EVENTS)))
