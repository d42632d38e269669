"""A conversion's story in sentences: the same on the page and in the terminal."""

from __future__ import annotations

from datetime import datetime

from monitoring.attribution_report.amounts import percent, shown
from monitoring.attribution_report.words import algorithm
from monitoring.explained.story import Earned, Link, Model, Scored, Statement, Story

CAUSES = {
    "first": "first statement",
    "late_events": "late events",
    "identity": "better identity",
    "policy": "another policy",
    "model": "another model",
    "correction": "a correction",
}


def title(story: Story) -> str:
    """The heading of the page."""
    return f"Why conversion {story.conversion['conversion_id']} got this credit"


def in_short(story: Story) -> list[str]:
    """The answer in a few sentences, each of which stands by itself."""
    row, paying = story.conversion, story.paying
    told = f", told {story.tellings} times and counted once" if story.tellings > 1 else ""
    said = [
        f"{row['kind'].replace('_', ' ').capitalize()} of {shown(row['value_micros'])} {row['currency']} on {moment(row['happened_at'])}, "
        f"known from {moment(row['seen_at'])}{told}.",
        f"Paid by {algorithm(story.paid_by)} under the policy “{story.policy_name}”: {_largest(paying)}.",
        sure(story),
    ]
    if story.superseded:
        said.append(
            f"It was stated {len(story.superseded) + 1} times; the last one, of {paying.stated_on}, is because of {CAUSES[paying.cause]}."
        )
    if story.true_cause is not None:
        said.append(_truth(story))
    return said


def sure(story: Story) -> str:
    """How sure the person behind the credit is."""
    if story.person_id is None:
        found = (
            "the touch was found by the click id that the conversion carries"
            if story.certainty
            else "no touch could be found by the person"
        )
        return f"No identifier of the conversion names a person: {found}."
    if story.certainty is None:
        return f"It was {story.person_id}; no touch of theirs may be paid, so nothing rests on who it was."
    if story.certainty >= 1.0:
        return f"It was {story.person_id}, and every touch that was paid is tied to them by exact identifiers."
    return f"It was {story.person_id}; the weakest tie between a paid touch and the conversion is {story.certainty:.2f} sure."


def before(earned: Earned, story: Story) -> str:
    """How long before the conversion a touch happened."""
    if earned.touched_at is None:
        return ""
    hours = (story.conversion["happened_at"] - earned.touched_at).total_seconds() / 3600
    return f"{hours / 24:.1f} d" if hours >= 48 else f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def name(earned: Earned) -> str:
    """A touch in a few words; no ad by that name."""
    return f"{earned.kind} of {earned.campaign_id}" if earned.touch_id else "no ad"


def link(each: Link) -> str:
    """Since when and why an identifier is the person's."""
    how = "an exact link" if each.method == "exact" else f"ranked by {(each.bundle or '')[:12]}"
    moved = {"merge": ", when two persons became one", "split": ", after a split"}.get(each.kind, "")
    return f"{how}, known from {moment(each.known_at)}{moved} ({each.cause})"


def step(scored: Scored, model: Model) -> str:
    """The calibrator's step."""
    by = f"the {model.calibrator.replace('_', ' ')} calibrator" if model.calibrator else "the calibrator"
    return f"Raw score {scored.raw:+.3f}; {by} makes it a probability of {scored.probability:.3f}."


def promoted(model: Model) -> str:
    """Who let the model in, and when."""
    if model.epoch is None:
        return f"{model.name} {model.bundle[:12]}: the journal holds no promotion of it."
    return f"{model.name} {model.bundle[:12]}, champion of epoch {model.epoch} since {model.promoted_at[:16].replace('T', ' ')} UTC, by {model.who}."


def ground(statement: Statement) -> str:
    """What a statement was made from."""
    model = f"; model {statement.bundle[:12]}" if statement.bundle else ""
    return f"policy {statement.policy[:12]}{model}; versions of the tables: {statement.data}"


def moment(at: datetime) -> str:
    """An instant to the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _largest(paying: Statement) -> str:
    parts = sorted(paying.earned, key=lambda each: -each.share)[:3]
    told = ", ".join(f"{percent(each.share)} to {name(each) if each.touch_id else 'no ad'}" for each in parts)
    more = len(paying.earned) - len(parts)
    return told + (f", and {more} more" if more > 0 else "")


def _truth(story: Story) -> str:
    if not story.true_cause:
        share = sum(each.share for each in story.paying.earned if not each.touch_id)
        return f"In the simulated world no ad caused it; {percent(share)} went to no ad."
    share = sum(each.share for each in story.paying.earned if each.touch_id == story.true_cause)
    return f"In the simulated world the touch {story.true_cause} caused it, which got {percent(share)}."
