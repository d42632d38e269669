"""Makes the report of a period into its folder, and leaves the folder alone when there is nothing new to say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from monitoring.attribution_report import kept, page, reading, told
from monitoring.attribution_report.kept import Last, ReportError
from monitoring.attribution_report.reading import Read
from monitoring.attribution_report.told import Report, Tables
from whence.attribution import doubt, policy, summary
from whence.attribution.policy import ALGORITHMS, Policy
from whence.attribution.statements import current
from whence.attribution.summary import View
from whence.contracts.times import Window, utc
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings


@dataclass(frozen=True)
class Intervals:
    """How sure each row is, and what that covers."""

    name: str
    covers: str
    of: Callable[[pd.DataFrame, View], pd.DataFrame]
    """From the current rows of credit that a view shows to currency, the view's keys, and summary.ENDS."""


def _from_credits(rows: pd.DataFrame, view: View) -> pd.DataFrame:
    return doubt.from_credits(rows[rows["algorithm"] == view.algorithm], view.keys)


QUICK = Intervals(
    "quick",
    "The interval over people is of what other people of the same kind would have brought: 95 % of it, by resampling people. The one "
    "over identity is of what these very people brought, had we known each of them. Both rest on stored credit and the certainty of "
    "its links: links that were missed are taken to weigh what false ones do.",
    _from_credits,
)


@dataclass(frozen=True)
class Asked:
    """What a report shows, and where it goes."""

    folder: Path
    algorithm: str = ""
    """The one that it pays by; the policy's own when empty."""
    by: str = "campaign"
    intervals: Intervals = QUICK
    since: Path | None = None
    """The report.json to compare with; the one in the folder when None."""


@dataclass(frozen=True)
class Made:
    """What came of it."""

    folder: Path
    is_new: bool
    """False when the folder holds just that already."""
    report: Report

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return {
            "folder": str(self.folder),
            "period": self.report.period,
            "is_new": self.is_new,
            "held": dict(self.report.held),
            "notes": list(self.report.notes),
        }


def make(settings: Settings, window: Window, asked: Asked, now: datetime) -> Made:
    """Read, and publish what was read; the files are the same for the same tables, but for the time at which they were made.

    Raises ReportError for an algorithm without rows, days without any data, or an earlier report that is of something else.
    """
    rules, known = policy.of(settings), _Known.of(asked, str(window))
    by_touch = "touch" in {rules.reporting_date, *known.reporting_dates}
    return publish(reading.read(Lake.of(settings), window, rules, by_touch=by_touch), window, rules, asked, now)


def publish(read: Read, window: Window, rules: Policy, asked: Asked, now: datetime) -> Made:
    """Add up, compare, and write, unless the folder says just that already; raises ReportError as `make` does."""
    _check(asked)
    known = _Known.of(asked, str(window))
    asks = View(window.days, asked.algorithm or rules.algorithm, rules.reporting_date, asked.by)
    rows = summary.marked(summary.reported(current(read.statements), asks), read.refunds)
    view, note = _view(rows, read, asks, asked)
    earned_in = rows["currency"].unique()
    spent = summary.spend(read.touches, view.days, *(earned_in if len(earned_in) == 1 else ()))
    found = _Found(rows, spent, summary.positions(rows), summary.totals(rows))
    state = found.state(policy.digest(rules))
    last = known.to_compare(state)
    tables = told.tables(rows, found.spent, view, _intervals(rows, view, asked.intervals), told.changes(read, view, last))
    report = _report(read, found, view, rules, tables, last, now, str(window), note, asked)
    csvs = {f"{name}.csv": kept.as_csv(table) for name, table in report.files().items()}
    says = _says(report, asked, csvs)
    if known.says(says, asked.folder):
        return Made(asked.folder, False, report)
    if known.held is not None and last is known.held:
        kept.put_aside(asked.folder)
    kept.write(asked.folder, _files(report, found, csvs), _manifest(report, found, state, says))
    return Made(asked.folder, True, report)


@dataclass(frozen=True)
class _Known:
    """The reports that there are of the period."""

    held: Last | None
    """The folder's own."""
    before: Last | None
    """What the folder's own was compared with."""
    since: Last | None
    """What was asked to compare with."""

    @classmethod
    def of(cls, asked: Asked, period: str) -> _Known:
        since = kept.open_last(asked.since, period) if asked.since else None
        return cls(kept.held(asked.folder, period), kept.earlier(asked.folder, period), since)

    @property
    def reporting_dates(self) -> set[str]:
        return {each.view.reporting_date for each in (self.held, self.before, self.since) if each is not None}

    def to_compare(self, state: str) -> Last | None:
        """The folder's own report where the data have changed since; with the same data, what that one was compared with."""
        if self.since is not None:
            return self.since
        return self.held if self.held is not None and self.held.manifest["state"] != state else self.before

    def says(self, says: str, folder: Path) -> bool:
        """Whether the folder holds just that, and whole."""
        manifest = self.held.manifest if self.held is not None else {}
        return self.since is None and manifest.get("says") == says and kept.is_whole(folder, manifest)


