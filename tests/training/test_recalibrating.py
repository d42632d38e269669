"""The champion's trees with a new level: how far it is moved, what is taken for it, and what the gate says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.special import expit, logit

from registry import gate
from registry.journal import Journal
from registry.judging import verdict_on
from tests.builders import some_settings
from tests.registry.makers import SCHEMA, a_bundle, some_rows, watched
from training import recalibrate
from training.errors import TooFewLabels, TrainingError
from training.recalibrating import fitted
from whence.bundle import bundle_manifest, load_bundle
from whence.contracts.models import CONVERSION_VALUE, EXPOSURE_RESPONSE, Candidate
from whence.contracts.settings import Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY, DAYS = date(2026, 5, 14), ("2026-05-11", "2026-05-12", "2026-05-13", "2026-05-14")


def some_answers(n: int = 6000, shift: float = 0.0, stretch: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are said, labels of a world whose log-odds are other ones, and a person for each two rows."""
    rng = np.random.default_rng(3)
    odds = rng.normal(-2, 1, n)
    labels = (rng.random(n) < expit(stretch * odds + shift)).astype(float)
    return expit(odds), labels, np.arange(n) // 2


def test_a_world_with_twice_the_odds_shifts_the_log_odds_by_the_logarithm_of_two():
    said, labels, persons = some_answers(shift=np.log(2))
    move = fitted(said, labels, persons)
    assert move.stretch == 1
    assert move.shift == pytest.approx(np.log(2), abs=0.1)
    assert expit(logit(said) + move.shift).sum() == pytest.approx(labels.sum())


def test_a_model_that_is_far_too_sure_is_stretched_and_shifted():
    move = fitted(*some_answers(stretch=0.4))
    assert move.stretch == pytest.approx(0.4, abs=0.1)
    assert "saves" in move.words


def test_trees_of_a_calibrator_are_shifted_alone():
    assert fitted(*some_answers(stretch=0.4), is_line=False).stretch == 1


def test_labels_of_one_class_move_nothing():
    said, labels, persons = some_answers(50)
    with pytest.raises(TooFewLabels, match="All of 50 labels are 0"):
        fitted(said, 0 * labels, persons)


def some_decisions(settings: Settings, bundle: str, *, shift: float, days: tuple[str, ...] = DAYS, each: int = 600) -> pd.Series:
    """Decisions of some days about rows of a world whose log-odds are shifted; the label of each subject."""
    rows = some_rows(each * len(days), seed=77)
    odds = 2 * rows["age"].fillna(0) - 1.5 - (rows["channel"] == "display") + shift
    label = (np.random.default_rng(78).random(len(rows)) < expit(odds)).astype(int)
    day = np.repeat(days, each)
    minute = pd.to_timedelta(np.tile(np.arange(each), len(days)), unit="min")
    told = pd.DataFrame(
        {
            "day": day,
            "decision_id": [f"d{n}" for n in range(len(rows))],
            "made_at": pd.to_datetime(day, utc=True) + minute,
            "route": "batch",
            "model": CONVERSION_VALUE,
            "bundle": bundle,
            "subject": [f"s{n:05}" for n in range(len(rows))],
            "option": None,
            "features": [
                json.dumps({name: None if pd.isna(value) else value for name, value in row.items()})
                for row in rows[list(SCHEMA.names)].to_dict("records")
            ],
            "score": 0.0,
            "probability": 0.5,
            "chosen": None,
            "micros": None,
            "degraded": None,
        }
    )
    window = Window(date.fromisoformat(days[0]), date.fromisoformat(days[-1]))
    Lake.of(settings).replace("decisions", pa.Table.from_pandas(told, schema=TABLES["decisions"].schema), window)
    return pd.Series(label.to_numpy(), index=told["subject"])


def told_by(labels: pd.Series):
    """What came of decisions, two of which are one person's."""

    def known(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
        place = np.arange(len(decisions))
        person = decisions["subject"].str[1:].astype(int) // 2
        return pd.DataFrame({"row": place, "label": labels[decisions["subject"]].to_numpy(), "cluster": "p" + person.astype(str)})

    return known


def crown(settings: Settings, bundle: str, epoch: int = 0):
    return Journal.of(settings).promote(CONVERSION_VALUE, bundle, "", ("it is the first",), "ana", epoch, NOW)


@pytest.fixture(scope="module")
def moved_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str, pd.Series]:
    """A champion of 10 May, and four days in a world with three times the odds."""
    settings = some_settings(tmp_path_factory.mktemp("moved"))
    champion = a_bundle(settings.bundles)
    labels = some_decisions(settings, champion, shift=np.log(3))
    watched(settings, str(DAY))
    return settings, champion, labels


