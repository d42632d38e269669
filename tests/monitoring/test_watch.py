"""A small world watched through the front door: calm while it is calm, loud when signals vanish, the same when run again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from monitoring import WatchReport, watch
from monitoring.watching import UnknownDay
from tests.builders import a_world
from whence.contracts.settings import Scenario, Settings
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAYS, LAST = 6, date(2026, 5, 6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    loss = (Scenario("signal_loss", LAST),)
    return a_world(tmp_path_factory.mktemp("world"), people=300, days=DAYS, scenarios=loss)


@pytest.fixture(scope="module")
def report(world: Settings) -> WatchReport:
    return watch(world, Window(date(2026, 5, 1), LAST), NOW)


def everything(settings: Settings) -> tuple[list[pa.Table], dict[str, bytes]]:
    lake = Lake.of(settings)
    reports = {path.name: path.read_bytes() for path in settings.evidently_workspace.rglob("*.json")}
    return [lake.read(name) for name in ("checks", "findings")], reports


def test_clean_days_are_calm_and_a_loss_of_signals_wants_retraining_on_its_first_day(report: WatchReport) -> None:
    assert dict(report.days) == {f"2026-05-0{day}": "calm" for day in range(1, DAYS)} | {str(LAST): "retrain"}
    assert report.wants_retrain
    assert any("retrain: touches: signal loss" in reason for reason in report.reasons)
    assert all(reason.startswith(f"{LAST} ") for reason in report.reasons)


def test_a_calm_day_has_one_calm_row_for_each_subject(world: Settings, report: WatchReport) -> None:
    calm = Lake.of(world).read("findings", Window(date(2026, 5, 1), date(2026, 5, 1))).to_pylist()
    assert {row["level"] for row in calm} == {"calm"}
    assert {"touches", "conversions", "sightings", "identity-ranker"} <= {row["model"] for row in calm}


def test_watching_a_day_again_changes_nothing(world: Settings, report: WatchReport) -> None:
    before = everything(world)
    for day in (date(2026, 5, 3), LAST):
        assert not watch(world, Window(day, day), NOW).changed
    assert everything(world) == before


def test_a_window_equals_its_days_one_by_one(world: Settings, report: WatchReport, tmp_path: Path) -> None:
    apart = replace(world, home=tmp_path, tables=replace(world.tables, uri=str(tmp_path / "tables")))
    there, here = Lake.of(world), Lake.of(apart)
    for name in ("touches", "conversions", "sightings", "ingest_counts", "truth_signals", "truth_conversions"):
        here.replace(name, there.read(name), Window(date(2026, 5, 1), LAST))
    for day in Window(date(2026, 5, 1), LAST):
        watch(apart, Window(day, day), NOW)
    assert [here.read(name) for name in ("checks", "findings")] == [there.read(name) for name in ("checks", "findings")]


def test_a_day_that_lost_a_table_stops_its_publication_and_the_mended_day_closes_that(
    world: Settings, report: WatchReport, tmp_path: Path
) -> None:
    apart = replace(world, home=tmp_path, tables=replace(world.tables, uri=str(tmp_path / "tables")))
    there, here, before = Lake.of(world), Lake.of(apart), Window(date(2026, 5, 1), date(2026, 5, 3))
    for name in ("touches", "conversions", "sightings", "ingest_counts"):
        here.replace(
            name, there.read(name, Window(date(2026, 5, 1), date(2026, 5, 5))), Window(date(2026, 5, 1), date(2026, 5, 5))
        )
    for name in ("checks", "findings"):
        here.replace(name, there.read(name, before), before)
    fourth, fifth = Window(date(2026, 5, 4), date(2026, 5, 4)), Window(date(2026, 5, 5), date(2026, 5, 5))
    here.replace("touches", here.read("touches", fourth).slice(0, 0), fourth)
    lost = watch(apart, fourth, NOW)
    assert dict(lost.days) == {str(fourth): "stop"}
    assert "touches" in lost.wants["stop"]
    watch(apart, fifth, NOW)
    closed = [row for row in here.read("findings", fifth).to_pylist() if row["status"] == "closed"]
    assert [(row["cause"], row["level"], row["since"]) for row in closed] == [("missing_day", "calm", str(fourth))]


def test_a_day_that_was_never_taken_in_is_unknown_and_not_calm_and_leaves_nothing_behind(
    world: Settings, report: WatchReport, tmp_path: Path
) -> None:
    before = everything(world)
    for settings, day in ((world, date(2026, 4, 30)), (world, date(2030, 1, 1)), (Settings(home=tmp_path), LAST)):
        with pytest.raises(UnknownDay, match=rf"{day} is unknown: .* `whence ingest {day}`"):
            watch(settings, Window(day, day), NOW)
    assert everything(world) == before


def test_the_day_after_the_last_is_missed_as_before(world: Settings, report: WatchReport, tmp_path: Path) -> None:
    apart = replace(world, home=tmp_path, tables=replace(world.tables, uri=str(tmp_path / "tables")))
    there, here, known = Lake.of(world), Lake.of(apart), Window(date(2026, 5, 1), date(2026, 5, 5))
    for name in ("touches", "conversions", "sightings", "ingest_counts", "checks", "findings"):
        here.replace(name, there.read(name, known), known)
    assert dict(watch(apart, Window(LAST, LAST), NOW).days) == {str(LAST): "stop"}
