"""Training from tables to a candidate, on a small world whose features are not made yet."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from tests.builders import FIRST_DAY, a_world
from training import train
from training.errors import TrainingError
from training.report import hashed
from whence.bundle import load_bundle
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Settings, Training
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.identity.exact import ROW, link
from whence.identity.signals import stack
from whence.lake import Lake

pytestmark = [
    pytest.mark.service,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast and what it imports, not ours
]

LAST_DAY = date(2026, 5, 7)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Fifteen hundred people for a week, linked exactly by all of their events."""
    small = Training(conversion_days=2.0, holdout_time=0.3, threads=1)
    settings = replace(a_world(tmp_path_factory.mktemp("world"), people=1500, days=7), training=small)
    lake, day = Lake.of(settings), Window(FIRST_DAY, FIRST_DAY)
    events = stack(*(lake.read(name).to_pandas() for name in ("touches", "conversions", "sightings")))
    answers = link(events, pd.DataFrame(columns=list(ROW))).assign(day=str(day), seen_at=day.end, bundle=None)
    schema = TABLES["persons"].schema
    lake.replace("persons", pa.Table.from_pandas(answers, schema=schema, preserve_index=False), day)
    return settings


def test_a_candidate_is_a_bundle_and_a_report_and_a_rerun_is_the_same(world: Settings) -> None:
    said: list[str] = []
    candidate = train(world, CONVERSION_VALUE, LAST_DAY, progress=said.append)
    folder = Path(candidate.folder)
    assert {path.name for path in folder.iterdir()} == {
        "test.parquet", "metrics.json", "params.json", "data.json", "calibration.png", "scores.png", "gains.png",
        "learned.parquet",
        "reference.parquet",
    }  # fmt: skip
    scorer = load_bundle(world.bundles, candidate.bundle)
    rows = pd.read_parquet(folder / "test.parquet")
    assert scorer.score(rows)[1] == pytest.approx(rows["probability"].to_numpy())
    assert json.loads((folder / "data.json").read_text())["tables"]["touches"] >= 0
    learned = pd.read_parquet(folder / "learned.parquet")
    assert not set(learned["row_id"]) & set(hashed(rows["row_id"]))
    assert (learned["seen_at"] < rows["seen_at"].min()).all() or not set(learned["person"]) & set(hashed(rows["person"]))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train(world, CONVERSION_VALUE, LAST_DAY) == candidate
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert len(said) == 3


def test_what_came_after_the_day_changes_nothing(world: Settings, tmp_path: Path) -> None:
    shutil.copytree(world.tables_uri, tmp_path / "tables")
    earlier, last = replace(world, home=tmp_path), Window(LAST_DAY, LAST_DAY)
    for name in ("touches", "conversions", "sightings"):
        Lake.of(earlier).replace(name, TABLES[name].schema.empty_table(), last)
    assert Lake.of(earlier).days("touches")[-1] < str(LAST_DAY)
    day = date(2026, 5, 6)
    assert train(earlier, CONVERSION_VALUE, day).bundle == train(world, CONVERSION_VALUE, day).bundle


def test_a_drill_gives_another_bundle(world: Settings) -> None:
    drill = train(world, CONVERSION_VALUE, LAST_DAY, drill="shuffled_labels")
    assert drill.drill == "shuffled_labels"
    assert drill.bundle != train(world, CONVERSION_VALUE, LAST_DAY).bundle
    metrics = json.loads((Path(drill.folder) / "metrics.json").read_text())
    assert metrics["saved_over_baseline"]["low"] < 0.002


@pytest.mark.parametrize(
    ("model", "drill", "message"),
    [
        ("churn", "", "no model 'churn'. There are identity-ranker"),
        (CONVERSION_VALUE, "sabotage", "no drill 'sabotage'. There is shuffled_labels"),
        ("identity-ranker", "", "not one example for identity-ranker .* resolve identities and materialise"),
    ],
)
def test_what_cannot_be_trained_is_said_in_words(world: Settings, model: str, drill: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        train(world, model, LAST_DAY, drill=drill)
