"""Any file or table through a mapping: how fields are made, and what a mistake in either says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from tests.builders import an_instant, some_settings
from whence.contracts.settings import Settings, Source, Tables
from whence.contracts.times import Window
from whence.ingest import IngestError, ingest, source_days
from whence.ingest.mapping import parse
from whence.lake import Lake

DAY = date(2026, 5, 1)
CLICKS = """
[touches]
touch_id = "id"
happened_at = "at"
kind = { column = "what", map = { imp = "view", clk = "click" } }
campaign_id = "campaign"
channel = { value = "search" }
price_micros = { column = "cost", scale = 1_000_000 }
currency = { value = "EUR" }
cookie_id = { column = "visitor", hash = "keyed" }
email_hash = { column = "email", hash = "email" }
ip_key = { column = "ip", hash = "ip" }
holdout = "held"
only = { column = "what", is = ["imp", "clk"] }

[sightings]
happened_at = "at"
kind = { value = "login" }
email_hash = { column = "email", hash = "email" }
only = { column = "what", is = "log-in" }
"""
HEADER = "id,at,what,campaign,cost,visitor,email,ip,held"
CLICK = "c1,2026-05-01T10:00:00+02:00,clk,brand,1.25,v1,Jane@Doe.example,10.0.0.1,false"
LOGIN = "l1,2026-05-01T11:00:00Z,log-in,,,v1,jane@doe.example,10.0.0.1,"


def mapped(folder: Path, mapping: str, content: str | pa.Table, name: str = "events.csv", **source: object) -> Settings:
    """Settings of a mapping and a file of that content."""
    (folder / "map.toml").write_text(mapping)
    path = folder / name
    if isinstance(content, str):
        path.write_text(content)
    else:
        pq.write_table(content, path)
    return some_settings(folder, source=Source(kind="mapping", path=str(path), mapping=str(folder / "map.toml"), **source))  # type: ignore[arg-type]


def taken(settings: Settings, table: str = "touches") -> list[dict[str, object]]:
    ingest(settings, source_days(settings))
    return sorted(Lake.of(settings).read(table).to_pylist(), key=lambda row: str(row.get("happened_at")))


def test_a_row_becomes_what_the_mapping_says(tmp_path: Path) -> None:
    settings = mapped(tmp_path, CLICKS, f"{HEADER}\n{CLICK}\n{LOGIN}\n")
    [touch] = taken(settings)
    assert touch["happened_at"] == touch["seen_at"] == an_instant("2026-05-01T08:00:00Z")
    assert (touch["touch_id"], touch["kind"], touch["channel"], touch["holdout"]) == ("c1", "click", "search", False)
    assert (touch["price_micros"], touch["currency"], touch["consent"]) == (1_250_000, "EUR", "unknown")
    assert touch["email_hash"] == hashlib.sha256(b"jane@doe.example").hexdigest()
    assert len(str(touch["ip_key"])) == 16
    [login] = Lake.of(settings).read("sightings").to_pylist()
    assert login["email_hash"] == touch["email_hash"], "the same person, whatever the capitals"
    assert not {"10.0.0.1", "v1", "Jane@Doe.example"} & {str(value) for value in touch.values()}


def test_a_phone_number_without_a_country_code_is_taken_when_the_mapping_says_whose_it_is(tmp_path: Path) -> None:
    mapping = '[sightings]\nhappened_at = "at"\nkind = { value = "login" }\nphone_hash = { column = "tel", hash = "phone"'
    rows = "at,tel\n2026-05-01T10:00:00Z,07700 900123\n2026-05-01T11:00:00Z,+44 7700 900123\n"
    known = hashlib.sha256(b"+447700900123").hexdigest()
    for region, first in ((', region = "GB" }', known), (" }", None)):
        folder = tmp_path / (first or "none")
        folder.mkdir()
        found = taken(mapped(folder, mapping + region, rows), "sightings")
        assert [row["phone_hash"] for row in found] == [first, known]


def test_no_conversion_is_lost_to_a_float(tmp_path: Path) -> None:
    mapping = """
        [conversions]
        conversion_id = "id"
        happened_at = { column = "at", unit = "ms" }
        kind = { value = "purchase" }
        value_micros = { column = "paid", scale = 1_000_000 }
        currency = "money"
        source = { value = "server" }"""
    rows = [f"{i},1777629600000,{paid},USD" for i, paid in enumerate(("0.1", "0.2", "1234567.89", "4.35"))]
    found = taken(mapped(tmp_path, mapping, "\n".join(["id,at,paid,money", *rows])), "conversions")
    assert sorted(row["value_micros"] for row in found) == [100_000, 200_000, 4_350_000, 1_234_567_890_000]  # type: ignore[type-var]
    assert {row["happened_at"] for row in found} == {datetime(2026, 5, 1, 10, tzinfo=UTC)}


def test_of_several_columns_the_first_that_is_filled_counts_or_all_together(tmp_path: Path) -> None:
    mapping = """
        [touches]
        event_id = { column = ["at", "idfa", "gaid"], joined = true }
        happened_at = "at"
        kind = { value = "click" }
        campaign_id = "campaign"
        channel = { value = "social" }
        price_micros = { column = "cost", scale = 1_000_000, decimal = "," }
        currency = { value = "EUR" }
        device_id = ["idfa", "gaid"]
        only = { column = "campaign", not = ["(direct)"] }"""
    at = "2026-05-01T10:00:00Z"
    rows = (f"{at};i1;g1;brand;1.234,56", f"{at};;g2;brand;0,07", f"{at};;g2;brand;0,07", f"{at};;g3;(direct);1", f"{at};;g4;;1")
    settings = mapped(tmp_path, f'[source]\ndelimiter = ";"\n{mapping}', "\n".join(["at;idfa;gaid;campaign;cost", *rows]))
    found = {row["device_id"]: row for row in taken(settings)}
    assert {name: row["price_micros"] for name, row in found.items()} == {"i1": 1_234_560_000, "g2": 70_000}
    assert found["g2"]["event_id"] == f"{at}||g2"


PAID = """
[conversions]
happened_at = {{ column = "at"{how} }}
seen_at = "seen"
kind = {{ value = "purchase" }}
value_micros = {{ column = "paid", {amount} }}
currency = {{ value = "EUR" }}
source = {{ value = "server" }}
"""
IN_UNITS, AT = "scale = 1_000_000", "2026-05-01T10:00:00Z"


def refused(folder: Path, cell: str, how: str = "", amount: str = IN_UNITS, at: str = AT, fine: str = AT) -> list[str]:
    """Why a row with this amount and time was set aside, beside one that is as it should be."""
    lines = ["at;paid;seen", f"{at};{cell};{AT}", f"{fine};7;{AT}"]
    settings = mapped(folder, f'[source]\ndelimiter = ";"\n{PAID.format(how=how, amount=amount)}', "\n".join(lines))
    ingest(settings, Window.parse("2026-05-01"))
    return [str(row["reason"]) for row in Lake.of(settings).read("quarantine").to_pylist()]


@pytest.mark.parametrize("cell", ["12.50", "1.23,4", "1234.567", "1,234.56"])
def test_an_amount_whose_points_cannot_stand_between_thousands_is_not_a_hundred_times_more(tmp_path: Path, cell: str) -> None:
    [reason] = refused(tmp_path, cell, amount=f'{IN_UNITS}, decimal = ","')
    assert f"value_micros is '{cell}'. Expected a number as 1.234,56" in reason


def test_whole_units_without_a_scale_are_not_taken_for_millionths(tmp_path: Path) -> None:
    [reason] = refused(tmp_path, "49.99", amount="scale = 1")
    assert (
        "value_micros is '49.99'. Expected a whole number of micros; for units of the currency add scale = 1_000_000." in reason
    )


@pytest.mark.parametrize(
    ("at", "fine", "how"),
    [
        ("0", "1777629600000", 'unit = "ms"'),
        ("1777629600", "1777629600000", 'unit = "ms"'),
        ("1777629600000", "1777629600", 'unit = "s"'),
        ("1970-01-01T00:00:00Z", AT, 'zone = "UTC"'),
        ("0001-01-01 00:00:00", "2026-05-01 12:00:00", 'zone = "Asia/Tokyo"'),
    ],
)
def test_a_time_that_no_day_would_ever_ask_for_is_set_aside_and_counted(tmp_path: Path, at: str, fine: str, how: str) -> None:
    [reason] = refused(tmp_path, "7", f", {how}", at=at, fine=fine)
    assert f"happened_at is '{at}'. Expected a time" in reason
    assert "1990 to 2199" in reason or at.startswith("0001")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_of_the_hour_that_comes_twice_the_first_is_meant_and_none_of_that_which_is_left_out(tmp_path: Path, kind: str) -> None:
    mapping = """
        [sightings]
        happened_at = { column = "at", zone = "Europe/Berlin" }
        seen_at = { column = "seen", zone = "UTC" }
        kind = { value = "login" }"""
    clocks = ["2026-10-25 01:59:00", "2026-10-25 02:30:00", "2026-10-25 03:00:00", "2026-03-29 02:30:00"]
    content: str | pa.Table = "at,seen\n" + "\n".join(f"{each},2026-10-25 12:00:00" for each in clocks)
    if kind == "parquet":
        times = pa.array([datetime.fromisoformat(each) for each in clocks], pa.timestamp("us"))
        content = pa.table({"at": times, "seen": pa.array(["2026-10-25 12:00:00"] * len(clocks))})
    settings = mapped(tmp_path, mapping, content, f"events.{kind}")
    ingest(settings, Window.parse("2026-10-25"))
    told = sorted(row["happened_at"] for row in Lake.of(settings).read("sightings").to_pylist())
    assert [at.strftime("%d %H:%M") for at in told] == ["24 23:59", "25 00:30", "25 02:00"]
    [left] = Lake.of(settings).read("quarantine").to_pylist()
    assert (left["row"], left["field"]) == (4, "happened_at")
    assert "which clocks in Europe/Berlin show" in left["reason"]


def test_rows_with_a_minus_are_refunds_and_tests_are_nobodys_money(tmp_path: Path) -> None:
    section = """
        [[conversions]]
        only = [{{ column = "test", not = ["true"], empty = true }}, {{ column = "paid", negative = {is_refund} }}]
        conversion_id = "id"
        happened_at = "at"
        kind = {{ value = "{kind}" }}
        value_micros = {{ column = "paid", scale = 1_000_000 }}
        currency = {{ value = "USD" }}
        source = {{ value = "sdk" }}"""
    mapping = section.format(is_refund="false", kind="purchase") + section.format(is_refund="true", kind="refund")
    rows = ["1,9.99,false", "2,-9.99,false", "3,5,true", "4,-5,true", "5,0,", "6,\u22121,false"]
    lines = [f"2026-05-01T10:00:00Z,{row}" for row in rows]
    settings = mapped(tmp_path, mapping, "\n".join(["at,id,paid,test", *lines]))
    found = {row["conversion_id"]: (row["kind"], row["value_micros"]) for row in taken(settings, "conversions")}
    assert found == {"1": ("purchase", 9_990_000), "2": ("refund", -9_990_000), "5": ("purchase", 0)}
    [left] = Lake.of(settings).read("quarantine").to_pylist()
    assert left["row"] == 6, "a minus that no number has is a refund, and cannot be read"


TOLD = """
[conversions]
event_id = "id"
happened_at = "at"
seen_at = "seen"
kind = { value = "purchase" }
order_id = "id"
value_micros = { column = "paid", scale = 1_000_000 }
currency = "money"
source = { value = "server" }
"""


def test_an_event_that_comes_again_with_another_amount_is_told_and_not_let_fall_as_a_repetition(tmp_path: Path) -> None:
    rows = [
        *("a,1,10.00,EUR", "a,1,10.00,EUR", "b,1,10.00,EUR", "b,1,12.00,EUR", "b,1,10.00,GBP", "c,1,10.00,EUR"),
        *("c,2,11.00,EUR", "a,2,10.00,EUR"),
    ]
    lines = [
        f"{name},2026-05-01T10:00:00Z,2026-05-0{day}T11:00:00Z,{paid}" for name, day, paid in (row.split(",", 2) for row in rows)
    ]
    settings = mapped(tmp_path, TOLD, "\n".join(["id,at,seen,paid,money", *lines]))
    told = [ingest(settings, Window.parse(f"2026-05-0{day}")).tables["conversions"] for day in (1, 2)]
    assert [(each.read, each.accepted, each.duplicates, each.quarantined) for each in told] == [(6, 3, 1, 2), (2, 0, 1, 1)]
    assert {row["value_micros"] for row in Lake.of(settings).read("conversions").to_pylist()} == {10_000_000}
    left = sorted(Lake.of(settings).read("quarantine").to_pylist(), key=lambda row: row["row"])
    assert [(row["row"], row["event_id"], row["field"]) for row in left] == [
        (4, "b", "value_micros"),
        (5, "b", "currency"),
        (7, "c", "value_micros"),
    ]
    assert "Event c was told before with another value_micros, 10000000 and now 11000000. The first counts." in left[2]["reason"]
    assert ingest(settings, Window.parse("2026-05-01..2026-05-02")).changed == ()


def test_where_one_id_is_zeroed_the_next_one_counts(tmp_path: Path) -> None:
    mapping = """
        [sightings]
        happened_at = "at"
        kind = { value = "login" }
        device_id = ["idfa", "install"]
        email_hash = { column = ["mail", "login"], hash = "email" }"""
    nobody = "00000000-0000-0000-0000-000000000000"
    rows = (f"{nobody},i1,test@test.com,jane@doe.example", f"{nobody},,test@test.com,", "d3,i3,,jane@doe.example")
    lines = [f"2026-05-01T1{at}:00:00Z,{row}" for at, row in enumerate(rows)]
    found = taken(mapped(tmp_path, mapping, "\n".join(["at,idfa,install,mail,login", *lines])), "sightings")
    jane = hashlib.sha256(b"jane@doe.example").hexdigest()
    assert [(row["device_id"], row["email_hash"]) for row in found] == [("i1", jane), (None, None), ("d3", jane)]


def test_a_constant_amount_has_a_scale_as_a_column_has(tmp_path: Path) -> None:
    mapping = TOLD.replace('column = "paid"', "value = 49.99")
    rows = "id,at,seen,money\na,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,EUR\n"
    [found] = taken(mapped(tmp_path, mapping, rows), "conversions")
    assert found["value_micros"] == 49_990_000
    plain = mapping.replace(", scale = 1_000_000", "")
    with pytest.raises(IngestError, match=r"constant for value_micros is 49\.99\. Expected a whole number of micros"):
        taken(mapped(tmp_path, plain, rows), "conversions")


def test_a_cell_of_several_lines_is_one_cell_wherever_the_file_is_cut_for_reading(tmp_path: Path) -> None:
    notes = ("one line\nand another, with a comma", "none" * 90)
    lines = [f'c{at},2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,1.00,EUR,"{notes[at % 5 > 0]}"' for at in range(16_000)]
    settings = mapped(tmp_path, TOLD, "\n".join(["id,at,seen,paid,money,note", *lines]))
    told = ingest(settings, Window.parse("2026-05-01")).tables["conversions"]
    assert (told.read, told.accepted) == (16_000, 16_000)


def test_a_row_that_two_sections_refuse_counts_for_both_and_has_one_reason(tmp_path: Path) -> None:
    sold = TOLD.replace("[conversions]", "[[conversions]]").replace('event_id = "id"\n', "")
    rows = ["a,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,ten,EUR", "b,2026-05-01T10:00:00Z,2026-05-01T10:00:00Z,1.00,EUR"]
    both = sold + sold.replace('"purchase"', '"refund"').replace("1_000_000", "-1_000_000")
    settings = mapped(tmp_path, both, "\n".join(["id,at,seen,paid,money", *rows]))
    told = ingest(settings, Window.parse("2026-05-01")).tables["conversions"]
    assert (told.read, told.accepted, told.quarantined) == (4, 2, 2), "an order and its refund may stand in one row"
    [left] = Lake.of(settings).read("quarantine").to_pylist()
    assert (left["row"], left["field"]) == (1, "value_micros")


@pytest.mark.parametrize("order", ["", 'order_id = "id"'])
def test_a_refund_by_the_name_of_its_sale_would_take_its_place_and_is_set_aside(tmp_path: Path, order: str) -> None:
    mapping = f"""
        [conversions]
        conversion_id = "id"
        {order}
        happened_at = "at"
        kind = "kind"
        value_micros = {{ column = "paid", scale = 1_000_000 }}
        currency = {{ value = "EUR" }}
        source = {{ value = "server" }}"""
    rows = ["a,1,10,purchase", "a,2,-10,refund", "b,2,10,purchase", "b,2,-4,refund", "c,1,-4,refund"]
    lines = [f"{name},2026-05-0{day}T10:00:00Z,{rest}" for name, day, rest in (row.split(",", 2) for row in rows)]
    settings = mapped(tmp_path, mapping, "\n".join(["id,at,paid,kind", *lines]))
    for day in (1, 2):
        ingest(settings, Window.parse(f"2026-05-0{day}"))
    told = sorted((row["conversion_id"], row["kind"]) for row in Lake.of(settings).read("conversions").to_pylist())
    assert told == [("a", "purchase"), ("b", "purchase"), *([] if order else [("c", "refund")])]
    left = Lake.of(settings).read("quarantine").to_pylist()
    assert {row["field"] for row in left} == {"conversion_id"}
    assert all("A refund is a conversion of its own" in str(row["reason"]) for row in left)
    assert ingest(settings, Window.parse("2026-05-01..2026-05-02")).changed == ()


BAD = [
    (CLICK.replace("+02:00", ""), "happened_at", "Expected a time with its zone"),
    (CLICK.replace("2026-05-01T10:00:00+02:00", "1st of May"), "happened_at", "happened_at is '1st of May'"),
    (CLICK.replace("1.25", "cheap"), "price_micros", "price_micros is 'cheap'. Expected a number."),
    (CLICK.replace("1.25", "-3"), "price_micros", "price_micros is -3000000"),
    (CLICK.replace("false", "perhaps"), "holdout", "Expected true or false"),
    (CLICK.replace("brand", ""), "campaign_id", "campaign_id is missing"),
    (CLICK + ",surplus", "(line)", "The line has 10 cells and the header 9"),
]


@pytest.mark.parametrize(("line", "field", "reason"), BAD, ids=[f"{field}-{i}" for i, (_, field, _) in enumerate(BAD)])
def test_a_bad_row_is_set_aside_and_the_good_ones_go_on(tmp_path: Path, line: str, field: str, reason: str) -> None:
    settings = mapped(tmp_path, CLICKS, f"{HEADER}\n{CLICK.replace('c1', 'c0')}\n{line}\n{LOGIN}\n")
    report = ingest(settings, source_days(settings))
    assert (report.tables["touches"].read, report.tables["touches"].accepted) == (2, 1)
    assert report.tables["sightings"].accepted == 1
    [found] = Lake.of(settings).read("quarantine").to_pylist()
    assert (found["row"], found["field"]) == (2, field)
    assert reason in found["reason"]


def test_times_without_a_zone_are_read_in_the_zone_that_the_mapping_gives(tmp_path: Path) -> None:
    mapping = '[sightings]\nhappened_at = { column = "at", zone = "Europe/Paris" }\nkind = { value = "login" }'
    [row] = taken(mapped(tmp_path, mapping, "at\n2026-05-01 10:00:00\n"), "sightings")
    assert row["happened_at"] == an_instant("08:00")


@pytest.mark.parametrize(
    ("more", "good", "expected"),
    [
        ("", "2026-05-01T09:00:00Z", "Expected a time with its zone, as 2026-05-01T10:00:00Z; for times without one add zone"),
        (', zone = "UTC"', "2026-05-01 09:00:00", "Expected a time, as 2026-05-01 10:00:00; for another form add one"),
        (', zone = "UTC", form = "%d.%m.%Y"', "01.05.2026", "Expected a time in the form %d.%m.%Y"),
    ],
)
def test_what_is_no_time_is_told_what_its_mapping_lacks(tmp_path: Path, more: str, good: str, expected: str) -> None:
    mapping = f'[sightings]\nhappened_at = {{ column = "at"{more} }}\nseen_at = "seen"\nkind = {{ value = "login" }}'
    settings = mapped(tmp_path, mapping, f"at,seen\nyesterday,2026-05-01T10:00:00Z\n{good},2026-05-01T10:00:00Z\n")
    ingest(settings, Window.parse("2026-05-01"))
    [found] = Lake.of(settings).read("quarantine").to_pylist()
    assert expected in found["reason"]


def test_a_conversion_before_its_touch_in_the_same_row_is_set_aside(tmp_path: Path) -> None:
    mapping = """
        [conversions]
        happened_at = "bought"
        touched_at = "clicked"
        kind = { value = "purchase" }
        value_micros = { value = 1_000_000 }
        currency = { value = "USD" }
        source = { value = "pixel" }"""
    lines = ["2026-05-01T10:00:00Z,2026-05-01T09:00:00Z", "2026-05-01T10:00:00Z,2026-05-01T12:00:00Z"]
    settings = mapped(tmp_path, mapping, "\n".join(["bought,clicked", *lines]))
    report = ingest(settings, source_days(settings))
    assert (report.tables["conversions"].accepted, report.tables["conversions"].quarantined) == (1, 1)


def a_parquet(zone: str | None) -> pa.Table:
    return pa.table(
        {
            "at": pa.array([datetime(2026, 5, 1, 10), datetime(2026, 5, 1, 11)], pa.timestamp("us", tz=zone)),  # noqa: DTZ001 - naive on purpose
            "customer": pa.array([17, 18]),
        }
    )


SIGHTED = '[sightings]\nhappened_at = "at"\nkind = { value = "login" }\nexternal_id = { column = "customer", hash = "keyed" }'


def test_a_parquet_file_keeps_its_own_types(tmp_path: Path) -> None:
    first, second = taken(mapped(tmp_path, SIGHTED, a_parquet("UTC"), "events.parquet"), "sightings")
    assert first["happened_at"] == an_instant("10:00")
    assert first["external_id"] != second["external_id"]


def test_a_column_of_naive_times_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    settings = mapped(tmp_path, SIGHTED, a_parquet(None), "events.parquet")
    with pytest.raises(IngestError, match=r'carry no zone.*happened_at = \{ column = "at", zone = "UTC" \}'):
        source_days(settings)


def test_a_truncated_parquet_file_says_so_and_writes_nothing(tmp_path: Path) -> None:
    settings = mapped(tmp_path, SIGHTED, a_parquet("UTC"), "events.parquet")
    path = Path(settings.source.path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IngestError, match=r"events\.parquet is no whole Parquet file, it may be cut off"):
        source_days(settings)
    path.write_bytes(b"")
    with pytest.raises(IngestError, match=r"events\.parquet is empty"):
        source_days(settings)
    assert Lake.of(settings).version("sightings") == -1


def test_a_folder_is_read_file_by_file_and_rows_keep_their_files_name(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "b.csv").write_text(f"{HEADER}\n{CLICK.replace('c1', 'c2').replace('brand', '')}\n")
    settings = mapped(inbox, CLICKS, f"{HEADER}\n{CLICK}\n", "a.csv")
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=str(inbox), mapping=settings.source.mapping))
    # The bad row of b.csv is the only one that is set aside.
    report = ingest(settings, source_days(settings))
    assert (report.total.accepted, report.total.quarantined) == (1, 1)
    assert Lake.of(settings).read("quarantine")["source"].to_pylist() == ["b.csv"]


def a_database(folder: Path, rows: list[dict[str, object]]) -> str:
    url = f"sqlite:///{folder / 'shop.db'}"
    engine = sa.create_engine(url)
    orders = sa.Table(
        "orders", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("at", sa.Text), sa.Column("paid", sa.Numeric(10, 2))
    )
    with engine.begin() as link:
        orders.create(link)
        link.execute(orders.insert(), rows)
    engine.dispose()
    return url


ORDERS = """
[source]
query = "SELECT id, at, CAST(paid AS TEXT) AS paid FROM orders ORDER BY id"

