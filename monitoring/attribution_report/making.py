"""Makes the report of a period into its folder, and leaves the folder alone when there is nothing new to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.attribution_report import kept, page, reading, told
from monitoring.attribution_report.kept import Last, ReportError
from monitoring.attribution_report.reading import Read
from monitoring.attribution_report.told import Report, Tables
from whence.attribution import doubt, policy, summary
from whence.attribution.policy import ALGORITHMS, Policy
from whence.attribution.summary import View
from whence.contracts.times import Window, utc
from whence.lake import Lake

if TYPE_CHECKING:
    import pandas as pd

    from whence.contracts.settings import Settings

QUICK = (
    "The interval is of what other people of the same kind would have brought: 95 % of it, by resampling people. The one by identity "
    "is of what these very people brought, had we known each of them. Both rest on stored credit and the certainty of its links: "
    "links that were missed are taken to weigh what false ones do."
)
INTERVALS = {"quick": QUICK}


@dataclass(frozen=True)
class Asked:
    """What a report shows, and where it goes."""

    folder: Path
    algorithm: str = ""
    """The one that it pays by; the policy's own when empty."""
    by: str = "campaign"
    intervals: str = "quick"
    since: Path | None = None
    """The report.json to compare with; the one in the folder when None."""


@dataclass(frozen=True)
class Made:
    """What came of it."""

    folder: Path
    is_new: bool
    """False when the folder holds just that already."""
    report: Report


def make(settings: Settings, window: Window, asked: Asked, now: datetime) -> Made:
    """Read, add up, compare, and write; the files are the same for the same tables, but for the time at which it was made.

    Raises ReportError for an algorithm without rows, days without any data, or an earlier report that is of something else.
    """
    _check(asked)
    rules, period = policy.of(settings), str(window)
    held, before = kept.held(asked.folder, period), kept.earlier(asked.folder, period)
    since = kept.open_last(asked.since, period) if asked.since else None
    known = [each for each in (held, before, since) if each is not None]
    by_touch = "touch" in {rules.reporting_date, *(each.view.reporting_date for each in known)}
    read = reading.read(Lake.of(settings), window, rules, by_touch=by_touch)
    view, note = _view(read, window, rules, asked)
    intervals = _intervals(read, view)
    rows = told.current_rows(read, view)
    state = _state(rows, read, view, rules)
    last = since or (held if held is not None and held.manifest["state"] != state else before)
    tables = told.tables(read, view, intervals, last)
    report = _report(read, view, rules, tables, last, now, period, note)
    says = _says(report, asked)
    if held is not None and held.manifest["says"] == says and since is None and kept.is_whole(asked.folder, held.manifest):
        return Made(asked.folder, False, report)
    if held is not None and last is held:
        kept.put_aside(asked.folder)
    kept.write(asked.folder, _files(report, rows), _manifest(report, rows, read, state, says))
    return Made(asked.folder, True, report)


def _check(asked: Asked) -> None:
    if asked.by not in summary.KEYS:
        raise ReportError(f"A report is by {' or '.join(summary.KEYS)}, and '{asked.by}' is neither.")
    if asked.intervals not in INTERVALS:
        raise ReportError(f"Intervals are {' or '.join(INTERVALS)}, and '{asked.intervals}' is neither.")


def _view(read: Read, window: Window, rules: Policy, asked: Asked) -> tuple[View, str]:
    """How to look at it, and what to say where the algorithm asked for cannot be had."""
    if asked.algorithm and asked.algorithm not in ALGORITHMS:
        raise ReportError(f"There is no algorithm '{asked.algorithm}'. There are {', '.join(ALGORITHMS)}.")
    wanted = asked.algorithm or rules.algorithm
    view = View(window.days, wanted, rules.reporting_date, asked.by)
    there = summary.reported(read.statements, view)["algorithm"].unique().tolist()
    if set(read.without_events) == set(window.days) and not there:
        raise ReportError(
            f"There is no data of {window}: no touch, no conversion, no credit. `whence ingest {window}` brings some in."
        )
    if not there or wanted in there:
        return view, ""
    if asked.algorithm:
        raise ReportError(f"No conversion of {window} was credited by {wanted}. There are {', '.join(sorted(there))}.")
    other = next(name for name in ALGORITHMS if name in there)
    return View(view.days, other, view.reporting_date, view.by), (
        f"The policy pays by {wanted}, which has no rows on these days: no model was champion. This report shows {other} instead, "
        "which nobody should be paid by before the policy says so."
    )


def _intervals(read: Read, view: View) -> pd.DataFrame | None:
    rows = told.current_rows(read, view)
    mine = rows[rows["algorithm"] == view.algorithm]
    return None if mine.empty else doubt.from_credits(mine, view.keys)


def _report(
    read: Read, view: View, rules: Policy, tables: Tables, last: Last | None, now: datetime, period: str, note: str
) -> Report:
    basis, digest = told.basis(read, view), policy.digest(rules)
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
        intervals=QUICK if len(tables.campaigns) and tables.campaigns["low_micros"].notna().any() else "",
    )


def _state(rows: pd.DataFrame, read: Read, view: View, rules: Policy) -> str:
    """What the next report compares with: another state puts this one aside, another look at the same does not."""
    spent = summary.spend(read.touches, view.days)
    parts = [
        kept.as_csv(summary.positions(rows)),
        kept.as_csv(summary.totals(rows)),
        kept.as_csv(spent),
        policy.digest(rules).encode(),
    ]
    return sha256(b"\0".join(parts)).hexdigest()


def _says(report: Report, asked: Asked) -> str:
    """A digest of everything that the report says but for when it was made and the versions that said so."""
    asks = json.dumps([report.view.algorithm, report.view.by, report.view.reporting_date, asked.intervals, report.policy_digest])
    compared = [report.compared.made_at if report.compared else "", *report.notes]
    return sha256(b"\0".join([asks.encode(), json.dumps(compared).encode(), *_tables(report).values()])).hexdigest()


def _tables(report: Report) -> dict[str, bytes]:
    return {f"{name}.csv": kept.as_csv(table) for name, table in report.tables.named().items()}


def _files(report: Report, rows: pd.DataFrame) -> dict[str, bytes]:
    return {
        **_tables(report),
        **{f"{name}.parquet": kept.as_parquet(table) for name, table in report.tables.named().items()},
        kept.STATEMENTS: kept.as_parquet(summary.positions(rows)),
        "report.html": page.html(report).encode(),
    }


def _manifest(report: Report, rows: pd.DataFrame, read: Read, state: str, says: str) -> Mapping[str, Any]:
    spent = summary.spend(read.touches, report.view.days).groupby(summary.PLACE, as_index=False)["spend_micros"].sum()
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
        "identity": {"known_until": basis.ledger_until, "changes": basis.ledger_events},
        "models": {name: dict(of) for name, of in basis.models.items()},
        "statements": {"stated_on": list(basis.stated), "known_until": basis.known_until, "restated": basis.restated},
        "compared_with": report.compared.made_at if report.compared else None,
        "state": state,
        "says": says,
        "credit": summary.totals(rows)[kept.TOTALS].to_numpy().tolist(),
        "spend": spent[kept.SPENT].to_numpy().tolist(),
    }
