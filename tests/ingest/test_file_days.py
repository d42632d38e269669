"""What is remembered of files: a day's ingest reads that day's files alone, and whatever changed is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from infra.commands import app
from tests.builders import some_settings
from whence.contracts.events import INSTANT
from whence.contracts.settings import Settings, Source
from whence.contracts.times import Window
from whence.ingest import ingest, late_days, source_days
from whence.ingest.batch import Batch
from whence.ingest.file_days import Days
from whence.ingest.places import File
from whence.ingest.read import Chunk, file_chunks
from whence.lake import Lake

pytestmark = pytest.mark.service
MAPPING = '[sightings]\nhappened_at = "at"\nkind = { value = "login" }\n'
DAYS = [date(2026, 5, day) for day in (1, 2, 3)]


def write(folder: Path, day: date, *more: str) -> None:
    (folder / f"{day}.csv").write_text("\n".join(["at", f"{day}T10:00:00Z", *more]) + "\n")


@pytest.fixture
def logs(tmp_path: Path) -> Settings:
    """Three files of a day each, all of them read once."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for day in DAYS:
        write(folder, day)
    (tmp_path / "map.toml").write_text(MAPPING)
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=str(folder), mapping=str(tmp_path / "map.toml")))
    ingest(settings, Window(DAYS[0], DAYS[-1]))
    return settings


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read from now on."""
    names: list[str] = []

    def noted(file: File, *rest: Any) -> Iterator[Chunk]:
        names.append(file.name)
        return file_chunks(file, *rest)

    monkeypatch.setattr("whence.ingest.files.file_chunks", noted)
    return names


def rows(settings: Settings) -> int:
    return len(Lake.of(settings).read("sightings"))


def test_a_day_reads_its_own_files_alone(logs: Settings, opened: list[str]) -> None:
    ingest(logs, Window(DAYS[1], DAYS[1]))
    assert opened == ["2026-05-02.csv"]
    assert rows(logs) == 3
    assert source_days(logs) == source_days(logs) == Window(DAYS[0], DAYS[-1])
    assert len(opened) == 4, "once for the days of rows that keep the contract"


def change_a_file(settings: Settings) -> None:
    write(Path(settings.source.path), DAYS[0], "2026-05-02T11:00:00Z")


def test_the_command_says_why_rows_wait_in_quarantine(logs: Settings) -> None:
    write(Path(logs.source.path), DAYS[0], "soon", "later")
    told = CliRunner().invoke(app, ["ingest", "2026-05-01"], obj=logs).output
    assert "happened_at" in told
    assert "row 2 of 2026-05-01.csv: happened_at is 'soon'" in " ".join(told.split())


def change_the_mapping(settings: Settings) -> None:
    Path(settings.source.mapping).write_text(MAPPING + "# other words")


def lose_what_is_remembered(settings: Settings) -> None:
    (settings.home / "ingest-files.json").write_text('{"form": 1, "read_as"')


@pytest.mark.parametrize(
    ("change", "read"), [(change_a_file, [0, 1]), (change_the_mapping, [0, 1, 2]), (lose_what_is_remembered, [0, 1, 2])]
)
def test_what_changed_is_read_again(
    logs: Settings, opened: list[str], change: Callable[[Settings], None], read: list[int]
) -> None:
    change(logs)
    ingest(logs, Window(DAYS[1], DAYS[1]))
    assert opened == [f"{DAYS[at]}.csv" for at in read]
    assert rows(logs) == (4 if change is change_a_file else 3)


def test_a_row_without_a_time_is_found_on_the_first_day_whichever_file_it_is_in(logs: Settings, opened: list[str]) -> None:
    write(Path(logs.source.path), DAYS[2], "soon")
    ingest(logs, Window(DAYS[2], DAYS[2]))
    assert not len(Lake.of(logs).read("quarantine"))
    opened.clear()
    ingest(logs, Window(DAYS[0], DAYS[0]))
    assert opened == ["2026-05-01.csv", "2026-05-03.csv"]
    assert Lake.of(logs).read("quarantine")["source"].to_pylist() == ["2026-05-03.csv"]


def test_rows_that_come_after_their_day_was_taken_in_are_noticed_until_they_are(logs: Settings) -> None:
    write(Path(logs.source.path), date(2026, 5, 4), "2026-04-20T09:00:00Z", "2026-05-01T23:59:59Z")
    next_day = Window.parse("2026-05-04")
    ingest(logs, next_day)
    assert late_days(logs, next_day) == [Window.parse("2026-05-01")], "of 20 April nothing was taken in before"
    ingest(logs, Window.parse("2026-05-01"))
    assert late_days(logs, next_day) == []
    assert rows(logs) == 5


def test_a_day_that_would_lose_rows_since_its_file_is_gone_is_left_and_said(
    logs: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    first, next_day = Path(logs.source.path, "2026-05-01.csv"), Window.parse("2026-05-04")
    write(Path(logs.source.path), DAYS[0], "2026-05-01T12:00:00Z")
    ingest(logs, Window.parse("2026-05-01"))
    kept = first.read_text()
    first.unlink()
    write(Path(logs.source.path), date(2026, 5, 4), "2026-05-01T23:59:59Z")
    ingest(logs, next_day)
    assert late_days(logs, next_day) == []
    assert "its files hold 1 now and 2 were taken in" in caplog.text
    (first.parent / "under-another-name.csv").write_text(kept)
    ingest(logs, next_day)
    assert late_days(logs, next_day) == [Window.parse("2026-05-01")]


def test_a_day_that_was_empty_when_it_was_asked_for_is_late_when_its_file_comes(
    logs: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    empty, today = date(2026, 5, 4), Window.parse("2026-05-06")
    ingest(logs, Window(empty, empty))
    write(Path(logs.source.path), empty)
    write(Path(logs.source.path), date(2026, 5, 5))
    write(Path(logs.source.path), today.first)
    ingest(logs, today)
    assert late_days(logs, today) == [Window(empty, empty)]
    assert "Nobody has asked for 2026-05-05 yet, of which the source has 1 rows." in caplog.text
    ingest(logs, Window(empty, empty))
    assert late_days(logs, today) == []
    assert rows(logs) == 5


def test_the_command_names_what_a_mapping_reads_and_no_row_has(logs: Settings) -> None:
    Path(logs.source.mapping).write_text(MAPPING + 'cookie_id = "user.cokie"\nexternal_id = ["user.id", "user.login"]\n')
    rows = ('{"at": "2026-05-04T10:00:00Z", "user": {"cookie": "c1", "login": "ann"}}', '{"at": "2026-05-04T11:00:00Z"}')
    Path(logs.source.path, "2026-05-04.jsonl").write_text("\n".join(rows))
    for old in Path(logs.source.path).glob("*.csv"):
        old.unlink()
    told = " ".join(CliRunner().invoke(app, ["ingest", "2026-05-04"], obj=logs).output.split())
    assert "No row of sightings has a cookie_id, which the mapping reads from user.cokie. Is that its name in the source?" in told
    assert "external_id" not in told


PAID = """
[conversions]
happened_at = "at"
kind = { value = "purchase" }
order_id = "order"
value_micros = { column = "paid", scale = 1_000_000 }
currency = { value = "EUR" }
source = { value = "server" }
"""


def paid(settings: Settings, day: date, *amounts: str) -> None:
    lines = [f"{day}T10:00:00Z,{day}-{at},{amount}" for at, amount in enumerate(amounts)]
    Path(settings.source.path, f"{day}.csv").write_text("\n".join(["at,order,paid", *lines]) + "\n")


def test_a_file_that_is_delivered_again_with_other_amounts_is_noticed_until_they_are_taken_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "map.toml").write_text(PAID)
    shop = some_settings(tmp_path, source=Source(kind="mapping", path=str(tmp_path / "logs"), mapping=str(tmp_path / "map.toml")))
    for day in DAYS[:2]:
        paid(shop, day, "10.00", "20.00")
    ingest(shop, Window(DAYS[0], DAYS[1]))
    Path(shop.source.path, f"{DAYS[1]}.csv").touch()
    paid(shop, DAYS[0], "10.00", "25.00")
    paid(shop, DAYS[2], "30.00")
    today = Window(DAYS[2], DAYS[2])
    ingest(shop, today)
    assert late_days(shop, today) == [Window(DAYS[0], DAYS[0])], "as many rows as before, and another amount"
    told = CliRunner().invoke(app, ["ingest", str(today)], obj=shop).output
    assert f"Rows of {DAYS[0]} came or changed since it was taken in." in told
    assert ingest(shop, Window(DAYS[0], DAYS[0])).changed == ("conversions",)
    assert late_days(shop, today) == []
    amounts = [row["value_micros"] for row in Lake.of(shop).read("conversions").to_pylist()]
    assert sorted(amounts) == [10_000_000, 10_000_000, 20_000_000, 25_000_000, 30_000_000]
    paid(shop, DAYS[0], "10.00")
    ingest(shop, today)
    assert late_days(shop, today) == []
    assert "its files hold 1 now and 2 were taken in: one is gone, or is shorter" in caplog.text


def test_the_checksum_of_a_day_is_of_its_rows_however_a_file_is_cut_for_reading() -> None:
    times = [datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC), None]

    def read(*parts: list[int]) -> Days:
        days = Days()
        for amounts in parts:
            seen_at = pa.array((times * len(amounts))[: len(amounts)], INSTANT)
            rows = pa.RecordBatch.from_pydict({"seen_at": seen_at, "value_micros": pa.array(amounts, pa.int64())})
            days = days.joined(Batch("conversions", "log.csv", rows, pa.array(range(len(amounts))), "2026-05-01"))
        return days

    whole = read([1, 2, 3, 4, 5, 6])
    assert whole.sums.keys() == whole.rows.keys() == {"2026-05-01", "2026-05-02"}
    assert read([1, 2, 3], [], [4, 5, 6]) == whole
    other = read([1, 2, 3, 4, 50, 6])
    assert (other.sums["2026-05-01"] == whole.sums["2026-05-01"], other.sums["2026-05-02"] == whole.sums["2026-05-02"]) == (
        False,
        True,
    )
