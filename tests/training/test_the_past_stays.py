"""What is learned later about who is who changes no training row of the past."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features import materialise
from serving.daily.batch import resolve_identities
from tests.builders import FIRST_DAY, a_world
from training.datasets import build
from training.examples import Examples
from whence.contracts.models import MODELS
from whence.contracts.settings import Settings, Training
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = [
    pytest.mark.service,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast and what it imports, not ours
]

AS_OF, LATER = date(2026, 5, 4), date(2026, 5, 5)
CHANGES = 10_000


def a_resolved_week(folder: Path) -> Settings:
    settings = replace(a_world(folder, people=500, days=5), training=Training(conversion_days=2.0, threads=1))
    week = Window(FIRST_DAY, LATER)
    resolve_identities(settings, week)
    materialise(settings, week)
    return settings


def merge_and_split_at_random(settings: Settings, seed: int = 7) -> int:
    """Give ten thousand identifiers, drawn with repetition, to another person or to one of their own, as known a day later."""
    lake, day, rng = Lake.of(settings), Window(LATER, LATER), np.random.default_rng(seed)
    known = lake.read("persons").to_pandas().sort_values("day").drop_duplicates("identifier", keep="last")
    drawn = known.iloc[rng.integers(0, len(known), CHANGES)].assign(is_split=rng.random(CHANGES) < 0.5)
    others = known["person_id"].to_numpy()[rng.integers(0, len(known), CHANGES)]
    drawn["person_id"] = np.where(drawn["is_split"], "split-off-" + drawn["identifier"], others)
    rows = pd.concat([known[known["day"] == str(LATER)], drawn]).drop_duplicates("identifier", keep="last")
    rows = rows.assign(day=str(LATER), seen_at=day.end)[TABLES["persons"].schema.names]
    lake.replace("persons", pa.Table.from_pandas(rows, schema=TABLES["persons"].schema, preserve_index=False), day)
    materialise(settings, day)
    return len(drawn)


def examples(settings: Settings, as_of: date) -> dict[str, Examples]:
    return {model: build(settings, model, as_of) for model in MODELS}


def test_ten_thousand_late_merges_and_splits_change_no_training_row_of_the_past(tmp_path: Path) -> None:
    settings = a_resolved_week(tmp_path)
    before, before_of_today = examples(settings, AS_OF), examples(settings, LATER)
    assert merge_and_split_at_random(settings) == CHANGES
    after, after_of_today = examples(settings, AS_OF), examples(settings, LATER)
    for model in MODELS:
        assert len(before[model].facts) > 0
        assert same(before[model], after[model]), model
    assert not any(same(before_of_today[model], after_of_today[model]) for model in MODELS), "the changes do bite"


def same(one: Examples, other: Examples) -> bool:
    return one.inputs.equals(other.inputs) and one.facts.equals(other.facts)
