"""Watches each day: is what comes in whole, do the models still see what they learned from, are they right?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from whence.contracts.models import MODELS
from whence.contracts.times import Window, utc

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from monitoring.attribution_report.making import Intervals, Made
    from monitoring.data.checking import Checked
    from monitoring.watching import Watched
    from whence.contracts.settings import Settings

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Told:
    """A finding with its day."""

    day: str
    level: str
    model: str
    metric: str
    segment: str
    reason: str


@dataclass(frozen=True)
class WatchReport:
    """What watching found in a window, the worst first within each day."""

    window: str
    days: tuple[tuple[str, str], ...]
    """Each day with the level of its worst finding."""
    findings: tuple[Told, ...]
    """Each finding, the calm ones too."""
    wants: Mapping[str, tuple[str, ...]]
    """What is asked for, level by level (recalibrate, retrain, rollback, stop), each with the models that it is about.

    A finding about a table is about every model, except that `stop` names the table itself.
    """
    reasons: tuple[str, ...]
    """What a person should read: the findings that are not calm, in words."""
    measures: int
    changed: bool
    """False when checks and findings held just that already."""
    made_at: datetime

    @property
    def wants_retrain(self) -> bool:
        """Whether a finding asks for a retraining."""
        return "retrain" in self.wants

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return {
            "window": self.window,
            "days": dict(self.days),
            "wants_retrain": self.wants_retrain,
            "wants": {level: list(models) for level, models in self.wants.items()},
            "reasons": list(self.reasons),
            "measures": self.measures,
            "changed": self.changed,
        }


def watch(settings: Settings, window: Window, now: datetime, progress: Progress | None = None) -> WatchReport:
    """Measure each day of the window, judge it against the days before, and put it on the dashboard.

    Writes `checks` and `findings` and the Evidently workspace, a day at a time; a rerun replaces its own
    and changes nothing. `now` only dates the report: what a day says depends on the tables and on what
    the service counted, up to that day. `progress` is told the days done and all. Raises UnknownDay (a ValueError) at a day
    of which no event was ever taken in, unless a finding says that it should have been; the days before it are watched.
    """
    from monitoring import holding, watching

    days: list[Watched] = []
    for day in window:
        days.append(watching.watch_day(settings, day))
        holding.settle(settings, Window(day, day))
        if progress:
            progress(len(days), len(window.days))
    watching.draw(settings)
    return _report(window, days, utc(now))


def check_data(settings: Settings, window: Window, now: datetime) -> WatchReport:
    """Judge each day's event tables as soon as they are in, before anything learns from them or is served.

    Writes the rows of `checks` and `findings` that are about these tables, and leaves the others alone; `watch` takes the same
    measures again, beside its own. A day with a finding at `stop` is left out of training. A rerun changes nothing.
    """
    from monitoring.data.checking import check_day

    return _report(window, [check_day(settings, day) for day in window], utc(now))


def outcomes(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
    """What came of decisions that champion and challenger both scored, by the end of `day`: label, cluster, champion, challenger.

    `decisions` has day, subject, option, champion and challenger; those that nobody can judge yet are left out.
    """
    from monitoring import watching

    return watching.outcomes(settings, model, day, decisions)


def labels(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
    """What came of decisions by the end of `day`: row (the decision's place), label (0 or 1) and cluster (whose it is).

    `decisions` has day, subject and option; those that nobody can judge yet are left out.
    """
    from monitoring import watching

    return watching.known_labels(settings, model, day, decisions)


def report(
    settings: Settings,
    window: Window,
    now: datetime,
    *,
    out: Path | None = None,
    algorithm: str = "",
    by: str = "campaign",
    intervals: Intervals | None = None,
    since: Path | None = None,
) -> Made:
    """Write the report of the window's attribution into `out`, or home/reports/DAYS: a page, its tables, a manifest.

    Nothing is written where the folder says just that already. A report of the same days in the folder (or `since`, the
    report.json of one) is compared with. `intervals` are taken from stored credit unless others are given. Raises ReportError for days without data, or an algorithm without credit.
    """
    from monitoring.attribution_report import making

    folder = out or settings.home / "reports" / str(window)
    return making.make(settings, window, making.Asked(folder, algorithm, by, intervals or making.QUICK, since), now)


def _report(window: Window, days: Sequence[Watched | Checked], now: datetime) -> WatchReport:
    told = tuple(Told(day.day, f.level, f.model, f.metric, f.segment, f.reason) for day in days for f in day.findings)
    return WatchReport(
        window=str(window),
        days=tuple((day.day, _worst(day)) for day in days),
        findings=told,
        wants=_wants(told),
        reasons=tuple(f"{f.day} {f.level}: {f.model}: {f.reason}" for f in told if f.level != "calm"),
        measures=sum(len(day.checks) for day in days),
        changed=any(day.changed for day in days),
        made_at=now,
    )


def _wants(told: Sequence[Told]) -> dict[str, tuple[str, ...]]:
    from monitoring.findings import LEVELS, STOP

    wanted: dict[str, set[str]] = {}
    for each in told:
        about = (each.model,) if each.model in MODELS or each.level == STOP else MODELS
        wanted.setdefault(each.level, set()).update(about)
    return {level: tuple(sorted(wanted[level])) for level in LEVELS[2:] if level in wanted}


def _worst(day: Watched | Checked) -> str:
    return day.findings[0].level if day.findings else "calm"
