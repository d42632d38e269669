"""Which findings are news: a harm that begins, gets worse, goes on for long, or is over. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from monitoring.findings import CALM, CLOSED, URGENCY, Finding

NEW, WORSE, STILL, OVER = "new", "worse", "still", "over"


@dataclass(frozen=True)
class News:
    """What a person is to be told about one harm."""

    episode: str
    """Names the harm from its first day to its last."""
    day: str
    kind: str
    """new, worse, still or over."""
    level: str
    model: str
    reason: str
    runbook: str = ""
    money: str = ""
    """What is at stake, as `1,234.50 USD`; empty where nobody knows."""

    @property
    def words(self) -> str:
        """One line."""
        level = "closed" if self.kind == OVER else self.level
        stake = f" At stake: {self.money}." if self.money else ""
        return f"{self.day} {level} ({self.kind}), {self.model}: {self.reason}{stake}"


@dataclass(frozen=True)
class Told:
    """What a person was told about an episode so far: the most urgent level, the last day, and whether it is over."""

    level: str
    day: str
    is_over: bool


def episode(finding: Finding, day: str) -> str:
    """What stays the same while one harm goes on: about what it is, its cause, and its first day."""
    return "/".join((finding.model, finding.cause or finding.metric, finding.since or day))


def news(days: Mapping[str, Sequence[Finding]], told: Mapping[str, Told], least: str, again_days: int) -> list[News]:
    """What of these days' findings is news to somebody who was told `told`, by episode; in the order of the days.

    An episode is told when it reaches the level `least`, again when its level rises and after `again_days`, and when it closes.
    """
    known, found = dict(told), []
    for day in sorted(days):
        for finding in days[day]:
            name = episode(finding, day)
            if kind := _kind(finding, day, known.get(name), least, again_days):
                found.append(_news(finding, name, day, kind))
                known[name] = told_of(found[-1], known.get(name))
    return found


def told_of(item: News, before: Told | None) -> Told:
    """What a person knows of an episode after this."""
    levels = [item.level, *([before.level] if before else [])]
    return Told(
        max(levels, key=lambda level: URGENCY.get(level, 0)), max(item.day, before.day if before else ""), item.kind == OVER
    )


def from_records(records: Iterable[Mapping[str, Any]]) -> dict[str, Told]:
    """What a channel's records say that it told, by episode."""
    told: dict[str, Told] = {}
    for record in records:
        for item in record["items"]:
            told[item["episode"]] = told_of(News(**item), told.get(item["episode"]))
    return told


def _kind(finding: Finding, day: str, before: Told | None, least: str, again_days: int) -> str:
    """Why to tell of it; empty when not."""
    if before is not None and (before.is_over or day <= before.day):
        is_worse = not before.is_over and finding.level != CALM and URGENCY[finding.level] > URGENCY[before.level]
        return WORSE if is_worse and day == before.day else ""
    if finding.status == CLOSED:
        return OVER if before is not None else ""
    if finding.level == CALM or URGENCY[finding.level] < URGENCY[least]:
        return ""
    if before is None:
        return NEW
    if URGENCY[finding.level] > URGENCY[before.level]:
        return WORSE
    return STILL if (date.fromisoformat(day) - date.fromisoformat(before.day)).days >= again_days else ""


def _news(finding: Finding, name: str, day: str, kind: str) -> News:
    money = "" if finding.money_micros is None else f"{finding.money_micros / 1e6:,.2f} {finding.currency}"
    runbook = finding.runbook or finding.cause
    return News(name, day, kind, finding.level, finding.model, finding.reason, runbook, money)