[conversions]
conversion_id = "id"
happened_at = { column = "at", zone = "UTC" }
kind = { value = "purchase" }
value_micros = { column = "paid", scale = 1_000_000 }
currency = { value = "USD" }
source = { value = "server" }
"""


@pytest.mark.service
@pytest.mark.filterwarnings("ignore:Dialect sqlite.*does \\*not\\* support Decimal:sqlalchemy.exc.SAWarning")
def test_a_database_is_read_through_sqlalchemy(tmp_path: Path) -> None:
    from decimal import Decimal

    url = a_database(tmp_path, [{"id": i, "at": f"2026-05-01 1{i}:00:00", "paid": Decimal("9.99")} for i in range(3)])
    (tmp_path / "map.toml").write_text(ORDERS)
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=url, mapping=str(tmp_path / "map.toml")))
    found = taken(settings, "conversions")
    assert [row["value_micros"] for row in found] == [9_990_000] * 3
    assert ingest(settings, source_days(settings)).changed == ()


@pytest.mark.service
def test_a_query_may_ask_for_the_days_of_the_window_alone(tmp_path: Path) -> None:
    url = a_database(tmp_path, [{"id": day, "at": f"2026-05-0{day} 10:00:00", "paid": None} for day in (1, 2, 3)])
    query = "SELECT id, at, '9.99' AS paid FROM orders WHERE at >= :start AND at < :end AND at <> '10:start'"
    (tmp_path / "map.toml").write_text(ORDERS.replace(ORDERS.split('"')[1], query))
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=url, mapping=str(tmp_path / "map.toml")))
    assert str(source_days(settings)) == "2026-05-01..2026-05-03"
    found = ingest(settings, Window.parse("2026-05-02"))
    assert found.tables["conversions"].read == 1
    assert Lake.of(settings).read("conversions")["order_id"].to_pylist() == [None]


@pytest.mark.service
def test_documents_of_a_real_postgres_are_read_by_the_days_they_were_stored_on(tmp_path: Path, postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url.replace("+psycopg", "")) as link:
        link.execute("CREATE TABLE events (stored_at timestamptz, payload jsonb)")
        for day in (1, 2, 3):
            paid = f'{{"order": "o{day}", "paid": 9.99, "user": {{"mail": "jane@doe.example"}}}}'
            link.execute("INSERT INTO events VALUES (%s, %s)", (f"2026-05-0{day}T10:00:00Z", paid))
    (tmp_path / "map.toml").write_text("""
        [source]
        query = "SELECT * FROM events WHERE stored_at >= :start AND stored_at < :end"
        [conversions]
        happened_at = "stored_at"
        kind = { value = "purchase" }
        order_id = "payload.order"
        value_micros = { column = "payload.paid", scale = 1_000_000 }
        currency = { value = "USD" }
        source = { value = "server" }
        email_hash = { column = "payload.user.mail", hash = "email" }""")
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=postgres_url, mapping=str(tmp_path / "map.toml")))
    assert str(source_days(settings)) == "2026-05-01..2026-05-03"
    assert ingest(settings, Window.parse("2026-05-02")).tables["conversions"].read == 1
    [row] = Lake.of(settings).read("conversions").to_pylist()
    assert (row["order_id"], row["value_micros"]) == ("o2", 9_990_000)
    assert row["email_hash"] == hashlib.sha256(b"jane@doe.example").hexdigest()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///{}/nothing.db", "could not be read with .*no such table"),
        ("oracel://scott:tiger@host/db", "no database address that SQLAlchemy can open"),
    ],
)
def test_a_database_that_cannot_be_read_says_so_without_a_password(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "map.toml").write_text(ORDERS)
    settings = some_settings(
        tmp_path, source=Source(kind="mapping", path=url.format(tmp_path), mapping=str(tmp_path / "map.toml"))
    )
    with pytest.raises(IngestError, match=message) as wrong:
        source_days(settings)
    assert "tiger" not in str(wrong.value)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("[touches", "is no TOML"),
        ("", "maps no table"),
        ("[clicks]\na = 1", "there is no table 'clicks'. The tables are touches, conversions, sightings"),
        ('[sightings]\nhappened_at = "at"', "does not say where kind comes from"),
        ('[sightings]\nhappened_at = "at"\nkind = "k"\nshoe_size = "s"', "has no field 'shoe_size'"),
        ('[sightings]\nhappened_at = "at"\nkind = 3', "kind is 3. Write a column's name"),
        ('[sightings]\nhappened_at = "at"\nkind = { column = "k", value = "v" }', "needs either a column or a value"),
        ('[sightings]\nkind = "k"\nhappened_at = { column = "at", unit = "h" }', "unit is 'h'. Expected s, ms, us"),
        ('[sightings]\nkind = "k"\nhappened_at = { column = "at", zone = "Mars/Base" }', "no time zone 'Mars/Base'"),
        ('[sightings]\nkind = "k"\nhappened_at = "at"\nemail_hash = { column = "e", hash = "rot13" }', "hash is 'rot13'"),
        (
            '[sightings]\nkind = "k"\nhappened_at = "at"\nphone_hash = { column = "p", hash = "phone", region = "UK" }',
            "region is 'UK'. Expected a country in two letters, such as GB",
        ),
        (
            '[sightings]\nkind = "k"\nhappened_at = "at"\nemail_hash = { column = "e", hash = "email", region = "GB" }',
            "beside hash",
        ),
        ('[sightings]\nkind = "k"\nhappened_at = "at"\nonly = "k"', "only is 'k'"),
        ('[sightings]\nkind = "k"\nhappened_at = "at"\nonly = { column = "k", not = [] }', "only is"),
        ('[sightings]\nkind = "k"\nhappened_at = ["at", 3]', r"column is \['at', 3\]"),
        (
            '[sightings]\nkind = "k"\nhappened_at = { column = "at", decimal = ";" }',
            "decimal is ';'. Expected a point or a comma",
        ),
        ('[source]\ntable = ["a", 2]\n[sightings]\nkind = "k"\nhappened_at = "at"', r"\[source\] has table \['a', 2\]"),
        ('[source]\nsheet = 2\n[sightings]\nkind = "k"\nhappened_at = "at"', r"\[source\] has no 'sheet'"),
    ],
)
def test_a_mistake_in_a_mapping_is_named_with_its_place(mapping: str, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        parse(mapping, "map.toml")


def test_a_column_that_the_mapping_names_and_the_file_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"events\.csv has no column 'what'"):
        source_days(mapped(tmp_path, CLICKS, "id,at\nc1,2026-05-01T10:00:00Z\n"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server on the loopback with a bucket `inbox`."""
    import boto3
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket="inbox")
    yield address
    server.stop()


