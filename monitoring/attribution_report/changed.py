"""The part of a page that says what changed since the last report, and why, to the millionth."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

from monitoring.attribution_report import plots
from monitoring.attribution_report.amounts import shown
from monitoring.attribution_report.cells import exactly, names, section, signed, table
from monitoring.attribution_report.few import MOST, few
from monitoring.attribution_report.plots import Bar
from monitoring.attribution_report.told import Report
from monitoring.attribution_report.words import CAUSE_WORDS, CAUSES_TOLD, algorithm, name_of
from whence.attribution.credit import NO_AD


def changed(report: Report) -> str:
    """What each row had by the last report, what every cause changed, and what it has now."""
    if report.compared is None:
        return section(
            "What changed", "There is no earlier report of this period to compare with; the next one is compared with this.", ""
        )
    then, changes = report.compared, report.tables.changes
    causes = [name for name in CAUSE_WORDS if changes[f"{name}_micros"].ne(0).any()]
    when = then.made_at[:16].replace("T", " ")
    paid = "" if then.algorithm == report.view.algorithm else f", which was paid by {algorithm(then.algorithm)}"
    lead = f"Against the report of {when} UTC{paid}. In every row before and the causes add up to now, to the millionth."
    if not then.has_reasons:
        lead += " The statements that the last report rested on are not at hand, so that nobody can say why."
    if not causes:
        return section("What changed", f"{lead} No credit has changed.", _spend_since(report))
    because = "".join(f"<dt>{CAUSE_WORDS[name]}</dt><dd>{CAUSES_TOLD[name]}</dd>" for name in causes)
    parts = [
        _changes_in(report, str(currency), rows, causes)
        for currency, rows in changes.groupby("currency")
        if rows[[f"{c}_micros" for c in causes]].ne(0).any(axis=None)
    ]
    return section("What changed", lead, f"{''.join(parts)}{_spend_since(report)}<dl>{because}</dl>")


def _changes_in(report: Report, currency: str, rows: pd.DataFrame, causes: Sequence[str]) -> str:
    """What each row that changed gained or lost, and by which cause."""
    changed = rows[[f"{cause}_micros" for cause in causes]].abs().sum(axis=1)
    rows = few(rows, report.view.keys, changed, most=min(MOST, int(changed[rows["channel"] != NO_AD].ne(0).sum())))
    moved = rows["now_micros"] - rows["before_micros"]
    drawn = [
        Bar(name_of(row, report.view.keys), float(micros), signed(int(micros)), fill="solid" if micros >= 0 else "dots")
        for (_, row), micros in zip(rows.iterrows(), moved, strict=True)
    ]
    columns = [
        exactly("before", rows["before_micros"]),
        *(exactly(CAUSE_WORDS[cause], rows[f"{cause}_micros"], signed=True) for cause in causes),
        exactly("now", rows["now_micros"]),
    ]
    what = f"Credit in {currency} since the last report"
    marks = plots.legend([("solid", "earns more than then"), ("dots", "less")])
    return f"<h3 class=part>In {escape(currency)}</h3>{marks}{plots.bars(drawn, what)}{table(what, names(report.view, rows), columns)}"


def _spend_since(report: Report) -> str:
    moved = report.compared.spend if report.compared else pd.DataFrame(columns=["before_micros", "now_micros"])
    moved = moved[moved["before_micros"] != moved["now_micros"]]
    told = [
        f"Spend in {row.currency} was {shown(row.before_micros)} and is {shown(row.now_micros)}: touches were told late."
        for row in moved.itertuples()
    ]
    return f"<p class=below>{escape(' '.join(told))}</p>" if told else ""
