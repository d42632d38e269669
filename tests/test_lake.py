"""Tables are replaced by whole days, left alone when nothing changes, and never half-written or doubled by two writers."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import BrokenTable, Lake, LakeError

FIRST, SECOND = Window.parse("2026-05-01"), Window.parse("2026-05-02")
BOTH = Window.parse("2026-05-01..2026-05-02")


def counts(day: str, *sources: str, read: int = 1) -> pa.Table:
    rows = [
        {"day": day, "table": "touches", "source": s, "read": read, "accepted": read, "duplicates": 0, "quarantined": 0}
        for s in sources
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["ingest_counts"].schema)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "tables"))


def test_a_table_that_nobody_wrote_is_empty(lake: Lake):
    assert lake.read("touches").num_rows == 0
    assert lake.days("touches") == ()
    assert lake.version("touches") == -1


def test_a_folder_may_have_any_name(tmp_path: Path):
    lake = Lake(str(tmp_path / "ours, 100 % ü" / "tables"))
    lake.replace("ingest_counts", counts("2026-05-01", "a"), FIRST)
    assert lake.read("ingest_counts")["source"].to_pylist() == ["a"]


def test_rows_come_back_in_the_order_of_their_key_whatever_order_they_were_written_in(lake: Lake):
    lake.replace("ingest_counts", counts("2026-05-01", "c", "a", "b"), FIRST)
    assert lake.read("ingest_counts")["source"].to_pylist() == ["a", "b", "c"]


def test_writing_a_day_again_replaces_that_day_alone(lake: Lake):
    lake.replace("ingest_counts", counts("2026-05-01", "a"), FIRST)
    lake.replace("ingest_counts", counts("2026-05-02", "a", "b"), SECOND)
    lake.replace("ingest_counts", counts("2026-05-02", "z"), SECOND)
    assert lake.read("ingest_counts").select(["day", "source"]).to_pylist() == [
        {"day": "2026-05-01", "source": "a"},
        {"day": "2026-05-02", "source": "z"},
    ]


def test_the_same_rows_again_make_no_new_version(lake: Lake):
    assert lake.replace("ingest_counts", counts("2026-05-01", "a", "b"), FIRST)
    version = lake.version("ingest_counts")
    assert not lake.replace("ingest_counts", counts("2026-05-01", "b", "a"), FIRST)
    assert lake.version("ingest_counts") == version


def test_what_others_wrote_is_seen_and_a_table_made_anew_is_not_taken_for_the_old_one(lake: Lake):
    lake.replace("ingest_counts", counts("2026-05-01", "a"), FIRST)
    write_deltalake(f"{lake.uri}/ingest_counts", counts("2026-05-02", "b"), mode="append", partition_by=["day"])
    assert lake.days("ingest_counts") == ("2026-05-01", "2026-05-02")
    shutil.rmtree(lake.uri)
    assert lake.version("ingest_counts") == -1
    lake.replace("ingest_counts", counts("2026-05-02", "c"), SECOND)
    assert lake.read("ingest_counts")["source"].to_pylist() == ["c"]
    assert lake.version("ingest_counts") == 0


def test_a_table_of_an_older_version_gets_the_columns_that_came_since(lake: Lake):
    now = TABLES["findings"].schema
    row = dict.fromkeys(now.names, "told") | {"day": "2026-05-01", "money_micros": 5}
    before = pa.Table.from_pylist([row], schema=now).select(now.names[:6])
    worded_otherwise = [field.with_metadata({"doc": f"Once: {field.name}."}) for field in before.schema]
    before = before.cast(pa.schema(worded_otherwise))
    write_deltalake(f"{lake.uri}/findings", before, partition_by=["day"])
    assert lake.read("findings", FIRST)["cause"].to_pylist() == [None]
    lake.replace("findings", pa.Table.from_pylist([row | {"day": "2026-05-02"}], schema=now), SECOND)
    assert lake.read("findings")["cause"].to_pylist() == [None, "told"]


def test_a_window_without_rows_clears_its_days(lake: Lake):
    lake.replace("ingest_counts", pa.concat_tables([counts("2026-05-01", "a"), counts("2026-05-02", "a")]), BOTH)
    lake.replace("ingest_counts", counts("2026-05-02"), SECOND)
    assert lake.days("ingest_counts") == ("2026-05-01",)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (counts("2026-05-02", "a"), "are of 2026-05-02, outside the window 2026-05-01"),
        (counts("2026-05-01", "a", "a"), "repeat a key"),
        (counts("2026-05-01", "a").drop_columns(["read"]), "have no column read"),
    ],
)
def test_rows_that_do_not_belong_are_refused_and_nothing_is_written(lake: Lake, rows: pa.Table, says: str):
    with pytest.raises(LakeError, match=says):
        lake.replace("ingest_counts", rows, FIRST)
    assert lake.version("ingest_counts") == -1


@pytest.mark.service
def test_rows_that_come_some_at_a_time_are_written_as_if_they_came_together(tmp_path: Path):
    apart, together = (Lake(str(tmp_path / name)) for name in ("apart", "together"))
    assert apart.fill("ingest_counts", iter(()), FIRST) == (False, 0)
    for parts in (("c", "a"), ("b",)), (("a",), ("b", "c")), (("b", "c"), ("d",)), ():
        sources = [source for part in parts for source in part]
        changed = together.replace("ingest_counts", counts("2026-05-01", *sources), FIRST)
        assert apart.fill("ingest_counts", (counts("2026-05-01", *part) for part in parts), FIRST) == (changed, len(sources))
        assert apart.read("ingest_counts").equals(together.read("ingest_counts"))
    with pytest.raises(LakeError, match="repeat a key"):
        apart.fill("ingest_counts", [counts("2026-05-01", "a")] * 2, FIRST)
    assert apart.version("ingest_counts") == together.version("ingest_counts")


@pytest.mark.service
def test_a_part_is_filled_and_read_by_itself(lake: Lake):
    for source in ("a", "b", "a"):
        lake.fill("ingest_counts", [counts("2026-05-01", source)], FIRST, {"source": source})
    assert lake.version("ingest_counts") == 1
    assert lake.read("ingest_counts", part={"source": "b"}).equals(counts("2026-05-01", "b"))


def test_a_view_shows_the_days_of_the_window_only(lake: Lake):
    lake.replace("ingest_counts", pa.concat_tables([counts("2026-05-01", "a"), counts("2026-05-02", "a", "b")]), BOTH)
    with lake.connect(SECOND, "ingest_counts") as con:
        assert con.sql("SELECT count(*) FROM ingest_counts").fetchall() == [(2,)]


def _write_day(uri: str, day: int) -> bool:
    window = Window.parse(f"2026-05-{day:02d}")
    return Lake(uri).replace("ingest_counts", counts(str(window), "a", "b"), window)


def _write_contested(uri: str, writer: int) -> bool:
    names = ("a", "b", "c", "d")[: writer % 4 + 1]
    return Lake(uri).replace("ingest_counts", counts("2026-05-01", *names, read=writer), FIRST)


@pytest.mark.service
def test_writers_at_once_lose_no_day_and_mix_no_rows(lake: Lake):
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert all(pool.map(_write_day, [lake.uri] * 8, range(1, 9)))
        list(pool.map(_write_contested, [lake.uri] * 8, range(8)))
    assert len(lake.days("ingest_counts")) == 8
    contested = lake.read("ingest_counts", FIRST)
    winner = contested["read"].unique().to_pylist()
    assert len(winner) == 1, "rows of two writers are mixed"
    assert contested.num_rows == winner[0] % 4 + 1


@pytest.mark.parametrize("breaks", [lambda file: file.unlink(), lambda file: file.write_bytes(b"PAR1")], ids=["gone", "cut off"])
def test_a_day_whose_file_is_broken_is_named_and_written_anew(lake: Lake, breaks: Callable[[Path], object]):
    lake.replace("ingest_counts", counts("2026-05-01", "a"), FIRST)
    lake.replace("ingest_counts", counts("2026-05-02", "b"), SECOND)
    breaks(next(Path(lake.uri).glob("ingest_counts/day=2026-05-01/*.parquet")))
    with pytest.raises(BrokenTable, match=r"ingest_counts has a file that cannot be read.*day=2026-05-01"):
        lake.read("ingest_counts")
    assert lake.replace("ingest_counts", counts("2026-05-01", "a"), FIRST)
    assert lake.read("ingest_counts")["source"].to_pylist() == ["a", "b"]


def decisions(route: str, model: str, *names: str) -> pa.Table:
    table = TABLES["decisions"].schema
    plain = {"day": "2026-05-01", "made_at": datetime(2026, 5, 1, tzinfo=UTC), "route": route, "model": model, "bundle": "b"}
    told = [{**dict.fromkeys(table.names), **plain, "decision_id": each, "subject": each, "features": "{}"} for each in names]
    return pa.Table.from_pylist(told, schema=table)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def flip(file: Path) -> None:
    """One bit of the first page is another one."""
    held = bytearray(file.read_bytes())
    held[4] ^= 0x40
    file.write_bytes(held)


@pytest.mark.parametrize("breaks", [Path.unlink, cut, flip], ids=["gone", "cut off", "flipped"])
@pytest.mark.parametrize(
    "write", [Lake.replace, lambda lake, name, rows, *rest: lake.fill(name, [rows], *rest).changed], ids=["replace", "fill"]
)
def test_a_part_whose_file_is_broken_is_written_anew_and_what_else_was_lost_is_told(
    lake: Lake, breaks: Callable[[Path], object], write: Callable[..., bool], caplog: pytest.LogCaptureFixture
):
    ranker, online = {"route": "batch", "model": "identity-ranker"}, {"route": "online"}
    mine, theirs, served = (
        decisions(*ranker.values(), "a", "b"),
        decisions("batch", "conversion-value", "c"),
        decisions("online", "m", "d"),
    )
    parts = ((mine, ranker), (theirs, {"route": "batch", "model": "conversion-value"}), (served, online))
    for rows, part in parts:
        lake.replace("decisions", rows, FIRST, part)
    held = {pq.read_table(file)["decision_id"][0].as_py(): Path(file) for file in lake.files("decisions")}
    assert sorted(held) == ["a", "c", "d"]
    breaks(held["a"])
    breaks(held["d"])
    with pytest.raises(BrokenTable, match=r"decisions has a file that cannot be read.*`whence resolve DAY`"):
        lake.read("decisions")
    assert write(lake, "decisions", mine, FIRST, ranker)
    assert lake.read("decisions")["decision_id"].to_pylist() == ["a", "b", "c"]
    told = "decisions of 2026-05-01 has a file that cannot be read: it is left out with its 1 row (route online, model m)"
    assert sum(each.startswith(told) for each in caplog.messages) == 1
    assert len(caplog.messages) == 2
    assert not write(lake, "decisions", mine, FIRST, ranker)


def test_a_file_that_is_not_ours_to_read_is_left_where_it_is(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    lake.replace("ingest_counts", counts("2026-05-01", "a"), FIRST)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(PermissionError):
            lake.mend("ingest_counts", FIRST)
    assert lake.read("ingest_counts")["source"].to_pylist() == ["a"]