@pytest.mark.service
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # botocore's and moto's own use of datetime
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # moto leaves its listening socket to the collector
def test_s3_is_read_as_a_folder_is(tmp_path: Path, bucket: str) -> None:
    import boto3

    s3 = boto3.client("s3", endpoint_url=bucket, region_name="us-east-1")
    for name, line in (("a.csv", CLICK), ("b.csv", CLICK.replace("c1", "c2")), ("notes.txt", "no events")):
        s3.put_object(Bucket="inbox", Key=f"may/{name}", Body=f"{HEADER}\n{line}\n".encode())
    (tmp_path / "map.toml").write_text(CLICKS)
    tables = Tables(options={"AWS_ENDPOINT_URL": bucket, "AWS_REGION": "us-east-1"})

    def at(path: str) -> Settings:
        return some_settings(
            tmp_path, source=Source(kind="mapping", path=path, mapping=str(tmp_path / "map.toml")), tables=tables
        )

    assert {row["touch_id"] for row in taken(at("s3://inbox/may/"))} == {"c1", "c2"}
    assert Lake.of(at("")).read("ingest_counts")["source"].to_pylist() == ["s3://inbox/may/a.csv", "s3://inbox/may/b.csv"]
    with pytest.raises(IngestError, match=r"s3://inbox/june\.csv could not be fetched"):
        source_days(at("s3://inbox/june.csv"))
    with pytest.raises(IngestError, match=r"There is no file below s3://inbox/july/"):
        source_days(at("s3://inbox/july/"))
