"""The parts of a page that tell of money: what ads cost, who earned what in each currency, by which algorithm, on which day."""

from __future__ import annotations

from html import escape

import pandas as pd

from monitoring.attribution_report import plots
from monitoring.attribution_report.amounts import NONE, cents, counts, money, percent, ratio, shown
from monitoring.attribution_report.cells import Cells, amounts, counted, folded, interval, names, section, table
from monitoring.attribution_report.few import few
from monitoring.attribution_report.plots import Bar, Column
from monitoring.attribution_report.told import Report
from monitoring.attribution_report.words import algorithm, currencies, name_of
from whence.attribution.credit import NO_AD
from whence.attribution.policy import ALGORITHMS


def cost(report: Report) -> str:
    """What ads cost and how many conversions they brought, over all currencies of value; a table a currency of spend."""
    every = report.tables.campaigns
    every = every[every["channel"] != NO_AD]
    parts = [
        _cost_in(report, every, currency)
        for currency in currencies(report)
        if every.loc[every["currency"] == currency, "spend_micros"].any()
    ]
    if not parts:
        return ""
    return section("What ads cost, and how many conversions they brought", "Conversions of all currencies count.", "".join(parts))


def _cost_in(report: Report, every: pd.DataFrame, currency: str) -> str:
    keys = report.view.keys
    counts = ["conversions", "new_conversions", "incremental_conversions"]
    brought = every.groupby(keys)[counts].sum(min_count=1).reset_index()
    rows = every[(every["currency"] == currency) & (every["spend_micros"] > 0)].drop(columns=counts).merge(brought, on=keys)
    rows = rows.sort_values("spend_micros", ascending=False, ignore_index=True)
    rows = few(rows, keys, rows["spend_micros"])
    spent, has_incremental = int(rows["spend_micros"].sum()), bool(rows["incremental_conversions"].notna().any())
    conversions, caused = rows["conversions"].sum(), rows["incremental_conversions"].sum()
    columns = [
        Cells("touches", [f"{each:,}" for each in rows["touches"]], f"{rows['touches'].sum():,}"),
        amounts(f"spend, {currency}", rows["spend_micros"]),
        counted("conversions", rows["conversions"]),
        Cells("new customers", [percent(each) for each in rows["new_conversions"] / rows["conversions"]]),
        Cells("cost of one", [shown(each) for each in rows["cost_per_conversion_micros"]], _each(spent, conversions)),
    ]
    if has_incremental:
        columns += [
            counted("incremental", rows["incremental_conversions"], "would not have come without it"),
            Cells(
                "cost of an incremental one", [shown(each) for each in rows["cost_per_incremental_micros"]], _each(spent, caused)
            ),
        ]
    return table(f"Spend in {currency} and conversions", names(report.view, rows.assign(note="")), columns)


def _each(spent: int, conversions: float) -> str:
    return shown(round(spent / conversions)) if conversions > 0 else NONE


def in_currency(report: Report, currency: str, *, is_folded: bool) -> str:
    """Everything about the amounts of one currency."""
    rows = _rows(report, currency)
    earned = rows[rows[["credit_micros", "clean_micros", "refunds_micros"]].ne(0).any(axis=1)]
    if earned.empty:
        return _counted(report, currency) if rows["conversions"].any() else ""
    parts = [
        _earned(report, currency, rows),
        _side_by_side(report, currency, is_folded=is_folded),
        _by_day(report, currency, is_folded=is_folded),
    ]
    suspects = "" if earned["suspect_micros"].any() else " Nothing that earned looks like fraud."
    lead = f"Credit by {algorithm(report.view.algorithm)}, which this report pays by.{suspects}"
    return section(f"Who earned what, in {currency}", lead, "".join(parts))


