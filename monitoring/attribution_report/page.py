"""The page of a report: a summary, plots with their tables, what changed, the policy in words, and what it is all of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from monitoring.attribution_report import plots
from monitoring.attribution_report.amounts import NONE, cents, count, exact, money, percent, ratio, shown
from monitoring.attribution_report.few import MOST, few
from monitoring.attribution_report.plots import Bar, Column
from monitoring.attribution_report.told import Basis, Report, words_of
from monitoring.attribution_report.words import CAUSE_WORDS, CAUSES_TOLD, algorithm, currencies, in_short, name_of
from whence import page
from whence.attribution.credit import NO_AD
from whence.attribution.policy import ALGORITHMS


def html(report: Report) -> str:
    """The whole page; every value of the data is escaped."""
    title = f"Attribution, {words_of(report.period)}"
    body = [
        plots.HATCH,
        f"<p class=under>Paid by {escape(algorithm(report.view.algorithm))} under the policy “{escape(report.policy_name)}”. "
        f"Made {report.made_at:%Y-%m-%d %H:%M} UTC.</p>",
        page.figures(_figures(report)),
        page.notes(report.notes),
        _section("In short", "", f"<ul class=short>{''.join(f'<li>{escape(each)}</li>' for each in in_short(report))}</ul>"),
        _cost(report),
        *(_in_currency(report, currency, is_folded=at > 0) for at, currency in enumerate(currencies(report))),
        _changed(report),
        _policy(report),
        _of_what(report),
        _section(
            "How to read it", "", f"<dl>{''.join(f'<dt>{name}</dt><dd>{words}</dd>' for name, words in _glossary(report))}</dl>"
        ),
    ]
    return page.document(title, "".join(body), plots.STYLE + STYLE)


@dataclass(frozen=True)
class _Cells:
    """A column of a table: its name, its cells from top to bottom, and what stands in the line of the sum."""

    name: str
    cells: Sequence[str]
    total: str = ""
    hint: str = ""
    """What the name means, for whoever points at it."""


def _figures(report: Report) -> list[tuple[str, str]]:
    told = report.tables.overview.set_index("currency").reindex(currencies(report))
    found = [
        (shown(int(row["value_micros"])), f"value in {currency}") for currency, row in told.iterrows() if row["value_micros"]
    ]
    found += [
        (shown(int(row["spend_micros"])), f"spend in {currency}") for currency, row in told.iterrows() if row["spend_micros"]
    ]
    conversions = told["conversions"].sum()
    if conversions:
        no_ad = 1 - told["conversions_of_ads"].sum() / conversions
        found += [(count(conversions), "conversions"), (percent(no_ad), "of conversions by no ad")]
    return found


def _cost(report: Report) -> str:
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
    return _section(
        "What ads cost, and how many conversions they brought", "Conversions of all currencies count.", "".join(parts)
    )


def _cost_in(report: Report, every: pd.DataFrame, currency: str) -> str:
    keys = report.view.keys
    names = ["conversions", "new_conversions", "incremental_conversions"]
    brought = every.groupby(keys)[names].sum(min_count=1).reset_index()
    rows = every[(every["currency"] == currency) & (every["spend_micros"] > 0)].drop(columns=names).merge(brought, on=keys)
    rows = rows.sort_values("spend_micros", ascending=False, ignore_index=True)
    rows = few(rows, keys, rows["spend_micros"])
    spent, has_incremental = int(rows["spend_micros"].sum()), bool(rows["incremental_conversions"].notna().any())
    conversions, caused = rows["conversions"].sum(), rows["incremental_conversions"].sum()
    columns = [
        _Cells("touches", [f"{each:,}" for each in rows["touches"]], f"{rows['touches'].sum():,}"),
        _amounts(f"spend, {currency}", rows["spend_micros"]),
        _Cells("conversions", [count(each) for each in rows["conversions"]], count(conversions)),
        _Cells("new customers", [percent(each) for each in rows["new_conversions"] / rows["conversions"]]),
        _Cells("cost of one", [shown(each) for each in rows["cost_per_conversion_micros"]], _each(spent, conversions)),
    ]
    if has_incremental:
        columns += [
            _Cells(
                "incremental",
                [count(each) for each in rows["incremental_conversions"]],
                count(caused),
                hint="would not have come without it",
            ),
            _Cells(
                "cost of an incremental one", [shown(each) for each in rows["cost_per_incremental_micros"]], _each(spent, caused)
            ),
        ]
    return _table(f"Spend in {currency} and conversions", _names(report, rows.assign(note="")), columns)


def _each(spent: int, conversions: float) -> str:
    return shown(round(spent / conversions)) if conversions > 0 else NONE


def _in_currency(report: Report, currency: str, *, is_folded: bool) -> str:
    """Everything about the amounts of one currency."""
    rows = _rows(report, currency)
    earned = rows[rows[["credit_micros", "clean_micros", "refunds_micros"]].ne(0).any(axis=1)]
    if earned.empty:
        return ""
    parts = [
        _earned(report, currency, rows),
        _side_by_side(report, currency, is_folded=is_folded),
        _by_day(report, currency, is_folded=is_folded),
    ]
    suspects = "" if earned["suspect_micros"].any() else " Nothing that earned looks like fraud."
    lead = f"Credit by {algorithm(report.view.algorithm)}, which this report pays by.{suspects}"
    return _section(f"Who earned what, in {currency}", lead, "".join(parts))


def _earned(report: Report, currency: str, rows: pd.DataFrame) -> str:
    has_spend, has_interval = bool(rows["spend_micros"].any()), bool(rows["low_micros"].notna().any())
    amounts = cents(rows["credit_micros"].tolist())
    marks = [("solid", "credit"), ("hatch", "of it at identity risk"), ("none", "earned by no ad")]
    marks += [("whisker", "95 % interval over people")] if has_interval else []
    marks += [("diamond", "spend")] if has_spend else []
    what = f"Credit in {currency} by {algorithm(report.view.algorithm)}"
    drawn = [_credit_bar(report, row, money(amount)) for (_, row), amount in zip(rows.iterrows(), amounts, strict=True)]
    credit = rows["credit_micros"].astype("float64").where(rows["credit_micros"] != 0)
    columns = [
        _Cells("conversions", [count(each) for each in rows["conversions"]], count(rows["conversions"].sum())),
        _Cells("credit", [money(each) for each in amounts], money(sum(amounts))),
        *_intervals(rows),
        _amounts("at identity risk", rows["at_risk_micros"]),
        _Cells("of its credit", [percent(each) for each in rows["at_risk_micros"] / credit]),
        *([_amounts("without what looks like fraud", rows["clean_micros"])] if rows["suspect_micros"].any() else []),
        *([_amounts("of it refunds", rows["refunds_micros"])] if rows["refunds_micros"].any() else []),
        *(
            [_Cells("return", [ratio(each) for each in rows["return_on_spend"]], _return(rows), "credit for each unit spent")]
            if has_spend
            else []
        ),
    ]
    own, common = _shared_notes(rows, report.view.keys)
    table = _table(what, _names(report, rows.assign(note=own)), columns)
    return f"{plots.legend(marks)}{plots.bars(drawn, what)}{table}{common}"


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


def _intervals(rows: pd.DataFrame) -> list[_Cells]:
    if rows["low_micros"].isna().all():
        return []
    over_people = [_interval(low, high) for low, high in zip(rows["low_micros"], rows["high_micros"], strict=True)]
    over_identity = [
        _interval(low, high) for low, high in zip(rows["identity_low_micros"], rows["identity_high_micros"], strict=True)
    ]
    return [_Cells("95 % over people", over_people), _Cells("95 % over identity", over_identity)]


def _return(rows: pd.DataFrame) -> str:
    return ratio(float(rows.loc[rows["channel"] != NO_AD, "credit_micros"].sum() / rows["spend_micros"].sum()))


def _shared_notes(rows: pd.DataFrame, keys: list[str]) -> tuple[list[str], str]:
    """Notes for single rows, and, once below the table, those that many rows share."""
    often = {note for note, times in rows["note"].value_counts().items() if note and times >= SHARED}
    own = ["" if note in often else note for note in rows["note"]]
    told = []
    for note in sorted(often):
        names = [name_of(row, keys) for _, row in rows[rows["note"] == note].iterrows()]
        of = ", ".join(names) if len(names) < (rows["channel"] != NO_AD).sum() else "All of them"
        told.append(f"<li>{escape(of)}: {escape(note)}.</li>")
    return own, f"<ul class=under-table>{''.join(told)}</ul>" if told else ""


SHARED = 3
"""A note that so many rows of a table have is said once."""


def _side_by_side(report: Report, currency: str, *, is_folded: bool) -> str:
    every, keys = report.tables.algorithms, report.view.keys
    wide = every[every["currency"] == currency].set_index([*keys, "algorithm"])["credit_micros"].unstack(fill_value=0)
    if wide.shape[1] < 2:
        return ""
    others = [name for name in ALGORITHMS if name in wide and name != report.view.algorithm]
    wide = wide[[report.view.algorithm, *others]].sort_values(report.view.algorithm, ascending=False)
    wide = wide.reset_index().sort_values("channel", key=lambda channel: channel == NO_AD, kind="stable", ignore_index=True)
    rows = few(wide, keys, wide[[report.view.algorithm, *others]].abs().max(axis=1))
    named = rows[[report.view.algorithm, *others]]
    is_ad = rows["channel"].ne(NO_AD)
    most = max(int(named[is_ad].abs().to_numpy().max(initial=0)), 1)
    columns = []
    for name in named:
        amounts = cents(named[name].tolist())
        cells = [
            f"{money(amount)}{plots.small(micros / most) if ad else ''}"
            for amount, micros, ad in zip(amounts, named[name], is_ad, strict=True)
        ]
        columns.append(_Cells(algorithm(str(name)), cells, money(sum(amounts))))
    same = "" if named.sum().nunique() > 1 else ": each column adds up to the same value"
    lead = f"The same conversions, shared by other rules or models{same}. {_learned(report)}"
    return _folded(
        f"By every algorithm, in {currency}",
        lead,
        _table(f"Credit in {currency} by algorithm", _names(report, rows), columns),
        is_folded,
    )


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
        *([_amounts("spend", rows["spend_micros"])] if has_spend else []),
        _Cells("conversions", [count(each) for each in rows["conversions"]], count(rows["conversions"].sum())),
        _Cells("to ads", [money(each) for each in of_ads], money(sum(of_ads))),
        _Cells("to no ad", [money(each) for each in of_none], money(sum(of_none))),
        _Cells("value", [money(a + b) for a, b in zip(of_ads, of_none, strict=True)], money(sum(parts))),
    ]
    marks = [("solid", "earned by ads"), ("none", "by no ad"), *([("dash", "spend")] if has_spend else [])]
    what = f"Value of conversions in {currency} by day: {', '.join(f'{day} {shown(each)}' for day, each in zip(rows['day'], value, strict=True))}"
    on = "happened" if report.view.reporting_date == "touch" else "came to be known"
    dated = f"Credit is under the day on which the {'touch' if report.view.reporting_date == 'touch' else 'conversion'} {on}, spend under that of the ad."
    table = _table(f"Days in {currency}", ("day", list(rows["day"])), columns)
    return _folded(f"Day by day, in {currency}", dated, f"{plots.legend(marks)}{plots.columns(drawn, what)}{table}", is_folded)


def _changed(report: Report) -> str:
    if report.compared is None:
        return _section(
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
        return _section("What changed", f"{lead} No credit has changed.", _spend_since(report))
    because = "".join(f"<dt>{CAUSE_WORDS[name]}</dt><dd>{CAUSES_TOLD[name]}</dd>" for name in causes)
    parts = [
        _changes_in(report, str(currency), rows, causes)
        for currency, rows in changes.groupby("currency")
        if rows[[f"{c}_micros" for c in causes]].ne(0).any(axis=None)
    ]
    return _section("What changed", lead, f"{''.join(parts)}{_spend_since(report)}<dl>{because}</dl>")


def _changes_in(report: Report, currency: str, rows: pd.DataFrame, causes: Sequence[str]) -> str:
    """What each row that changed gained or lost, and by which cause."""
    changed = rows[[f"{cause}_micros" for cause in causes]].abs().sum(axis=1)
    rows = few(rows, report.view.keys, changed, most=min(MOST, int(changed[rows["channel"] != NO_AD].ne(0).sum())))
    moved = rows["now_micros"] - rows["before_micros"]
    drawn = [
        Bar(name_of(row, report.view.keys), float(micros), _signed(int(micros)), fill="solid" if micros >= 0 else "dots")
        for (_, row), micros in zip(rows.iterrows(), moved, strict=True)
    ]
    columns = [
        _exactly("before", rows["before_micros"]),
        *(_exactly(CAUSE_WORDS[cause], rows[f"{cause}_micros"], signed=True) for cause in causes),
        _exactly("now", rows["now_micros"]),
    ]
    what = f"Credit in {currency} since the last report"
    marks = plots.legend([("solid", "earns more than then"), ("dots", "less")])
    return (
        f"<h3 class=part>In {escape(currency)}</h3>{marks}{plots.bars(drawn, what)}{_table(what, _names(report, rows), columns)}"
    )


def _spend_since(report: Report) -> str:
    moved = report.compared.spend if report.compared else pd.DataFrame(columns=["before_micros", "now_micros"])
    moved = moved[moved["before_micros"] != moved["now_micros"]]
    told = [
        f"Spend in {row.currency} was {shown(row.before_micros)} and is {shown(row.now_micros)}: touches were told late."
        for row in moved.itertuples()
    ]
    return f"<p class=below>{escape(' '.join(told))}</p>" if told else ""


def _policy(report: Report) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in report.policy_words)
    return _section("The policy, in words", "", f"<ul>{lines}</ul>")


def _of_what(report: Report) -> str:
    """Which data, identity, policy and models: what makes two reports comparable."""
    basis = report.basis
    facts = [
        ("Period", f"{report.period}, in UTC days"),
        ("Data", ", ".join(f"{name} version {each}" for name, each in basis.versions.items() if each >= 0)),
        ("Credit", _stated(basis)),
        ("Made from", "; ".join(basis.data[:3]) + (f"; and {len(basis.data) - 3:,} more" if len(basis.data) > 3 else "")),
        ("Identity", _identity(basis)),
        ("Policy", f"{report.policy_name}, {report.policy_digest}"),
        ("Stated by", ", ".join(f"policy {digest[:12]}: {n:,} conversions" for digest, n in basis.policies.items()) or NONE),
        ("Models", _models(basis)),
        ("Compared with", f"the report of {report.compared.made_at}" if report.compared else "none"),
    ]
    rows = "".join(f"<tr><th scope=row>{name}</th><td>{escape(value or NONE)}</td></tr>" for name, value in facts)
    files = ", ".join(f"{name}.csv and .parquet" for name in report.tables.named())
    return _section(
        "What this report is of",
        f"Its tables are beside this file: {files}.",
        f"<div class=wide><table class=facts>{rows}</table></div>",
    )


def _stated(basis: Basis) -> str:
    if not basis.known_until:
        return "none"
    days = basis.stated[0] if basis.stated[0] == basis.stated[1] else f"{basis.stated[0]}..{basis.stated[1]}"
    return f"stated on {days}, known until {basis.known_until}; {basis.restated:,} conversions were restated"


def _identity(basis: Basis) -> str:
    linked = "".join(f"; {n:,} links by model {bundle[:12]}" for bundle, n in basis.linked_by.items())
    return f"{basis.ledger_events:,} changes in who is who, the last known at {basis.ledger_until or NONE}{linked}"


def _models(basis: Basis) -> str:
    told = [
        f"{algorithm(name)}: {bundle[:12]} ({n:,} conversions)" for name, of in basis.models.items() for bundle, n in of.items()
    ]
    return ", ".join(told) or "none was champion"


def _glossary(report: Report) -> list[tuple[str, str]]:
    found = [
        (
            "credit",
            "A conversion’s value, shared among the touches before it and no ad. The shares of a conversion add up to its value exactly.",
        ),
        (
            "no ad",
            "What the algorithm gives to no touch: the conversions without one, and for learned algorithms what would have come anyway.",
        ),
        ("cents", "Amounts on this page are rounded so that rows add up to the sum below them; the files have every millionth."),
        ("currencies", "Amounts of two currencies are never added. The cost of a conversion counts conversions of all of them."),
    ]
    if report.intervals:
        found.insert(2, ("95 % interval", escape(report.intervals)))
    return found


def _rows(report: Report, currency: str) -> pd.DataFrame:
    rows = report.tables.campaigns
    rows = rows[rows["currency"] == currency]
    return few(rows, report.view.keys, rows["credit_micros"].abs() + rows["spend_micros"])


def _names(report: Report, rows: pd.DataFrame) -> tuple[str, list[str]]:
    """The first column: what a row is, and below it what to look at twice."""
    told = []
    for _, row in rows.iterrows():
        note = f"<small>{escape(str(row['note']))}</small>" if row.get("note") else ""
        told.append(f"{escape(name_of(row, report.view.keys))}{note}")
    return report.view.by, told


def _section(title: str, lead: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{f'<p>{escape(lead)}</p>' if lead else ''}{body}</section>"


def _folded(title: str, lead: str, body: str, is_folded: bool) -> str:
    """A part of a section; one that is folded opens with a click, and on paper."""
    if is_folded:
        return f"<details><summary>{escape(title)}</summary><p>{escape(lead)}</p>{body}</details>"
    return f"<h3 class=part>{escape(title)}</h3><p>{escape(lead)}</p>{body}"


def _table(caption: str, first: tuple[str, list[str]], columns: Sequence[_Cells]) -> str:
    """A table with row and column headers, and sums where its columns have any; cells are markup."""
    head = "".join(f"<th scope=col class=number{_hint(each)}>{escape(each.name)}</th>" for each in columns)
    body = "".join(
        f"<tr><th scope=row>{name}</th>{''.join(f'<td class=number>{each.cells[at]}</td>' for each in columns)}</tr>"
        for at, name in enumerate(first[1])
    )
    sums = "".join(f"<td class=number>{each.total}</td>" for each in columns)
    foot = f"<tfoot><tr><th scope=row>sum</th>{sums}</tr></tfoot>" if any(each.total for each in columns) else ""
    said = escape(caption, quote=True)
    return (
        f"<div class=wide tabindex=0 role=region aria-label='{said}'><table class=told><caption class=said>{said}</caption>"
        f"<thead><tr><th scope=col>{escape(first[0])}</th>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def _hint(column: _Cells) -> str:
    return f" title='{escape(column.hint, quote=True)}'" if column.hint else ""


def _amounts(name: str, micros: pd.Series, *, signed: bool = False) -> _Cells:
    """A column of amounts whose cents add up."""
    parts = cents([int(each) for each in micros])
    told = [f"+{money(each)}" if signed and each > 0 else money(each) for each in parts]
    return _Cells(name, told, money(sum(parts)))


def _exactly(name: str, micros: pd.Series, *, signed: bool = False) -> _Cells:
    """A column of amounts to the millionth, what is below a hundredth in small."""
    told = [_dusty(int(each), signed=signed) for each in micros]
    return _Cells(name, told, _dusty(int(micros.sum()), signed=signed))


def _dusty(micros: int, *, signed: bool) -> str:
    if signed and not micros:
        return NONE
    text = exact(micros).replace("-", "−")
    whole, rest = text[:-7], text[-7:]
    sign, digits = ("−", whole[1:]) if whole.startswith("−") else ("+" if signed else "", whole)
    return f"{sign}{int(digits):,}{rest[:3]}<small class=dust>{rest[3:]}</small>"


def _signed(micros: int) -> str:
    return f"+{shown(micros)}" if micros > 0 else shown(micros)


def _interval(low: int | None, high: int | None) -> str:
    if pd.isna(low) or pd.isna(high):
        return NONE
    return "as stated" if shown(low) == shown(high) else f"{shown(low)} to {shown(high)}"


def _number(value: object) -> float | None:
    return None if pd.isna(value) else float(str(value))


STYLE = """
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(148px,1fr))}.told th,.told td{padding-right:13px}.under{margin:-14px 0 20px}.short{margin:0;padding:0 0 0 20px}.short li{margin:0 0 6px}section>ul{margin:6px 0 0;padding:0 0 0 20px}
.told{width:100%}.told th,.told td{white-space:nowrap;overflow-wrap:normal}.told thead th{vertical-align:bottom;white-space:normal}.told thead .number{min-width:72px}
.told tbody th{color:var(--ink);font-weight:500}.told tr>:first-child{position:sticky;left:0;background:var(--paper)}.told small{display:block;color:var(--soft);font-weight:400;font-size:12px;white-space:normal;min-width:150px;max-width:300px}
.told small.dust{display:inline;font-size:11px;min-width:0}.told tfoot th,.told tfoot td{border-top:2px solid var(--line);border-bottom:0;font-weight:600;color:var(--ink)}
.told tr>:last-child{padding-right:0}.told tbody tr:last-child>*{border-bottom:0}.small{margin:3px 0 2px;min-width:64px}
.facts th{white-space:nowrap}.facts td{overflow-wrap:anywhere}details{margin:14px 0 0}summary{cursor:pointer;font-weight:600;font-size:15px}details p{margin-top:8px}.part{margin:26px 0 4px}.below{margin:16px 0 0}.under-table{margin:10px 0 0;font-size:13px;color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:10px 0 0;font-size:14px}dt{font-weight:600}dd{margin:0;color:var(--soft)}
:focus-visible{outline:2px solid var(--bar);outline-offset:2px}
@media(max-width:640px){main{padding:24px 14px 60px}section{padding:16px 14px}dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 8px}.figure{padding:12px}.figure b{font-size:20px}}
@media print{details::details-content{content-visibility:visible;height:auto}section{padding:14px}.told{font-size:9.5px}.told th,.told td{padding-right:7px}.told thead .number,.small{min-width:0}.legend,.plot,.under-table,dl{font-size:11px}}
""".strip().replace("\n", "")
