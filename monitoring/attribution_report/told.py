"""A report as values, before it is a page: its tables, what it is of, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import pandas as pd

from monitoring.attribution_report.kept import Last
from monitoring.attribution_report.reading import Read
from whence.attribution import summary
from whence.attribution.statements import CAUSES, OF, ORDER
from whence.attribution.summary import View
from whence.contracts.times import Window


@dataclass(frozen=True)
class Tables:
    """The tables of a report; each is a file beside the page, too."""

    overview: pd.DataFrame
    campaigns: pd.DataFrame
    algorithms: pd.DataFrame
    days: pd.DataFrame
    changes: pd.DataFrame
    """Without rows where there is no report to compare with."""

    def named(self) -> dict[str, pd.DataFrame]:
        """Each by the name of its file."""
        return dict(vars(self))


@dataclass(frozen=True)
class Basis:
    """Of which data, identity, policy and models a report is."""

    versions: Mapping[str, int]
    ledger_until: str
    ledger_events: int
    linked_by: Mapping[str, int]
    """By the bundle of identity-ranker how many identifiers it gave to somebody."""
    policies: Mapping[str, int]
    """By the digest of the policy how many conversions were stated by it."""
    models: Mapping[str, Mapping[str, int]]
    """By algorithm and bundle how many conversions."""
    stated: tuple[str, str]
    """The first and the last day of stating."""
    known_until: str
    restated: int
    """Conversions whose statement is not their first."""
    data: tuple[str, ...]
    """The versions of tables that the statements were made from."""


@dataclass(frozen=True)
class Compared:
    """The report that this one is compared with."""

    made_at: str
    algorithm: str
    has_reasons: bool
    """False when nobody can tell why anything changed."""
    spend: pd.DataFrame
    """Spend then and now by currency: currency, before_micros, now_micros."""


@dataclass(frozen=True)
class Report:
    """Everything that the page says."""

    period: str
    made_at: datetime
    view: View
    policy_name: str
    policy_digest: str
    policy_words: Sequence[str]
    tables: Tables
    basis: Basis
    compared: Compared | None
    notes: Sequence[str]
    intervals: str
    """What the intervals cover, in words; empty without any."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Days of the period whose credit is not final, and why."""

    def files(self) -> dict[str, pd.DataFrame]:
        """The tables as they are forwarded; where days are held, every row says which."""
        held = {"held": " ".join(self.held)} if self.held else {}
        return {name: table.assign(**held) for name, table in self.tables.named().items()}


def tables(rows: pd.DataFrame, spent: pd.DataFrame, view: View, intervals: pd.DataFrame | None, changes: pd.DataFrame) -> Tables:
    """The tables of the rows that hold and of what was spent; `intervals` as summary.campaigns takes them."""
    algorithms = summary.by_algorithm(rows, view)
    campaigns = summary.campaigns(algorithms, spent, view, intervals)
    return Tables(
        overview=summary.overview(campaigns),
        campaigns=campaigns,
        algorithms=algorithms,
        days=summary.by_day(rows, spent, view),
        changes=changes,
    )


def changes(read: Read, view: View, last: Last | None) -> pd.DataFrame:
    """What changed since the last report; no rows without one."""
    if last is None:
        names = [f"{cause}_micros" for cause in ("before", *CAUSES, summary.UNEXPLAINED, "now")]
        return pd.DataFrame(columns=["currency", *view.keys, *names])
    return summary.changes(read.statements, last.positions, last.totals, last.view, view)


def basis(read: Read, rows: pd.DataFrame, view: View) -> Basis:
    """What the period's rows rest on."""
    mine, learned = rows[rows["algorithm"] == view.algorithm], rows[rows["bundle"].notna()]
    bundles = learned.groupby(["algorithm", "bundle"])["conversion_id"].nunique()
    first = read.statements.drop_duplicates([*OF, *ORDER]).groupby(OF)[ORDER[0]].size()
    again = first[first > 1].index.get_level_values("conversion_id").unique()
    return Basis(
        versions=read.versions,
        ledger_until=read.ledger_until.isoformat() if read.ledger_until else "",
        ledger_events=read.ledger_events,
        linked_by=read.linked_by,
        policies={str(name): int(n) for name, n in mine.groupby("policy")["conversion_id"].nunique().items()},
        models={str(name): {str(b): int(n) for (_, b), n in of.items()} for name, of in bundles.groupby(level=0)},
        stated=(str(rows["stated_on"].min()), str(rows["stated_on"].max())) if len(rows) else ("", ""),
        known_until=rows["known_at"].max().isoformat() if len(rows) else "",
        restated=int(rows.loc[rows["conversion_id"].isin(again), "conversion_id"].nunique()),
        data=tuple(sorted({str(each) for each in mine["data"]})),
    )


