"""An answer as one page: the change, each factor's share of it, and what each factor was on the two days."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from monitoring.attribution_report import plots
from monitoring.attribution_report.cells import Cells, folded, section, table
from monitoring.attribution_report.page import STYLE as REPORT_STYLE
from monitoring.moved import words
from monitoring.moved.why import Answer
from whence import page


def html(answer: Answer) -> str:
    """The whole page; every value of the data is escaped."""
    said = "".join(f"<li>{escape(each)}</li>" for each in words.in_short(answer))
    body = [
        "<p><a href=/>whence</a> · <a href=./>every change that was asked about</a></p>",
        plots.HATCH,
        page.figures(_figures(answer)),
        section("In short", "", f"<ul class=short>{said}</ul>"),
        section("Because of what", words.METHOD, _shares(answer)),
        section("What each was", "", _versions(answer)),
        section("What each means", "", _meanings(answer)),
        section("How it was computed", words.ground(answer), folded("Every mixture", "", _mixtures(answer), is_folded=True)),
    ]
    return page.document(words.title(answer), "".join(body), plots.STYLE + REPORT_STYLE)


def listed(answers: Sequence[tuple[str, Answer]]) -> str:
    """The page that lists what was asked about: file and answer, the newest day first."""
    told = "".join(
        f"<section><h2><a href='{escape(file, quote=True)}'>{escape(words.sentence(words.subject(each)))}</a></h2>"
        f"<p>{escape(' '.join(words.in_short(each)))}</p></section>"
        for file, each in answers
    )
    ask = (
        "<p>Ask by <code>whence moved METRIC DAY1 DAY2</code>, with a measure as findings name it: <code>conversions/match_rate</code>, "
        "<code>credits/credit_share/search</code>, <code>conversion-value/observed_over_expected</code>.</p>"
    )
    return page.document("Why did it move?", f"<p><a href=/>whence</a></p>{ask}{told}", REPORT_STYLE)


def _figures(answer: Answer) -> list[tuple[str, str]]:
    first, second = answer.recorded or answer.values
    told = words.lines(answer)
    loudest = max(told[:-1], key=lambda each: abs(each.value or 0.0))
    return [
        (words.value(answer, first), answer.days[0]),
        (words.value(answer, second), answer.days[1]),
        (told[-1].share, f"change, in{words.unit(answer)}" if words.unit(answer) else "change"),
        (loudest.share, f"because of {loudest.name}"),
    ]


def _shares(answer: Answer) -> str:
    told = words.lines(answer)
    rows = [
        plots.Bar(
            each.name,
            each.value or 0.0,
            each.share,
            fill="dots" if each.name == words.RESIDUAL else "none" if each is told[-1] else "solid",
            low=each.low,
            high=each.high,
        )
        for each in told
    ]
    columns = [
        Cells("share", [each.share for each in told]),
        Cells("of the change", [each.of_change for each in told]),
        Cells("95 % over people", [each.interval for each in told]),
    ]
    names = ("because of", [escape(each.name) for each in told])
    return plots.bars(rows, "Each factor's share of the change, with its interval") + table(
        "Shares of the change", names, columns
    )


def _versions(answer: Answer) -> str:
    """What each factor was, the first day above the second, and the versions that it was read at."""
    rows = "".join(
        f"<tr><th scope=row>{escape(each.factor)}</th><td>{'<br>'.join(escape(said) for said in words.both_days(each))}</td></tr>"
        for each in answer.parts
    )
    return f"<div class=wide><table class=facts>{rows}</table></div>"


def _meanings(answer: Answer) -> str:
    each = "".join(f"<dt>{escape(part.factor)}</dt><dd>{escape(words.MEANS[part.factor])}</dd>" for part in answer.parts)
    return f"<dl>{each}</dl>"


def _mixtures(answer: Answer) -> str:
    names = [escape(words.mixture(names, answer)) for names, _ in answer.mixtures]
    return table("Every mixture", ("mixture", names), [Cells("value", [f"{value:,.6g}" for _, value in answer.mixtures])])
