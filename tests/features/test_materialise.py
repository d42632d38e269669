"""Materialising: safe to repeat, in any order, in one window or day by day; and what is online is what Feast would say."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import features
from features.online import FIELDS, JOIN_KEYS, OnlineRow
from features.steps import MaterialiseReport
from features.store import HistoryError, opened
from tests.builders import a_click, a_lake, a_sighting, a_touch
from whence.contracts.settings import Features, Settings
from whence.contracts.tables import FEATURES
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.service

ALL = Window.parse("2026-05-01..2026-05-03")


def with_events(home: Path, **changes: Any) -> Settings:
    """Three days of one person at home: one click on the first day, two on the second, three on the third; and a stranger."""
    settings = Settings(home=home, **changes)
    days = [(day, count) for count, day in enumerate(ALL.days, start=1)]
    mine = {"cookie_id": "c1", "ip_key": "home", "user_agent": "Chrome"}
    a_lake(
        home,
        touches=[a_click(f"1{n}:00", day, event_id=f"{day}-{n}", **mine) for day, count in days for n in range(count)]
        + [a_touch("13:00", "2026-05-03", event_id="stranger", device_id="d9", price_micros=None)],
        sightings=[a_sighting("09:00", "2026-05-01", event_id="login", cookie_id="c1", email_hash="e1", ip_key="home")],
        persons=[
            {
                "day": "2026-05-01",
                "seen_at": Window.parse("2026-05-01").end,
                "identifier": identifier,
                "person_id": "p1",
                "probability": 1.0,
                "method": "exact",
            }
            for identifier in ("cookie_id:c1", "email_hash:e1")
        ],
    )
    return settings


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, MaterialiseReport, list[tuple[int, int]]]:
    """The three days, materialised as one window: with what was reported at the end and on the way."""
    settings = with_events(tmp_path_factory.mktemp("done"))
    steps: list[tuple[int, int]] = []
    return settings, features.materialise(settings, ALL, progress=lambda done, total: steps.append((done, total))), steps


@pytest.fixture(scope="module")
def done(first_run: tuple[Settings, MaterialiseReport, list[tuple[int, int]]]) -> Settings:
    return first_run[0]


@pytest.fixture
def redis_settings(tmp_path: Path, redis_address: str) -> Iterator[Settings]:
    settings = with_events(tmp_path, features=Features(online="redis", redis=redis_address))
    yield settings
    with features.open_online(settings) as store:
        for view in FEATURES:
            store.shelf.drop(view)


def shelf_of(settings: Settings) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(settings.home / "feast" / "online.db")) as con:
        return [(view, *row) for view in sorted(FEATURES) for row in con.execute(f"SELECT * FROM {view} ORDER BY key")]


def versions_of(settings: Settings) -> dict[str, int]:
    return {name: Lake.of(settings).version(name) for name in FEATURES}


def intervals_of(settings: Settings) -> list[Any]:
    with opened(settings) as store:
        return store.get_feature_view("network_features").materialization_intervals


def home_network(settings: Settings, now: datetime) -> OnlineRow:
    (row,) = features.read_online(settings, "network_features", [{"ip_key": "home"}], now)
    return row


def test_the_last_day_of_the_window_is_online(done: Settings) -> None:
    row = home_network(done, ALL.end + timedelta(hours=9))
    assert row.values is not None
    assert (row.values["events_1d"], row.values["events_7d"], row.values["persons_7d"]) == (3, 7, 1)
    assert row.values["last_seen_at"] == datetime(2026, 5, 3, 12, tzinfo=UTC)
    assert row.age_hours == 9.0


def test_the_report_counts_rows_and_names_what_changed(
    first_run: tuple[Settings, MaterialiseReport, list[tuple[int, int]]],
) -> None:
    _, report, steps = first_run
    assert report.rows == {
        "identifier_features": 7,
        "network_features": 3,
        "campaign_features": 3,
        "person_features": 3,
        "pair_features": 3,
    }
    assert set(report.changed) == set(FEATURES)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert report.as_dict()["window"] == "2026-05-01..2026-05-03"


def test_a_second_run_changes_no_table_no_online_row_and_no_registry_entry(done: Settings) -> None:
    before = (versions_of(done), shelf_of(done), intervals_of(done))
    assert features.materialise(done, ALL).changed == ()
    assert (versions_of(done), shelf_of(done), intervals_of(done)) == before
    assert len(intervals_of(done)) == 1


def test_days_one_by_one_and_backwards_give_what_the_window_gives(done: Settings, tmp_path: Path) -> None:
    settings = with_events(tmp_path)
    for day in reversed(ALL.days):
        features.materialise(settings, Window.parse(day))
    assert shelf_of(settings) == shelf_of(done)
    for name in FEATURES:
        assert Lake.of(settings).read(name).equals(Lake.of(done).read(name)), name


def test_a_backfill_of_an_older_day_leaves_newer_online_rows_alone(done: Settings) -> None:
    before = shelf_of(done)
    features.materialise(done, Window.parse("2026-05-01"))
    assert shelf_of(done) == before


def test_a_corrected_day_lands_online(tmp_path: Path) -> None:
    settings = with_events(tmp_path)
    features.materialise(settings, Window.parse("2026-05-03"))
    late = a_touch("20:00", "2026-05-03", cookie_id="c1", ip_key="home")
    a_lake(tmp_path, touches=[late])
    features.materialise(settings, Window.parse("2026-05-03"))
    row = home_network(settings, ALL.end)
    assert row.values is not None
    assert row.values["last_seen_at"] == datetime(2026, 5, 3, 20, tzinfo=UTC)


def test_online_equals_what_history_says_of_the_same_instant(done: Settings) -> None:
    now = ALL.end + timedelta(hours=5)
    keys = {"ip_key": "home", "person_id": "p1", "identifier": "cookie_id:c1", "campaign_id": "campaign-1"}
    row = pd.DataFrame([{"row_id": 1, "seen_at": pd.Timestamp(now), **keys}])
    (past,) = features.historical(done, row, tuple(FEATURES)).to_dict("records")
    for view in FEATURES:
        (online,) = features.read_online(done, view, [{key: keys[key] for key in JOIN_KEYS[view]}], now)
        assert online.values == {field: past[f"{view}__{field}"] for field in FIELDS[view]}, view
        assert online.age_hours == past[f"{view}__age_hours"] == 5.0


@pytest.mark.parametrize("kind", ["done", "redis_settings"])
def test_feast_reads_the_same_values_as_we_do(kind: str, request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue(kind)
    features.materialise(settings, ALL)
    rows = [{"ip_key": "home", "person_id": "p1"}, {"ip_key": "home", "person_id": "nobody"}]
    refs = [f"pair_features:{field}" for field in FIELDS["pair_features"]]
    with opened(settings) as store:
        feast = store.get_online_features(features=refs, entity_rows=rows).to_dict()
    ours = features.read_online(settings, "pair_features", rows, ALL.end)
    assert ours[0].values is not None
    for field in FIELDS["pair_features"]:
        seen = feast[field][0]
        assert (
            pd.Timestamp(seen, unit="s", tz="UTC") if field == "last_together_at" and isinstance(seen, int) else seen
        ) == ours[0].values[field]
        assert feast[field][1] is None
    assert ours[1].values is None


def test_fresh_counts_are_online_at_once_and_outlive_an_older_materialisation(tmp_path: Path) -> None:
    settings = with_events(tmp_path)
    features.materialise(settings, Window.parse("2026-05-01..2026-05-02"))
    fresh = datetime(2026, 5, 3, 10, tzinfo=UTC)
    pushed = pd.DataFrame({"ip_key": ["home", "new"], "events_1d": [50, 1], "persons_7d": [9, 1]})
    assert features.push_network_counts(settings, pushed, fresh) == 2

    row = home_network(settings, fresh)
    assert row.values is not None
    assert (row.values["events_1d"], row.values["persons_7d"], row.age_hours) == (50, 9, 0.0)
    assert (row.values["events_7d"], row.values["people"]) == (4, '["p1"]')  # not pushed: as they were

    (new,) = features.read_online(settings, "network_features", [{"ip_key": "new"}], fresh)
    assert new.values == {**dict.fromkeys(FIELDS["network_features"]), "events_1d": 1, "persons_7d": 1}

    features.materialise(settings, Window.parse("2026-05-02"))
    assert home_network(settings, fresh).values == row.values
    features.push_network_counts(settings, pushed.assign(events_1d=1), fresh - timedelta(hours=1))
    assert home_network(settings, fresh).values == row.values
    features.materialise(settings, Window.parse("2026-05-03"))
    newest = home_network(settings, ALL.end)
    assert newest.values is not None
    assert newest.values["events_1d"] == 3


def test_what_is_missing_stays_missing_online(done: Settings) -> None:
    (row,) = features.read_online(done, "identifier_features", [{"identifier": "device_id:d9"}], ALL.end)
    assert row.values is not None
    assert (row.values["person_id"], row.values["person_probability"], row.values["networks_7d"]) == (None, None, 0)
    (campaign,) = features.read_online(done, "campaign_features", [{"campaign_id": "campaign-1"}], ALL.end)
    assert campaign.values is not None
    assert campaign.values["price_mean_micros_7d"] == 5000.0


def test_a_push_of_unknown_columns_is_refused(settings: Settings) -> None:
    with pytest.raises(HistoryError, match="has a column 'clicks'"):
        features.push_network_counts(settings, pd.DataFrame({"ip_key": ["n"], "clicks": [1]}), datetime.now(UTC))
    with pytest.raises(HistoryError, match="has no column 'ip_key'"):
        features.push_network_counts(settings, pd.DataFrame({"events_1d": [1]}), datetime.now(UTC))


def test_feast_knows_every_view_with_its_words_and_each_model_its_service(done: Settings) -> None:
    with opened(done) as store:
        views = {view.name: view for view in store.list_feature_views()}
        services = {service.name for service in store.list_feature_services()}
        registry = store.config.registry.registry_type
    assert set(views) == set(FEATURES)
    assert services == {"identity-ranker", "attribution-ranker", "conversion-value", "exposure-response"}
    assert registry == "sql"
    for name, view in views.items():
        assert {field.name for field in view.features} == set(FIELDS[name])
        assert view.ttl == timedelta(hours=48)
        assert all(field.description for field in view.schema if field.name not in JOIN_KEYS[name])


def test_feast_does_not_change_how_this_process_counts() -> None:
    program = (
        "import os\nbefore = dict(os.environ)\nimport features.store\nassert dict(os.environ) == before\n"
        "from prometheus_client import values\nprint(values.ValueClass.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MutexValue"


def test_feast_s_own_command_line_finds_the_same_store(done: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from feast import FeatureStore

    monkeypatch.setenv("WHENCE_HOME", str(done.home))
    store = FeatureStore(fs_yaml_file=Path(__file__).parents[2] / "infra" / "feast" / "feature_store.yaml")
    found = store.get_online_features(features=["network_features:events_1d"], entity_rows=[{"ip_key": "home"}]).to_dict()
    store.registry.write_engine.dispose()
    assert found["events_1d"] == [3]
    assert not list((Path(__file__).parents[2] / "infra" / "feast").rglob("*.py"))


@pytest.mark.service
def test_two_processes_that_start_at_once_agree(done: Settings, tmp_path: Path) -> None:
    settings = with_events(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=features.materialise, args=(settings, ALL)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert shelf_of(settings) == shelf_of(done)
    for name in FEATURES:
        assert Lake.of(settings).read(name).equals(Lake.of(done).read(name)), name