def compared(last: Last | None, tables: Tables) -> Compared | None:
    """What this report is compared with, and how spend differs."""
    if last is None:
        return None
    before = last.spent.groupby("currency")["spend_micros"].sum()
    now = tables.campaigns.groupby("currency")["spend_micros"].sum()
    every = before.index.union(now.index)
    spend = pd.DataFrame(
        {"before_micros": before.reindex(every, fill_value=0), "now_micros": now.reindex(every, fill_value=0)}
    ).rename_axis("currency")
    return Compared(last.manifest["made_at"], last.view.algorithm, last.has_positions, spend.reset_index())


def notes(read: Read, policy_digest: str, basis: Basis, tables: Tables, algorithm_note: str) -> list[str]:
    """What a reader must not miss."""
    found = [algorithm_note] if algorithm_note else []
    if read.without_credit:
        found.append(
            f"No credit yet for the conversions of {_days(read.without_credit)}. Run whence attribute for these days, and report again."
        )
    if read.without_events:
        found.append(f"No data of {_days(read.without_events)}: no touch and no conversion was ingested.")
    if read.quarantined:
        found.append(
            f"In quarantine, and in no sum, are {read.quarantined:,} rows of conversions. What whence ingest says of these days tells why."
        )
    others = {digest: count for digest, count in basis.policies.items() if digest != policy_digest}
    if others:
        told = ", ".join(f"{count:,} by {digest[:12]}" for digest, count in sorted(others.items()))
        found.append(
            f"Credit was not stated by the policy in force alone: {told} of the conversions. Run whence attribute for the days again to change that."
        )
    found += _short(tables.algorithms)
    if unpriced := int(tables.campaigns["unpriced"].sum()):
        found.append(f"{unpriced:,} touches have no price; spend leaves them out.")
    unexplained = tables.changes["unexplained_micros"].ne(0).any() if len(tables.changes) else False
    if unexplained:
        found.append(
            "Something changed since the last report that no statement of credit accounts for, marked unexplained below: "
            "a table was rewritten, or the last report's files are gone."
        )
    return found


def _short(algorithms: pd.DataFrame) -> list[str]:
    """Algorithms whose credit does not add up to what others shared: they have no statement of some conversions."""
    sums = algorithms.groupby(["currency", "algorithm"])["credit_micros"].sum().unstack()
    odd = [str(name) for name in sums if (sums[name].fillna(0) != sums.mode(axis=1)[0].fillna(0)).any()]
    if not odd:
        return []
    return [
        f"{', '.join(name.replace('_', ' ') for name in odd)}: the credit does not add up to the value that other algorithms shared. Some "
        "conversions, or refunds of earlier ones, have no statement by it, as where its model was not champion yet."
    ]


def words_of(period: str) -> str:
    """A period as people write it.

    >>> words_of("2026-05-01..2026-05-08"), words_of("2026-05-01"), words_of("2026-04-30..2026-05-01")
    ('1 – 8 May 2026', '1 May 2026', '30 April – 1 May 2026')
    """
    first, _, last = period.partition("..")
    start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    if start == end:
        return f"{start.day} {start:%B %Y}"
    if start.year != end.year:
        return f"{start.day} {start:%B %Y} – {end.day} {end:%B %Y}"
    return f"{start.day}{f' {start:%B}' if start.month != end.month else ''} – {end.day} {end:%B %Y}"


def _days(days: Sequence[str]) -> str:
    """Days in words, runs of them as windows."""
    return ", ".join(map(str, Window.runs(map(date.fromisoformat, days))))
