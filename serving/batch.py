"""The day's front doors: resolve identities, attribute conversions, and collect what the service decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from whence.contracts.settings import Settings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ResolveReport:
    """What one run of resolve did, summed over its days."""

    window: str
    signals: int
    """Events that could carry an identifier: touches, conversions, sightings."""
    answers: int
    """Identifiers that are new or whose person changed."""
    ranked: int
    """Anonymous persons taken to be a known one because the model said so."""
    persons: int
    """Persons known at the end of the window."""
    changed: bool
    """False when every table was the same already."""


def resolve_identities(
    settings: Settings, window: Window, progress: Progress | None = None, now: datetime | None = None
) -> ResolveReport:
    """Find out whose each identifier of the window's days is, and write it to `persons`.

    Exact links come first. Where a signal's identifiers lead to a person without any log-in, the champion
    of `identity-ranker` compares it with the persons seen on its network; the champion of a day is pinned
    by the first run, so that a later run gives the same rows; without one the day has exact links alone.
    `now` is only written beside the pin.
    """
    from serving import history

    lake = Lake.of(settings)
    reports = [_resolve_day(settings, lake, day, now or datetime.now(UTC), progress or _quiet) for day in window]
    return ResolveReport(
        window=str(window),
        signals=sum(report.signals for report in reports),
        answers=sum(report.answers for report in reports),
        ranked=sum(report.ranked for report in reports),
        persons=int(history.persons(lake, window.last)["person_id"].nunique()),
        changed=any(report.changed for report in reports),
    )


@dataclass(frozen=True)
class _Day:
    signals: int
    answers: int
    ranked: int
    changed: bool


def _resolve_day(settings: Settings, lake: Lake, day: date, now: datetime, progress: Progress) -> _Day:
    import pandas as pd

    from serving import history, resolving
    from whence.identity import exact

    today = Window(day, day)
    signals = history.signals(lake, today)
    answers = history.persons(lake, history.before(day))
    beneath = history.exact_persons(lake, history.before(day))
    before = pd.Series(beneath["person_id"].to_numpy(), index=beneath["identifier"].to_numpy(), dtype=object)
    exact_now = resolving.exact_now(before, exact.link(signals, beneath, settings.identity.max_identifiers))
    links = resolving.carried(answers, before, exact_now)
    settled = resolving.settle(answers, before, exact_now, links)
    changed = lake.replace("exact_persons", _rows("exact_persons", settled.beneath, today), today)
    changed |= lake.replace("persons", _rows("persons", settled.answers, today), today)
    progress(f"{day}: {len(signals)} signals, {len(settled.answers)} new answers")
    return _Day(len(signals), len(settled.answers), 0, changed)


def _rows(name: str, frame: pd.DataFrame, day: Window) -> pa.Table:
    import pyarrow as pa

    from whence.contracts.tables import TABLES

    full = frame.assign(day=str(day), seen_at=day.end)
    return pa.Table.from_pandas(full, schema=TABLES[name].schema, preserve_index=False)


def _quiet(_: str) -> None:
    """Say nothing."""
