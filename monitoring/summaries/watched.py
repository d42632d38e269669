"""A model's day on summaries: today's decisions, clean days before, and what its bundle learned from, brought together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from monitoring.checks import Check
from monitoring.summaries.decisions import SCORE, SUBJECT, learned_from, of_day
from monitoring.summaries.drifted import drift_checks, input_checks
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake
from whence.summaries import from_rows, merge_all, to_rows
from whence.summaries.frame import Summaries

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

Bundles = Mapping[str, Summaries]
"""A model's summaries of a day by the bundle that decided."""
NONE = TABLES["summaries"].schema.empty_table()


def summary_checks(settings: Settings, lake: Lake, model: str, day: date, clean: Sequence[str]) -> tuple[list[Check], pa.Table]:
    """What the day's decisions say of the model's inputs and scores, and the summaries to keep; `clean` are clean days before."""
    today = of_day(lake, model, Window(day, day))
    if not today:
        return [], NONE
    bundle = max(today, key=lambda each: (today[each][SUBJECT].rows, each))
    before = [_day(parts, bundle) for parts in _before(lake, model, clean) if parts]
    reference = learned_from(settings, model, bundle)
    now = _day(today, bundle)
    known = merge_all([*([reference] if reference else []), *before])
    found = [*input_checks(model, now, known), *drift_checks(model, now, reference, before)]
    kept = [to_rows(each, day=str(day), model=model, bundle=name) for name, each in today.items()]
    return found, pa.concat_tables(kept)


def _before(lake: Lake, model: str, days: Sequence[str]) -> list[Bundles]:
    """The summaries of earlier days: as they were kept, or made where nothing was."""
    if not days:
        return []
    kept: dict[str, dict[str, Summaries]] = {}
    stored = lake.read("summaries", Window(date.fromisoformat(min(days)), date.fromisoformat(max(days))))
    for (day, of, bundle), each in from_rows(stored).items():
        if of == model:
            kept.setdefault(day, {})[bundle] = each
    return [kept.get(day) or of_day(lake, model, Window.parse(day)) for day in days]


def _day(parts: Bundles, bundle: str) -> Summaries:
    """The day's inputs, whichever bundle decided; the score of one bundle alone, for scores of two are no one scale."""
    inputs = merge_all({name: each for name, each in part.items() if name != SCORE} for part in parts.values())
    return {**inputs, SCORE: parts[bundle][SCORE]} if bundle in parts else inputs