@dataclass(frozen=True)
class _Found:
    """The period's rows that hold, and what the next report will want to know of them."""

    rows: pd.DataFrame
    spent: pd.DataFrame
    positions: pd.DataFrame
    totals: pd.DataFrame

    def state(self, policy_digest: str) -> str:
        """What is compared: another state puts the last report aside, another look at the same does not."""
        parts = [kept.as_csv(frame) for frame in (self.positions, self.totals, self.spent)]
        return sha256(b"\0".join([*parts, policy_digest.encode()])).hexdigest()


def _check(asked: Asked) -> None:
    if asked.by not in summary.KEYS:
        raise ReportError(f"A report is by {' or '.join(summary.KEYS)}, and '{asked.by}' is neither.")
    if asked.algorithm and asked.algorithm not in ALGORITHMS:
        raise ReportError(f"There is no algorithm '{asked.algorithm}'. There are {', '.join(ALGORITHMS)}.")


def _view(rows: pd.DataFrame, read: Read, view: View, asked: Asked) -> tuple[View, str]:
    """How to look at the rows, and what to say where the policy's algorithm cannot be had."""
    days = f"{view.days[0]}..{view.days[-1]}" if len(view.days) > 1 else view.days[0]
    there = [str(name) for name in rows["algorithm"].unique()]
    if set(read.without_events) == set(view.days) and not there:
        raise ReportError(
            f"There is no data of {days}: no touch, no conversion, no credit. `whence ingest {days}` brings some in."
        )
    if not there or view.algorithm in there:
        return view, ""
    if asked.algorithm:
        raise ReportError(f"No conversion of {days} was credited by {view.algorithm}. There are {', '.join(sorted(there))}.")
    other = next(name for name in ALGORITHMS if name in there)
    return replace(view, algorithm=other), (
        f"The policy pays by {view.algorithm}, which has no rows on these days: no model was champion. This report shows {other} "
        "instead, which nobody should be paid by before the policy says so."
    )


def _intervals(rows: pd.DataFrame, view: View, intervals: Intervals) -> pd.DataFrame | None:
    return intervals.of(rows, view) if rows["algorithm"].eq(view.algorithm).any() else None


def _report(
    read: Read,
    found: _Found,
    view: View,
    rules: Policy,
    tables: Tables,
    last: Last | None,
    now: datetime,
    period: str,
    note: str,
    asked: Asked,
) -> Report:
    basis, digest = told.basis(read, found.rows, view), policy.digest(rules)
    return Report(
        period=period,
        made_at=utc(now),
        view=view,
        policy_name=rules.name,
        policy_digest=digest,
        policy_words=policy.describe(rules).splitlines(),
        tables=tables,
        basis=basis,
        compared=told.compared(last, tables),
        notes=told.notes(read, digest, basis, tables, note),
        intervals=asked.intervals.covers if tables.campaigns["low_micros"].notna().any() else "",
        held=read.held,
    )


def _says(report: Report, asked: Asked, csvs: Mapping[str, bytes]) -> str:
    """A digest of everything that the report says but for when it was made and the versions that said so."""
    asks = [report.view.algorithm, report.view.by, report.view.reporting_date, asked.intervals.name, report.policy_digest]
    compared = [report.compared.made_at if report.compared else "", *report.notes, *map(": ".join, report.held.items())]
    return sha256(b"\0".join([json.dumps([asks, compared]).encode(), *csvs.values()])).hexdigest()


def _files(report: Report, found: _Found, csvs: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        **csvs,
        **{f"{name}.parquet": kept.as_parquet(table) for name, table in report.files().items()},
        kept.STATEMENTS: kept.as_parquet(found.positions),
        "report.html": page.html(report).encode(),
    }


def _manifest(report: Report, found: _Found, state: str, says: str) -> Mapping[str, Any]:
    spent = found.spent.groupby(summary.PLACE, as_index=False)["spend_micros"].sum()
    basis = report.basis
    return {
        "form": kept.FORM,
        "period": report.period,
        "days": list(report.view.days),
        "made_at": report.made_at.isoformat(),
        "algorithm": report.view.algorithm,
        "by": report.view.by,
        "reporting_date": report.view.reporting_date,
        "policy": {"name": report.policy_name, "digest": report.policy_digest, "stated_by": dict(basis.policies)},
        "tables": dict(basis.versions),
        "identity": {"known_until": basis.ledger_until, "changes": basis.ledger_events, "linked_by": dict(basis.linked_by)},
        "models": {name: dict(of) for name, of in basis.models.items()},
        "statements": {"stated_on": list(basis.stated), "known_until": basis.known_until, "restated": basis.restated},
        "held": dict(report.held),
        "compared_with": report.compared.made_at if report.compared else None,
        "state": state,
        "says": says,
        "credit": found.totals[kept.TOTALS].to_numpy().tolist(),
        "spend": spent[kept.SPENT].to_numpy().tolist(),
    }
