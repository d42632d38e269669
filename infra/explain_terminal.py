"""A conversion's story in the terminal: credit, touches, identity, features, model, versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import show
from monitoring.attribution_report.amounts import percent, shown
from monitoring.attribution_report.words import algorithm
from monitoring.explained import words

if TYPE_CHECKING:
    from monitoring.explained.story import Scored, Story
    from whence.contracts.settings import Settings

MOST_TOUCHES = 12
MOST_INPUTS = 8


def explain(settings: Settings, conversion: str, page: Path | None, *, as_json: bool) -> None:
    """Print why a conversion got its credit; with `page`, write it as HTML there, too."""
    from monitoring.explained.page import html
    from monitoring.explained.story import tell

    story = tell(settings, conversion)
    if page:
        page.write_text(html(story), encoding="utf-8")
    if as_json:
        show.facts(story, as_json=True)
        return
    show.console.print(words.title(story), style="bold", highlight=False)
    for line in words.in_short(story):
        show.console.print(f"  {line}", highlight=False)
    _part(f"Credit by {algorithm(story.paid_by)}", _touches(story))
    _part("By every algorithm", _algorithms(story))
    _part(
        "Who it was",
        [{"identifier": each.identifier, "sure": each.probability, "why": words.link(each)} for each in story.links],
        empty=words.sure(story),
    )
    if story.scored and story.model:
        _part("What the ranker saw of the surest touch", _inputs(story.scored[0]))
        show.console.print(words.step(story.scored[0], story.model), highlight=False)
        show.console.print(words.promoted(story.model), highlight=False)
    show.console.print(
        f"Stated as version {story.paying.version} of {story.paying.stated_on}: {words.ground(story.paying)}", highlight=False
    )
    if page:
        show.console.print(f"The page is {page}.", highlight=False)


def _part(title: str, rows: list[dict[str, Any]], empty: str = "Nothing yet.") -> None:
    show.console.print()
    show.rows(rows, as_json=False, title=title, empty=f"{title}\n{empty}")


def _touches(story: Story) -> list[dict[str, Any]]:
    earned = story.paying.earned
    rows = [
        {
            "touch": words.name(each),
            "id": each.touch_id or None,
            "before": words.before(each, story) or None,
            "channel": each.channel or None,
            "share": percent(each.share),
            story.conversion["currency"]: shown(each.credit_micros),
            "same person": each.certainty,
            "suspect": each.suspect or None,
        }
        for each in earned[:MOST_TOUCHES]
    ]
    if rest := earned[MOST_TOUCHES:]:
        told = {
            "share": percent(sum(each.share for each in rest)),
            story.conversion["currency"]: shown(sum(each.credit_micros for each in rest)),
        }
        rows.append({**dict.fromkeys(rows[0]), "touch": f"{len(rest)} smaller parts", **told})
    return rows


def _algorithms(story: Story) -> list[dict[str, Any]]:
    found = []
    for one in story.statements:
        best = max((each for each in one.earned if each.touch_id), key=lambda each: each.share, default=None)
        none = sum(each.share for each in one.earned if not each.touch_id)
        found.append(
            {
                "algorithm": algorithm(one.algorithm),
                "no ad": percent(none),
                "most to": words.name(best) if best else None,
                "its share": percent(best.share) if best else None,
            }
        )
    return found


def _inputs(scored: Scored) -> list[dict[str, Any]]:
    return [
        {
            "feature": each.name,
            "value": each.value,
            "from": each.view or "the journey",
            "hours old": each.age_hours,
            "added": None if each.added is None else f"{each.added:+.3f}",
        }
        for each in scored.inputs[:MOST_INPUTS]
    ]