def _earned(report: Report, currency: str, rows: pd.DataFrame) -> str:
    has_spend, has_interval = bool(rows["spend_micros"].any()), bool(rows["low_micros"].notna().any())
    hundredths = cents(rows["credit_micros"].tolist())
    marks = [("solid", "credit"), ("hatch", "of it at identity risk"), ("none", "earned by no ad")]
    marks += [("whisker", "95 % interval over people")] if has_interval else []
    marks += [("diamond", "spend")] if has_spend else []
    what = f"Credit in {currency} by {algorithm(report.view.algorithm)}"
    drawn = [_credit_bar(report, row, money(amount)) for (_, row), amount in zip(rows.iterrows(), hundredths, strict=True)]
    credit = rows["credit_micros"].astype("float64").where(rows["credit_micros"] != 0)
    columns = [
        counted("conversions", rows["conversions"]),
        Cells("credit", [money(each) for each in hundredths], money(sum(hundredths))),
        *_intervals(rows),
        amounts("at identity risk", rows["at_risk_micros"]),
        Cells("of its credit", [percent(each) for each in rows["at_risk_micros"] / credit]),
        *([amounts("without what looks like fraud", rows["clean_micros"])] if rows["suspect_micros"].any() else []),
        *([amounts("of it refunds", rows["refunds_micros"])] if rows["refunds_micros"].any() else []),
        *(
            [Cells("return", [ratio(each) for each in rows["return_on_spend"]], _return(rows), "credit for each unit spent")]
            if has_spend
            else []
        ),
    ]
    own, common = _shared_notes(rows, report.view.keys)
    figures = table(what, names(report.view, rows.assign(note=own)), columns)
    return f"{plots.legend(marks)}{plots.bars(drawn, what)}{figures}{common}"


def _counted(report: Report, currency: str) -> str:
    """Conversions that carry no value: how many of them each row earned, by every algorithm."""
    wide, asked = _by_algorithm(report, currency, "conversions")
    mine = wide[report.view.algorithm].tolist()
    drawn = [
        Bar(name_of(row, report.view.keys), number, words, fill="none" if row["channel"] == NO_AD else "solid")
        for (_, row), number, words in zip(wide.iterrows(), mine, counts(mine)[0], strict=True)
    ]
    columns = [counted(algorithm(name), wide[name]) for name in asked]
    what = f"Conversions by {algorithm(report.view.algorithm)}"
    marks = plots.legend([("solid", "conversions of ads"), ("none", "of no ad")])
    figures = table(what, names(report.view, wide), columns)
    lead = "These conversions carry no value, so that they are counted: by what the report pays by first, then by every other algorithm."
    return section(f"Who earned how many conversions, in {currency}", lead, f"{marks}{plots.bars(drawn, what)}{figures}")


def _credit_bar(report: Report, row: pd.Series, label: str) -> Bar:
    return Bar(
        name_of(row, report.view.keys),
        float(row["credit_micros"]),
        label,
        fill="none" if row["channel"] == NO_AD else "solid",
        doubtful=float(row["at_risk_micros"]),
        low=_number(row["low_micros"]),
        high=_number(row["high_micros"]),
        mark=float(row["spend_micros"]) if row["spend_micros"] else None,
    )


def _intervals(rows: pd.DataFrame) -> list[Cells]:
    if rows["low_micros"].isna().all():
        return []
    over_people = [interval(low, high) for low, high in zip(rows["low_micros"], rows["high_micros"], strict=True)]
    over_identity = [
        interval(low, high) for low, high in zip(rows["identity_low_micros"], rows["identity_high_micros"], strict=True)
    ]
    return [Cells("95 % over people", over_people), Cells("95 % over identity", over_identity)]


def _return(rows: pd.DataFrame) -> str:
    return ratio(float(rows.loc[rows["channel"] != NO_AD, "credit_micros"].sum() / rows["spend_micros"].sum()))


def _shared_notes(rows: pd.DataFrame, keys: list[str]) -> tuple[list[str], str]:
    """Notes for single rows, and, once below the table, those that many rows share."""
    often = {note for note, times in rows["note"].value_counts().items() if note and times >= SHARED}
    own = ["" if note in often else note for note in rows["note"]]
    told = []
    for note in sorted(often):
        named = [name_of(row, keys) for _, row in rows[rows["note"] == note].iterrows()]
        of = ", ".join(named) if len(named) < (rows["channel"] != NO_AD).sum() else "All of them"
        told.append(f"<li>{escape(of)}: {escape(note)}.</li>")
    return own, f"<ul class=under-table>{''.join(told)}</ul>" if told else ""


SHARED = 3
"""A note that so many rows of a table have is said once."""


