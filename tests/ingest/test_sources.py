"""The public click logs: what a line becomes, and what a spoiled line says."""

from __future__ import annotations

import gzip
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.builders import an_instant, some_settings
from whence.contracts.settings import Settings, Source
from whence.contracts.times import Window
from whence.ingest import IngestError, ingest, source_days
from whence.ingest.criteo import NEEDED as CRITEO_COLUMNS
from whence.lake import Lake

SAMPLE = Path(__file__).parents[2] / "../shared/data/talkingdata_100k/train_sample.csv"
HEADER = "ip,app,device,os,channel,click_time,attributed_time,is_attributed"
CLICK = "87540,12,1,13,497,2017-11-07 09:30:38,,0"
BOUGHT = "105560,25,1,17,259,2017-11-07 13:40:27,2017-11-08 08:00:00,1"


def talkingdata(folder: Path, *lines: str, header: str = HEADER, **changes: object) -> Settings:
    path = folder / "clicks.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return some_settings(folder, source=Source(kind="talkingdata", path=str(path), **changes))  # type: ignore[arg-type]


def criteo(folder: Path, *rows: dict[str, object]) -> Settings:
    lines = ["\t".join(str(row.get(name, -1)) for name in CRITEO_COLUMNS) for row in rows]
    path = folder / "criteo.tsv.gz"
    path.write_bytes(gzip.compress(("\n".join(["\t".join(CRITEO_COLUMNS), *lines]) + "\n").encode()))
    return some_settings(folder, source=Source(kind="criteo", path=str(path)))


def an_impression(**changes: object) -> dict[str, object]:
    plain = {
        "timestamp": 0,
        "uid": 20073966,
        "campaign": 22589171,
        "conversion": 0,
        "attribution": 0,
        "click": 0,
        "cost": 0.00001,
        "cat1": 5824233,
    }
    return {**plain, **changes}


def all_of(settings: Settings) -> Window:
    window = source_days(settings)
    ingest(settings, window)
    return window


def test_a_click_is_a_touch_and_its_attributed_time_an_install_with_the_same_click_id(tmp_path: Path) -> None:
    settings = talkingdata(tmp_path, CLICK, BOUGHT)
    assert str(all_of(settings)) == "2017-11-07..2017-11-08"
    lake = Lake.of(settings)
    plain, bought = sorted(lake.read("touches").to_pylist(), key=lambda row: row["happened_at"])
    assert (plain["campaign_id"], plain["channel"], plain["user_agent"], plain["kind"]) == ("12", "497", "1/13", "click")
    assert plain["seen_at"] == plain["happened_at"] == an_instant("2017-11-07T09:30:38Z")
    assert plain["click_id"] == plain["touch_id"]
    [install] = lake.read("conversions").to_pylist()
    assert (install["kind"], install["value_micros"], install["currency"]) == ("install", 1_000_000, "USD")
    assert install["click_id"] == bought["touch_id"]
    assert install["device_id"] == bought["device_id"] != plain["device_id"]
    assert (install["day"], install["seen_at"]) == ("2017-11-08", an_instant("2017-11-08T08:00:00Z"))


def test_the_same_line_twice_is_one_click(tmp_path: Path) -> None:
    settings = talkingdata(tmp_path, CLICK, BOUGHT, CLICK)
    tally = ingest(settings, source_days(settings)).tables["touches"]
    assert (tally.read, tally.accepted, tally.duplicates) == (3, 2, 1)


def test_a_tenth_of_the_lines_twice_is_counted_to_the_line(tmp_path: Path) -> None:
    lines = [f"{i},12,1,13,497,2017-11-07 09:{i // 60:02}:{i % 60:02},,0" for i in range(500)]
    settings = talkingdata(tmp_path, *lines, *lines[::10])
    tally = ingest(settings, source_days(settings)).tables["touches"]
    assert (tally.read, tally.accepted, tally.duplicates, tally.quarantined) == (550, 500, 50, 0)


def test_no_address_enters_a_table(tmp_path: Path) -> None:
    settings = talkingdata(tmp_path, CLICK)
    all_of(settings)
    [touch] = Lake.of(settings).read("touches").to_pylist()
    assert "87540" not in {str(value) for value in touch.values()}