@pytest.fixture(scope="module")
def candidate(moved_world: tuple[Settings, str, pd.Series]) -> Candidate:
    settings, champion, labels = moved_world
    return recalibrate(settings, CONVERSION_VALUE, DAY, champion, told_by(labels))


@pytest.mark.service
def test_a_recalibration_keeps_the_trees_says_where_it_comes_from_and_is_the_same_again(moved_world, candidate: Candidate):
    settings, champion, labels = moved_world
    old, new = (bundle_manifest(settings.bundles, each) for each in (champion, candidate.bundle))
    assert new["files"]["model.txt"] == old["files"]["model.txt"]
    assert new["files"]["calibrator.json"] != old["files"]["calibrator.json"]
    made = new["about"]["recalibrated"]
    assert (made["from"], made["as_of"], made["shift"]) == (champion, str(DAY), pytest.approx(np.log(3), abs=0.2))
    assert new["about"]["as_of"] == "2026-05-10", "what the trees learned from has not changed"
    rows = pd.read_parquet(Path(candidate.folder) / "test.parquet")
    assert load_bundle(settings.bundles, candidate.bundle).score(rows)[1] == pytest.approx(rows["probability"].to_numpy())
    again = recalibrate(settings, CONVERSION_VALUE, DAY, candidate.bundle, told_by(labels))
    assert again == candidate, "once it is champion, the same day starts from the same trees and calibrator"


@pytest.mark.service
def test_the_gate_promotes_a_better_level_and_nothing_else(moved_world, candidate: Candidate, tmp_path: Path):
    settings, champion, _ = moved_world
    row = crown(settings, champion)
    verdict = verdict_on(settings, candidate, row)
    assert verdict.decision == gate.PROMOTE, verdict.reasons
    assert verdict.measures["observed_over_expected"].value == pytest.approx(1, abs=0.1)
    assert verdict.measures["champion_observed_over_expected"].low > 1.3
    other = crown(settings, a_bundle(settings.bundles, rounds=9), row.epoch)
    refused = verdict_on(settings, candidate, other)
    assert refused.decision == gate.REFUSE
    assert "Recalibrate that one." in " ".join(refused.reasons)


@pytest.mark.service
def test_a_level_that_was_right_is_not_moved_for_chance(tmp_path: Path):
    settings = some_settings(tmp_path)
    champion = a_bundle(settings.bundles)
    labels = some_decisions(settings, champion, shift=0.0, days=DAYS[:2])
    watched(settings, str(DAY))
    verdict = verdict_on(
        settings, recalibrate(settings, CONVERSION_VALUE, DAY, champion, told_by(labels)), crown(settings, champion)
    )
    assert verdict.decision != gate.PROMOTE


@pytest.mark.service
def test_what_cannot_be_recalibrated_is_said_in_words(moved_world, tmp_path: Path):
    settings, champion, labels = moved_world
    with pytest.raises(TrainingError, match="exposure-response has no labels"):
        recalibrate(settings, EXPOSURE_RESPONSE, DAY, champion, told_by(labels))
    with pytest.raises(
        TooFewLabels, match=r"0 positive and 0 negative labels are ripe by 2026-05-10 of decisions since 2026-05-11"
    ):
        recalibrate(settings, CONVERSION_VALUE, date(2026, 5, 10), champion, told_by(labels))


@pytest.mark.service
def test_days_that_should_not_have_been_published_teach_nothing(moved_world, tmp_path: Path):
    settings, champion, labels = moved_world
    apart = replace(settings, home=tmp_path, tables=replace(settings.tables, uri=str(tmp_path / "tables")))
    some_decisions(apart, champion, shift=np.log(3))
    (tmp_path / "bundles").symlink_to(settings.bundles)
    (tmp_path / "bundle.key").symlink_to(settings.home / "bundle.key")
    for day in DAYS:
        watched(apart, day, level="stop", metric="rows", status="open", cause="tracker_outage")
    with pytest.raises(TooFewLabels, match="0 positive and 0 negative"):
        recalibrate(apart, CONVERSION_VALUE, DAY, champion, told_by(labels))
