"""Rows of JSON and of nested Parquet: what their values are called, that none is changed, and what a broken file says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import some_settings
from whence.contracts.settings import Settings, Source
from whence.ingest import IngestError, ingest, source_days, suggest
from whence.lake import Lake

ORDERS = """
[conversions]
happened_at = "at"
kind = { value = "purchase" }
order_id = "order.id"
value_micros = { column = "order.paid", scale = 1_000_000 }
currency = { value = "EUR" }
source = { value = "server" }
click_id = "params.gclid"
"""
ORDER = '{"at": "2026-05-01T10:00:00Z", "order": {"id": 90071992547409931234, "paid": 0.1}, "params": []}'


def orders(folder: Path, content: str | bytes, name: str = "orders.jsonl") -> Settings:
    (folder / "map.toml").write_text(ORDERS)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return some_settings(folder, source=Source(kind="mapping", path=str(folder / name), mapping=str(folder / "map.toml")))


def taken(settings: Settings, table: str = "conversions") -> list[dict[str, Any]]:
    ingest(settings, source_days(settings))
    return sorted(Lake.of(settings).read(table).to_pylist(), key=lambda row: str(row["order_id"]))


def test_values_within_others_are_named_with_dots_and_numbers_stay_as_they_were_written(tmp_path: Path) -> None:
    clicked = '{"at": "2026-05-01T11:00:00Z", "order": {"id": "A1", "paid": 4.35}, "params": [{"key": "gclid", "value": {"int_value": null, "string_value": "C9"}}]}'
    long, short = taken(orders(tmp_path, f"{ORDER}\n\n{clicked}"))
    assert (long["order_id"], long["value_micros"], long["click_id"]) == ("90071992547409931234", 100_000, None)
    assert (short["order_id"], short["value_micros"], short["click_id"]) == ("A1", 4_350_000, "C9")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", f"\ufeff[\n{ORDER},\n {ORDER.replace('10:', '11:')} ]".encode()),
        ("a.ndjson.gz", gzip.compress(f"{ORDER}\n{ORDER.replace('10:', '11:')}\n".encode())),
    ],
    ids=["list", "gzip"],
)
def test_objects_may_lie_in_a_list_or_compressed(tmp_path: Path, name: str, content: bytes) -> None:
    assert len(taken(orders(tmp_path, content, name))) == 2


@pytest.mark.parametrize("line", ['{"at": ', "[1]", '{"at": NaN}'], ids=["torn", "no object", "no number"])
def test_a_line_that_is_no_object_is_set_aside_with_its_number(tmp_path: Path, line: str) -> None:
    settings = orders(tmp_path, f"{ORDER}\n{line}\n{ORDER.replace('10:', '11:')}\n")
    assert len(taken(settings)) == 2
    [found] = Lake.of(settings).read("quarantine").to_pylist()
    assert (found["row"], found["field"]) == (2, "(line)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"at": 1}', "no JSON object in its first line"),
        (f"{ORDER}\n{ORDER[:30]}", r"cut off in line 2\. Send it again whole"),
        (f"[{ORDER}, {ORDER[:30]}", "cut off or broken at object 2"),
        (ORDER.encode() + b"\n\xff\n", "is no readable JSON"),
    ],
    ids=["pretty", "torn line", "torn list", "no UTF-8"],
)
def test_a_file_that_is_cut_off_or_no_json_stops_the_step(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        source_days(orders(tmp_path, content))


def test_half_a_letter_is_no_reason_to_stop(tmp_path: Path) -> None:
    assert len(taken(orders(tmp_path, ORDER.replace("90071992547409931234", '"\\ud83d"')))) == 1


def test_a_table_with_objects_in_its_cells_is_read_alike(tmp_path: Path) -> None:
    row = {"at": "2026-05-01T10:00:00Z", "order": {"id": "A1", "paid": 4.35}, "params": [{"key": "gclid", "value": "C9"}]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "orders.parquet")
    [found] = taken(orders(tmp_path, (tmp_path / "orders.parquet").read_bytes(), "orders.parquet"))
    assert (found["order_id"], found["value_micros"], found["click_id"]) == ("A1", 4_350_000, "C9")
    assert "order.id" in suggest(tmp_path / "orders.parquet")


def test_a_cell_of_a_csv_may_hold_json(tmp_path: Path) -> None:
    line = '2026-05-01T10:00:00Z,"{""id"": ""A1"", ""paid"": 4.35}","[{""key"": ""gclid"", ""value"": ""C9""}]"'
    broken = '2026-05-01T11:00:00Z,"{""id"": ""A2"", ",'
    settings = orders(tmp_path, f"at,order,params\n{line}\n{broken}\n", "orders.csv")
    [found] = taken(settings)
    assert (found["order_id"], found["value_micros"], found["click_id"]) == ("A1", 4_350_000, "C9")
    assert Lake.of(settings).read("quarantine")["field"].to_pylist() == ["value_micros"]
    assert "order.id" in suggest(tmp_path / "orders.csv")


REFUNDS = """
[[conversions]]
conversion_id = "id"
order_id = "id"
happened_at = "at"
kind = { value = "purchase" }
value_micros = { column = "paid", scale = 1_000_000 }
currency = "money"
source = { value = "server" }

[[conversions]]
each = "refunds.parts"
only = { column = "refunds.parts.kind", is = ["refund"] }
order_id = "id"
happened_at = "refunds.at"
kind = { value = "refund" }
value_micros = { column = "refunds.parts.amount", scale = -1_000_000 }
currency = "money"
source = { value = "server" }
"""


def test_each_refund_in_the_list_of_an_order_is_a_row_and_a_bad_one_keeps_its_row_back(tmp_path: Path) -> None:
    def part(amount: str, kind: str = "refund") -> dict[str, str]:
        return {"amount": amount, "kind": kind}

    orders = {
        "whole": [{"at": "2026-05-02T10:00:00Z", "parts": [part("10.00")]}],
        "in parts": [
            {"at": "2026-05-02T10:00:00Z", "parts": [part("3.00"), part("3.00"), part("9", "void")]},
            {"at": "2026-05-02T11:00:00Z", "parts": [part("4.00")]},
        ],
        "kept": [],
        "odd": [{"at": "2026-05-02T10:00:00Z", "parts": [part("1.00"), part("one")]}],
    }
    lines = [
        {"id": name, "at": "2026-05-02T09:00:00Z", "paid": "10.00", "money": "EUR", "refunds": told}
        for name, told in orders.items()
    ]
    (tmp_path / "orders.jsonl").write_text("\n".join(map(json.dumps, [*lines, lines[1]])))
    (tmp_path / "map.toml").write_text(REFUNDS)
    source = Source(kind="mapping", path=str(tmp_path / "orders.jsonl"), mapping=str(tmp_path / "map.toml"))
    settings = some_settings(tmp_path, source=source)
    tally = ingest(settings, source_days(settings)).tables["conversions"]
    assert (tally.read, tally.accepted, tally.duplicates, tally.quarantined) == (14, 8, 4, 2), "the order that came twice is one"
    told = [(row["order_id"], row["value_micros"]) for row in taken(settings) if row["kind"] == "refund"]
    parts = [("in parts", -4_000_000), ("in parts", -3_000_000), ("in parts", -3_000_000)]
    assert sorted(told) == [*parts, ("whole", -10_000_000)]
    assert {row["row"] for row in Lake.of(settings).read("quarantine").to_pylist()} == {4}
