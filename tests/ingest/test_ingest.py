"""Taking days in: once is as good as twice, a window is its days, and every row is accounted for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import FIRST_DAY, a_world, some_settings
from whence.contracts.events import EVENTS
from whence.contracts.settings import Scenario, Settings, Source, World
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.ingest import IngestError, ingest, source_days
from whence.lake import Lake
from whence.world import simulate

pytestmark = pytest.mark.service
INGESTED = ("touches", "conversions", "sightings", "quarantine", "ingest_counts", "truth_signals", "truth_conversions")
WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=3))


def contents(settings: Settings) -> dict[str, pa.Table]:
    lake = Lake.of(settings)
    return {name: lake.read(name) for name in INGESTED}


def versions(settings: Settings) -> dict[str, int]:
    lake = Lake.of(settings)
    return {name: lake.version(name) for name in INGESTED}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small world, taken in once; tests may take the same days in again, and nothing else."""
    return a_world(tmp_path_factory.mktemp("world"))


def test_the_second_time_changes_nothing(settings: Settings) -> None:
    before = versions(settings)
    again = ingest(settings, WINDOW)
    assert again.changed == ()
    assert versions(settings) == before


def test_a_window_is_its_days_one_by_one(tmp_path: Path, settings: Settings) -> None:
    daily = some_settings(tmp_path / "daily", world=settings.world)
    for day in WINDOW:
        ingest(daily, Window(day, day))
    for name, rows in contents(settings).items():
        assert contents(daily)[name].equals(rows), name


def test_a_day_that_is_run_again_after_later_ones_stays_as_it_was(settings: Settings) -> None:
    assert ingest(settings, Window(FIRST_DAY, FIRST_DAY)).changed == ()


def test_read_is_accepted_and_duplicates_and_quarantined(settings: Settings) -> None:
    report = ingest(settings, WINDOW)
    for name in EVENTS:
        files = sorted(settings.world_events.glob(f"*/{name}-*.parquet"))
        tally = report.tables[name]
        assert tally.read == sum(pq.ParquetFile(f).metadata.num_rows for f in files)
        assert tally.read == tally.accepted + tally.duplicates + tally.quarantined
        assert tally.accepted == Lake.of(settings).read(name).num_rows
        assert tally.duplicates > 0, "the world delivers some rows twice"
    counts = Lake.of(settings).read("ingest_counts").to_pylist()
    assert sum(row["read"] for row in counts) == report.total.read
    assert all(row["read"] == row["accepted"] + row["duplicates"] + row["quarantined"] for row in counts)


def test_an_event_delivered_again_on_a_later_day_is_known(settings: Settings) -> None:
    ids = Lake.of(settings).read("touches", columns=["event_id"])["event_id"]
    assert len(ids) == len(ids.unique())
    days = "SELECT event_id FROM read_parquet('{}/*/touches-*.parquet', hive_partitioning = true) GROUP BY 1 HAVING count(DISTINCT day) > 1"
    with Lake.of(settings).connect(None, "touches") as con:
        assert len(con.sql(days.format(settings.world_events)).fetchall()) > 0, "otherwise this test shows nothing"


def test_each_row_lies_under_the_day_on_which_it_was_seen(settings: Settings) -> None:
    for name in EVENTS:
        with Lake.of(settings).connect(None, name) as con:
            found = con.sql(
                f"SELECT count(*) FILTER (day <> strftime(seen_at, '%Y-%m-%d')), count(DISTINCT day) FROM {name}"
            ).fetchall()
        assert found == [(0, 4)]


def test_ingest_makes_the_world_when_it_is_not_there(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, world=World(people=50, days=2, first_day=FIRST_DAY))
    assert not settings.world_events.exists()
    assert ingest(settings, source_days(settings)).total.accepted > 50
    assert settings.world_events.exists()


def test_a_day_whose_world_has_changed_is_replaced_and_not_added_to(tmp_path: Path) -> None:
    settings = a_world(tmp_path)
    before = Lake.of(settings).read("touches")
    lossy = some_settings(
        tmp_path, world=World(people=200, days=4, first_day=FIRST_DAY, scenarios=(Scenario("tracker_outage", WINDOW.last),))
    )
    assert "touches" in ingest(lossy, Window(WINDOW.last, WINDOW.last)).changed
    after = Lake.of(settings).read("touches")
    last = WINDOW.last.isoformat()
    assert after.num_rows < before.num_rows
    early = Window(WINDOW.first, WINDOW.last - timedelta(days=1))
    assert all(day < last for day in early.days)
    assert Lake.of(settings).read("touches", early).equals(before.filter(pa.compute.less(before["day"], last)))


def test_bad_rows_of_the_world_go_to_quarantine_with_their_place(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, world=World(people=50, days=1, first_day=FIRST_DAY))
    simulate(settings)
    [path] = settings.world_events.glob("*/conversions-*.parquet")
    rows = pq.read_table(path).to_pylist()
    rows[1]["currency"] = "DOUBLOON"
    rows[2]["happened_at"] += timedelta(days=3)
    pq.write_table(pa.Table.from_pylist(rows, schema=EVENTS["conversions"]), path)
    report = ingest(settings, Window(FIRST_DAY, FIRST_DAY))
    assert report.tables["conversions"].quarantined == 2
    found = Lake.of(settings).read("quarantine").to_pylist()
    assert [(r["row"], r["field"], r["source"]) for r in found] == [
        (2, "currency", "day=2026-05-01/conversions-00000.parquet"),
        (3, "happened_at", "day=2026-05-01/conversions-00000.parquet"),
    ]
    assert found[0]["event_id"] == rows[1]["event_id"]


def test_a_truncated_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, world=World(people=50, days=2, first_day=FIRST_DAY))
    simulate(settings)
    path = settings.world_events / "day=2026-05-02" / "conversions-00000.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IngestError, match=r"day=2026-05-02/conversions-00000\.parquet is no whole Parquet file"):
        ingest(settings, source_days(settings))
    assert all(Lake.of(settings).version(name) == -1 for name in INGESTED)
    assert not list(settings.home.glob("ingest-*")), "the staging folder is gone"


def test_all_tables_hold_what_their_contract_says(settings: Settings) -> None:
    for name, rows in contents(settings).items():
        assert rows.schema.equals(TABLES[name].schema)
        for column in TABLES[name].schema:
            if not column.nullable:
                assert rows[column.name].null_count == 0


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="Expected world, talkingdata, criteo or mapping"):
        source_days(some_settings(tmp_path, source=Source(kind="carrier_pigeon")))
