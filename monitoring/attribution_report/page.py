"""The page of a report: a summary, plots with their tables, what changed, the policy in words, and what it is all of."""

from __future__ import annotations

from html import escape

from monitoring.attribution_report import earned, plots
from monitoring.attribution_report.amounts import NONE, count, percent, shown
from monitoring.attribution_report.cells import section
from monitoring.attribution_report.changed import changed
from monitoring.attribution_report.told import Basis, Report, words_of
from monitoring.attribution_report.words import algorithm, currencies, in_short
from whence import page


def html(report: Report) -> str:
    """The whole page; every value of the data is escaped."""
    title = f"Attribution, {words_of(report.period)}{' (held: not final)' if report.held else ''}"
    body = [
        plots.HATCH,
        _held(report),
        f"<p class=under>Paid by {escape(algorithm(report.view.algorithm))} under the policy “{escape(report.policy_name)}”. "
        f"Made {report.made_at:%Y-%m-%d %H:%M} UTC.</p>",
        page.figures(_figures(report)),
        page.notes(report.notes),
        section("In short", "", f"<ul class=short>{''.join(f'<li>{escape(each)}</li>' for each in in_short(report))}</ul>"),
        earned.cost(report),
        *(earned.in_currency(report, currency, is_folded=at > 0) for at, currency in enumerate(currencies(report))),
        changed(report),
        _policy(report),
        _of_what(report),
        section(
            "How to read it", "", f"<dl>{''.join(f'<dt>{name}</dt><dd>{words}</dd>' for name, words in _glossary(report))}</dl>"
        ),
    ]
    return page.document(title, "".join(body), plots.STYLE + STYLE)


def _held(report: Report) -> str:
    """That the credit of some days is not final, before anything else is said; nothing where all days are."""
    if not report.held:
        return ""
    days = "".join(f"<li><b>{escape(day)}</b>: {escape(why)}</li>" for day, why in report.held.items())
    words = "<b>Held: do not pay by this report.</b> The credit of these days is not final, because what they rest on is wrong."
    return f"<div class=held role=alert><p>{words}</p><ul>{days}</ul></div>"


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


def _policy(report: Report) -> str:
    lines = "".join(f"<li{' class=beneath' if line.startswith(' ') else ''}>{escape(line)}</li>" for line in report.policy_words)
    return section("The policy, in words", "", f"<ul>{lines}</ul>")


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
    return section(
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


STYLE = """
.held{border:2px solid var(--different);border-radius:10px;padding:14px 18px;margin:0 0 16px;background:var(--paper)}.held p,.held b{color:var(--different)}.held ul{margin:0;padding:0 0 0 20px}
.figures{display:flex;flex-wrap:wrap}.figure{flex:1 0 auto;min-width:112px}.figure span{display:block;width:0;min-width:100%}.beneath{list-style:circle;margin-left:22px}.told th,.told td{padding-right:13px}.under{margin:-14px 0 20px}.short{margin:0;padding:0 0 0 20px}.short li{margin:0 0 6px}section>ul{margin:6px 0 0;padding:0 0 0 20px}
.told{width:100%}.told th,.told td{white-space:nowrap;overflow-wrap:normal}.told thead th{vertical-align:bottom;white-space:normal}.told thead .number{min-width:72px}
.told tbody th{color:var(--ink);font-weight:500}.told tr>:first-child{position:sticky;left:0;background:var(--paper)}.told small{display:block;color:var(--soft);font-weight:400;font-size:12px;white-space:normal;min-width:150px;max-width:420px}
.told small.dust{display:inline;font-size:11px;min-width:0}.told tfoot th,.told tfoot td{border-top:2px solid var(--line);border-bottom:0;font-weight:600;color:var(--ink)}
.told tr>:last-child{padding-right:0}.told tbody tr:last-child>*{border-bottom:0}.small{margin:3px 0 2px;min-width:64px}
.facts th{white-space:nowrap}.facts td{overflow-wrap:anywhere}details{margin:14px 0 0}summary{cursor:pointer;font-weight:600;font-size:15px}details p{margin-top:8px}.part{margin:26px 0 4px}.below{margin:16px 0 0}.under-table{margin:10px 0 0;font-size:13px;color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:10px 0 0;font-size:14px}dt{font-weight:600}dd{margin:0;color:var(--soft)}
:focus-visible{outline:2px solid var(--bar);outline-offset:2px}
@media(max-width:640px){main{padding:24px 14px 60px}section{padding:16px 14px}.told tbody th{white-space:normal;overflow-wrap:anywhere;min-width:112px}.told small{min-width:112px;max-width:150px}dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 8px}.figure{padding:12px}.figure b{font-size:20px}}
@media print{details::details-content{content-visibility:visible;height:auto}section{padding:14px}.told{font-size:9.5px}.told th,.told td{padding-right:7px}.told thead .number,.small{min-width:0}.legend,.plot,.under-table,dl{font-size:11px}}
""".strip().replace("\n", "")