def test_the_key_of_the_hashes_is_the_installations_own_and_stays(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = talkingdata(tmp_path / "here", CLICK), talkingdata(tmp_path / "there", CLICK)
    all_of(here)
    all_of(there)
    network = {name: Lake.of(s).read("touches")["ip_key"].to_pylist() for name, s in (("here", here), ("there", there))}
    assert network["here"] != network["there"]
    assert ingest(here, source_days(here)).changed == ()
    assert (here.home / "ingest.key").stat().st_mode & 0o777 == 0o600


def test_the_log_can_be_moved_in_time(tmp_path: Path) -> None:
    assert source_days(talkingdata(tmp_path, CLICK, shift_days=10)) == Window(date(2017, 11, 17), date(2017, 11, 17))


SPOILED = [
    ("87540,12,1,13,497,yesterday,,0", "touches", "click_time", "click_time is 'yesterday'. Expected a UTC time as"),
    ("87540,12,1,13,497,,,0", "touches", "happened_at", "happened_at is missing"),
    ("87540,12,1,13,497,2017-11-07 10:00:00,soon,1", "conversions", "attributed_time", "attributed_time is 'soon'"),
    (
        "87540,12,1,13,497,2017-11-07 10:00:00,,1",
        "conversions",
        "attributed_time",
        "is_attributed is 1 and attributed_time is empty",
    ),
    ("87540,12,1,13,497,2017-11-07 10:00:00,2017-11-07 09:00:00,1", "conversions", "happened_at", "comes before its own touch"),
    ("87540,,1,13,497,2017-11-07 10:00:00,,0", "touches", "campaign_id", "campaign_id is missing"),
    ("87540,12,1,13", "touches", "(line)", "The line has 4 cells and the header 8"),
]


@pytest.mark.parametrize(
    ("line", "table", "field", "reason"), SPOILED, ids=[f"{table}-{field}" for _, table, field, _ in SPOILED]
)
def test_a_spoiled_line_is_set_aside_with_its_number_and_the_rest_goes_on(
    tmp_path: Path, line: str, table: str, field: str, reason: str
) -> None:
    settings = talkingdata(tmp_path, CLICK, line, BOUGHT)
    report = ingest(settings, source_days(settings))
    assert report.tables[table].quarantined == 1
    assert report.total.read == report.total.accepted + report.total.duplicates + report.total.quarantined
    [found] = Lake.of(settings).read("quarantine").to_pylist()
    assert (found["table"], found["source"], found["row"], found["field"]) == (table, "clicks.csv", 2, field)
    assert reason in found["reason"]


@pytest.mark.service
def test_a_line_without_a_usable_time_is_refused_once_whatever_the_windows(tmp_path: Path) -> None:
    settings = talkingdata(tmp_path, CLICK, "87540,12,1,13,497,yesterday,,0", BOUGHT)
    total = sum(ingest(settings, Window(day, day)).total.quarantined for day in source_days(settings))
    assert total == 1


@pytest.mark.service
@pytest.mark.skipif(not SAMPLE.exists(), reason="the TalkingData sample is not on this machine (../shared/data/talkingdata_100k)")
def test_the_real_sample_goes_in_whole(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, source=Source(kind="talkingdata", path=str(SAMPLE)))
    report = ingest(settings, source_days(settings))
    assert (report.tables["touches"].read, report.tables["touches"].accepted) == (100_000, 99_999)
    assert (report.tables["conversions"].accepted, report.total.quarantined) == (227, 0)


def test_an_impression_is_a_view_or_a_click_and_paid_in_no_currency(tmp_path: Path) -> None:
    settings = criteo(tmp_path, an_impression(cost=0.5), an_impression(timestamp=90_000, click=1, click_pos=0, click_nb=1))
    assert str(all_of(settings)) == "2017-01-01..2017-01-02"
    view, click = sorted(Lake.of(settings).read("touches").to_pylist(), key=lambda row: row["happened_at"])
    assert (view["kind"], view["click_id"], view["price_micros"], view["currency"]) == ("view", None, 500_000, "XXX")
    assert (click["kind"], click["click_id"]) == ("click", click["touch_id"])
    assert click["cookie_id"] == view["cookie_id"] != "20073966"
    assert click["happened_at"] == datetime.fromisoformat("2017-01-02T01:00:00+00:00")


def test_a_conversion_that_each_impression_of_its_path_names_is_one_with_the_last_clicks_id(tmp_path: Path) -> None:
    bought = {"conversion": 1, "conversion_timestamp": 5000, "conversion_id": 77, "click": 1, "click_nb": 2}
    path = [an_impression(timestamp=1000, click_pos=0, **bought), an_impression(timestamp=2000, click_pos=1, **bought)]
    settings = criteo(tmp_path, *path, an_impression(timestamp=9000))
    report = ingest(settings, source_days(settings))
    tally = report.tables["conversions"]
    assert (tally.read, tally.accepted, tally.duplicates) == (2, 1, 1)
    lake = Lake.of(settings)
    [conversion] = lake.read("conversions").to_pylist()
    last = max((t for t in lake.read("touches").to_pylist() if t["click_id"]), key=lambda row: row["happened_at"])
    assert conversion["click_id"] == last["click_id"]
    assert conversion["conversion_id"] == "77"


def test_criteos_spoiled_lines_are_set_aside(tmp_path: Path) -> None:
    early = {"conversion": 1, "conversion_timestamp": 10, "conversion_id": 5}
    settings = criteo(
        tmp_path,
        an_impression(),
        an_impression(timestamp="noon"),
        an_impression(cost="free"),
        an_impression(timestamp=1000, **early),
        an_impression(conversion=1, conversion_timestamp=10),
    )
    ingest(settings, source_days(settings))
    found = {(row["table"], row["row"], row["field"]) for row in Lake.of(settings).read("quarantine").to_pylist()}
    assert found == {
        ("touches", 2, "timestamp"),
        ("touches", 3, "cost"),
        ("conversions", 4, "happened_at"),
        ("conversions", 5, "conversion_id"),
    }


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    settings = talkingdata(tmp_path, "1,2,3", header="ip,app,device")
    with pytest.raises(IngestError, match=r"clicks\.csv has no column 'os'\. Its columns are ip, app, device"):
        ingest(settings, Window(date(2017, 11, 7), date(2017, 11, 7)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"clicks\.csv is empty: not even a header"),
        (HEADER.encode() + b"\n", r"has no row with a usable time"),
        (HEADER.encode() + b"\n1,2,\xff\xfe,4,5,2017-11-07 09:30:38,,0\n", r"no readable CSV.*UTF-?8"),
    ],
    ids=["no bytes", "a header alone", "not UTF-8"],
)
def test_a_file_that_cannot_be_read_says_so_and_writes_nothing(tmp_path: Path, content: bytes, message: str) -> None:
    settings = talkingdata(tmp_path)
    Path(settings.source.path).write_bytes(content)
    with pytest.raises(IngestError, match=message):
        ingest(settings, source_days(settings))
    assert Lake.of(settings).version("touches") == -1


def test_a_column_that_no_object_has_is_named_where_no_time_was_found(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"at": "2026-05-01T10:00:00Z"}\n')
    (tmp_path / "map.toml").write_text('[sightings]\nhappened_at = "ts"\nkind = { value = "login" }\n')
    source = Source(kind="mapping", path=str(tmp_path / "log.jsonl"), mapping=str(tmp_path / "map.toml"))
    with pytest.raises(IngestError, match="nothing is called 'ts'; there are at"):
        source_days(some_settings(tmp_path, source=source))


def test_a_gzip_that_was_cut_off_says_so(tmp_path: Path) -> None:
    settings = criteo(tmp_path, *[an_impression(uid=i, campaign=i * 7919) for i in range(3000)])
    path = Path(settings.source.path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(IngestError, match=r"criteo\.tsv\.gz is no readable CSV"):
        source_days(settings)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"There is nothing at nowhere\.csv"):
        source_days(some_settings(tmp_path, source=Source(kind="talkingdata", path="nowhere.csv")))
