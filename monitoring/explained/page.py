"""A conversion's story as one page: from the credit down to the features, each with its version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from monitoring.attribution_report import plots
from monitoring.attribution_report.amounts import percent, shown
from monitoring.attribution_report.cells import Cells, folded, section, table
from monitoring.attribution_report.page import STYLE as REPORT_STYLE
from monitoring.attribution_report.words import algorithm
from monitoring.explained import words
from monitoring.explained.story import Earned, Input, Scored, Statement, Story
from whence import page

MOST_TOUCHES = 12
MOST_INPUTS = 10
LEAST_ADDED = 0.005
"""Log-odds; features that add less are told together."""


def html(story: Story, back: str = "") -> str:
    """The whole page, with a link `back` to the front page where it is served; every value of the data is escaped."""
    said = "".join(f"<li>{escape(each)}</li>" for each in words.in_short(story))
    body = [
        f"<p><a href='{escape(back, quote=True)}'>whence</a></p>" if back else "",
        plots.HATCH,
        page.figures(_figures(story)),
        section("In short", "", f"<ul class=short>{said}</ul>"),
        _credit(story),
        _algorithms(story),
        _identity(story),
        _scores(story),
        _model(story),
        _versions(story),
    ]
    return page.document(words.title(story), "".join(body), plots.STYLE + REPORT_STYLE)


def _figures(story: Story) -> list[tuple[str, str]]:
    row, earned = story.conversion, story.paying.earned
    no_ad = sum(each.share for each in earned if not each.touch_id)
    sure = "–" if story.certainty is None else f"{story.certainty:.2f}"
    return [
        (shown(row["value_micros"]), f"value in {row['currency']}"),
        (str(sum(1 for each in earned if each.touch_id and each.credit_micros)), "touches paid"),
        (percent(no_ad), "to no ad"),
        (sure, "sure it is one person"),
    ]


def _credit(story: Story) -> str:
    earned = story.paying.earned
    shown_rows, rest = earned[:MOST_TOUCHES], earned[MOST_TOUCHES:]
    body = _touches(story, shown_rows)
    if rest:
        body += folded(f"{len(rest)} smaller parts", "", _touches(story, rest), is_folded=True)
    lead = (
        f"Stated on {story.paying.stated_on} as version {story.paying.version}, known from {words.moment(story.paying.known_at)}."
    )
    return section(f"Credit by {algorithm(story.paid_by)}", lead, body)


def _touches(story: Story, earned: Sequence[Earned]) -> str:
    names = [
        f"{escape(words.name(each))}<small>{escape(' · '.join(filter(None, (each.touch_id, each.suspect and f'suspect: {each.suspect}'))))}</small>"
        for each in earned
    ]
    columns = [
        Cells("before", [words.before(each, story) for each in earned]),
        Cells("channel", [escape(each.channel) for each in earned], is_words=True),
        Cells("share", [f"{percent(each.share)}{plots.small(each.share)}" for each in earned]),
        Cells(story.conversion["currency"], [shown(each.credit_micros) for each in earned]),
        Cells(
            "same person",
            ["" if each.certainty is None else f"{each.certainty:.2f}" for each in earned],
            hint="probability, as known then",
        ),
    ]
    return table("Credit by touch", ("touch", names), columns)


def _algorithms(story: Story) -> str:
    """The other algorithms side by side: what each gave to no ad, and to whom most."""
    rows = story.statements
    best = [max((each for each in one.earned if each.touch_id), key=lambda each: each.share, default=None) for one in rows]
    columns = [
        Cells("no ad", [percent(sum(each.share for each in one.earned if not each.touch_id)) for one in rows]),
        Cells("paid touches", [str(sum(1 for each in one.earned if each.touch_id and each.credit_micros)) for one in rows]),
        Cells("most to", [escape(words.name(each)) if each else "–" for each in best], is_words=True),
        Cells("its share", [percent(each.share) if each else "–" for each in best]),
    ]
    names = [f"{escape(algorithm(one.algorithm))}{'<small>pays</small>' if at == 0 else ''}" for at, one in enumerate(rows)]
    return section(
        "By every algorithm",
        "The same touches, each algorithm's answer.",
        table("Credit by algorithm", ("algorithm", names), columns),
    )


def _identity(story: Story) -> str:
    if not story.links:
        return section("Who it was", words.sure(story), "")
    names = [f"{escape(_short(each.identifier))}<small>{escape(words.link(each))}</small>" for each in story.links]
    columns = [
        Cells("sure", ["1" if each.probability is None else f"{each.probability:.2f}" for each in story.links]),
        Cells("carried by", ["conversion" if each.on_conversion else "a touch" for each in story.links], is_words=True),
    ]
    lead = f"{words.sure(story)} Identifiers as known when the credit was stated, the least sure first."
    return section("Who it was", lead, table("Identifiers of the person", ("identifier", names), columns))


def _short(identifier: str) -> str:
    return identifier if len(identifier) < 42 else f"{identifier[:38]}…"


def _scores(story: Story) -> str:
    if not story.scored:
        return section(
            "What the ranker saw",
            "The ranker was not asked about this conversion: it had no champion that day, or there was no touch.",
            "",
        )
    first, *others = story.scored
    body = _one_score(story, first)
    for each in others[: MOST_TOUCHES - 1]:
        body += folded(f"{_place(story, each)}: probability {each.probability:.3f}", "", _one_score(story, each), is_folded=True)
    lead = f"Features as known when the conversion was seen, with their ages. The surest of {len(story.scored)} touches first: {_place(story, first)}."
    return section("What the ranker saw", lead, body)


def _place(story: Story, scored: Scored) -> str:
    known = {each.touch_id: each for one in story.statements for each in one.earned}
    return words.name(known[scored.touch_id]) if scored.touch_id in known else scored.touch_id


def _one_score(story: Story, scored: Scored) -> str:
    assert story.model is not None
    told = f"<p>{escape(words.step(scored, story.model))}</p>"
    if scored.base is None:
        values = ", ".join(f"{each.name} = {_value(each.value)}" for each in scored.inputs)
        return f"{told}<p>The bundle is not here any more, so the parts of its score cannot be told. {escape(values)}</p>"
    loud = [each for each in scored.inputs if abs(each.added or 0.0) >= LEAST_ADDED][:MOST_INPUTS]
    rest = sum(each.added or 0.0 for each in scored.inputs if each not in loud)
    rows, at = [plots.Bar("where every score starts", scored.base, f"{scored.base:+.3f}", fill="none")], scored.base
    for each in loud:
        rows.append(plots.Bar(_input(each), each.added or 0.0, f"{each.added:+.3f}", start=at))
        at += each.added or 0.0
    rows.append(plots.Bar(f"{len(scored.inputs) - len(loud)} more features", rest, f"{rest:+.3f}", start=at, fill="dots"))
    rows.append(plots.Bar("raw score, in log-odds", scored.raw, f"{scored.raw:+.3f}"))
    return told + plots.bars(rows, "What each feature added to the raw score")


def _input(each: Input) -> str:
    age = f", {each.view} {each.age_hours:.0f} h old" if each.age_hours is not None else ""
    return f"{each.name} = {_value(each.value)}{age}"


def _value(value: Any) -> str:
    return "missing" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _model(story: Story) -> str:
    if story.model is None:
        return ""
    reasons = "".join(f"<li>{escape(each)}</li>" for each in story.model.reasons)
    return section("Why that model was trusted", words.promoted(story.model), f"<ul>{reasons}</ul>" if reasons else "")


def _versions(story: Story) -> str:
    def row(each: Statement, state: str) -> tuple[str, str]:
        told = f"version {each.version} of {each.stated_on}, {words.CAUSES[each.cause]}; {words.ground(each)}"
        return state, told

    rows = [row(story.paying, "holds"), *(row(each, "superseded") for each in story.superseded)]
    told = "".join(f"<tr><th scope=row>{state}</th><td>{escape(what)}</td></tr>" for state, what in rows)
    carried = {name: str(value) for name, value in story.conversion.items() if value is not None}
    event = f"<pre>{escape(json.dumps(carried, indent=1, ensure_ascii=False))}</pre>"
    return section(
        "Versions",
        "A statement is never changed; a new one supersedes it.",
        f"<div class=wide><table class=facts>{told}</table></div>"
        + folded("The event as it came", "Hashed identifiers alone.", event, is_folded=True),
    )