def _side_by_side(report: Report, currency: str, *, is_folded: bool) -> str:
    rows, asked = _by_algorithm(report, currency, "credit_micros")
    if len(asked) < 2:
        return ""
    named = rows[asked]
    is_ad = rows["channel"].ne(NO_AD)
    most = max(int(named[is_ad].abs().to_numpy().max(initial=0)), 1)
    columns = []
    for name in named:
        hundredths = cents(named[name].tolist())
        cells = [
            f"{money(amount)}{plots.small(micros / most) if ad else ''}"
            for amount, micros, ad in zip(hundredths, named[name], is_ad, strict=True)
        ]
        columns.append(Cells(algorithm(str(name)), cells, money(sum(hundredths))))
    same = "" if named.sum().nunique() > 1 else ": each column adds up to the same value"
    lead = f"The same conversions, shared by other rules or models{same}. {_learned(report)}"
    return folded(
        f"By every algorithm, in {currency}",
        lead,
        table(f"Credit in {currency} by algorithm", names(report.view, rows), columns),
        is_folded,
    )


def _by_algorithm(report: Report, currency: str, measure: str) -> tuple[pd.DataFrame, list[str]]:
    """A column for each algorithm, the one that is paid by first; a row for each of the report, the most first and no ad last."""
    every, keys, first = report.tables.algorithms, report.view.keys, report.view.algorithm
    wide = every[every["currency"] == currency].set_index([*keys, "algorithm"])[measure].unstack(fill_value=0)
    asked = [first, *(name for name in ALGORITHMS if name in wide and name != first)]
    wide = wide.reindex(columns=asked, fill_value=0).sort_values(first, ascending=False, kind="stable").reset_index()
    wide = wide.sort_values("channel", key=lambda channel: channel == NO_AD, kind="stable", ignore_index=True)
    return few(wide, keys, wide[asked].abs().max(axis=1)), asked


def _learned(report: Report) -> str:
    models = report.basis.models
    if not models:
        return "No learned algorithm has rows: no model was champion on these days."
    return f"Learned: {', '.join(algorithm(each) for each in models)}."


def _by_day(report: Report, currency: str, *, is_folded: bool) -> str:
    rows = report.tables.days
    rows = rows[rows["currency"] == currency]
    if not rows["value_micros"].ne(0).any():
        return ""
    has_spend = bool(rows["spend_micros"].any())
    drawn = [
        Column(
            row.day,
            row.to_ads_micros,
            row.no_ad_micros,
            f"{row.value_micros / 1e6:,.0f}",
            row.spend_micros if has_spend else None,
        )
        for row in rows.itertuples()
    ]
    value, ads, no_ad = (rows[name].tolist() for name in ("value_micros", "to_ads_micros", "no_ad_micros"))
    parts = cents([*ads, *no_ad])  # so that the sums of both parts are the sum of the value
    of_ads, of_none = parts[: len(ads)], parts[len(ads) :]
    columns = [
        *([amounts("spend", rows["spend_micros"])] if has_spend else []),
        counted("conversions", rows["conversions"]),
        Cells("to ads", [money(each) for each in of_ads], money(sum(of_ads))),
        Cells("to no ad", [money(each) for each in of_none], money(sum(of_none))),
        Cells("value", [money(a + b) for a, b in zip(of_ads, of_none, strict=True)], money(sum(parts))),
    ]
    marks = [("solid", "earned by ads"), ("none", "by no ad"), *([("dash", "spend")] if has_spend else [])]
    what = f"Value of conversions in {currency} by day: {', '.join(f'{day} {shown(each)}' for day, each in zip(rows['day'], value, strict=True))}"
    on = "happened" if report.view.reporting_date == "touch" else "came to be known"
    dated = f"Credit is under the day on which the {'touch' if report.view.reporting_date == 'touch' else 'conversion'} {on}, spend under that of the ad."
    figures = table(f"Days in {currency}", ("day", list(rows["day"])), columns)
    return folded(f"Day by day, in {currency}", dated, f"{plots.legend(marks)}{plots.columns(drawn, what)}{figures}", is_folded)


def _rows(report: Report, currency: str) -> pd.DataFrame:
    rows = report.tables.campaigns
    rows = rows[rows["currency"] == currency]
    return few(rows, report.view.keys, rows["credit_micros"].abs() + rows["spend_micros"] + rows["conversions"])


def _number(value: object) -> float | None:
    return None if pd.isna(value) else float(str(value))
