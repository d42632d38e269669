"""Files as strangers have them, one at a time."""

from __future__ import annotations

import bz2
import gzip
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whence.identity.records.files import InputError, file

ANN = [{"id": "1", "name": "Ann"}]


def a_file(folder: Path, data: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [
        "sep=;\r\nid;name\r\n1;Ann\r\n",
        '"sep=|"\nid|name\n1|Ann\n',
        "id%name\n1%Ann\n",
        "\nid,name\n1,Ann\n",
        "id,name\n1,Ann\n".replace("\n", "\r"),
        b"\xef\xbb\xbfid,name\n1,Ann\n",
        "id\tname\n1\tAnn\n".encode("utf-16-le"),
        "id,name\n1,Ann\n".encode("utf-16"),
        "id,name\n1,Ann\n".encode("utf-16-be"),
        gzip.compress(b"id,name\n1,Ann\n", mtime=0),
        bz2.compress(b"id,name\n1,Ann\n"),
        '{"id": 1, "name": "Ann"}\n',
        '\ufeff[\n {"id": 1, "name": "Ann"}\n]',
        gzip.compress(b'{"id": 1,\n "name": "Ann"}', mtime=0),
    ],
)
def test_one_table_in_many_forms(tmp_path: Path, data: str | bytes) -> None:
    assert file(a_file(tmp_path, data)).table.to_pylist() == ANN


def test_the_delimiter_is_the_one_that_parts_all_rows_alike(tmp_path: Path) -> None:
    text = "Umsatz (netto,EUR,Mio);Ort\n1,5;Ulm\n2,5;Bonn\n"
    assert file(a_file(tmp_path, text)).table.column_names == ["Umsatz (netto,EUR,Mio)", "Ort"]


def test_json_inside_json_gets_names_with_points(tmp_path: Path) -> None:
    text = '{"id": "007", "at": {"lat": 1.50, "tags": ["a", "b"]}, "ok": true}\n{"id": "008", "extra": null}\n'
    assert file(a_file(tmp_path, text)).table.to_pylist() == [
        {"id": "007", "at.lat": "1.50", "at.tags": "a, b", "ok": "true", "extra": None},
        {"id": "008", "at.lat": None, "at.tags": None, "ok": None, "extra": None},
    ]


def test_a_list_under_a_name_is_the_table(tmp_path: Path) -> None:
    assert len(file(a_file(tmp_path, '{"total": 2, "items": [{"a": 1}, {"a": 2}]}')).table) == 2


def test_what_is_above_the_line_with_names_is_left_out_and_said(tmp_path: Path) -> None:
    text = "Customers, all\nmade on 3 May\n\nname;town;born\nAnn;Ulm;1970\nBo;Bonn;1980\nCy;Jena;1990\n"
    found = file(a_file(tmp_path, text))
    assert found.table.column_names == ["name", "town", "born"]
    assert len(found.table) == 3
    assert "'Customers, all" in found.notes[0]


def test_rows_that_end_with_a_delimiter_have_no_value_too_many(tmp_path: Path) -> None:
    found = file(a_file(tmp_path, "id,name\n1,Ann,\n2,Bo,\n")).table
    assert found.to_pydict() == {"id": ["1", "2"], "name": ["Ann", "Bo"], "column_3": [None, None]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x05\x06\x07", "is no table: it begins with"),
        ("<!DOCTYPE html><html>", "is no table: it begins with '<!DOCTYPE"),
        ('{"a": 1}\n{"a": 2\n', r"line 2 is no JSON .*: '{\"a\": 2'. Correct it"),
        ('{"a": 1}\n[1, 2]\n', r"record 2 is .*not an object"),
        (b"\x1f\x8b\x08broken", "cannot be unpacked .* cut short"),
        (b"PK\x03\x04 sheets", "Save the sheet as CSV"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        file(a_file(tmp_path, text))


def test_parquet_of_every_type_becomes_something_to_compare(tmp_path: Path) -> None:
    table = pa.table(
        {
            "who": pa.array([{"first": "Ann", "tel": ["1", "2"]}, None]),
            "price": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            "at": pa.array([datetime(2020, 1, 2, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "is_new": [True, None],
            "text": [b"Ulm", None],
            "digest": [b"\xff\x00", None],
        }
    )
    data = io.BytesIO()
    pq.write_table(table, data)
    found = file(a_file(tmp_path, data.getvalue(), "without.suffix")).table
    assert found.column_names == ["who.first", "who.tel", "price", "at", "is_new", "text", "digest"]
    assert found.select(["who.tel", "text", "digest"]).to_pylist()[0] == {"who.tel": "1, 2", "text": "Ulm", "digest": "ff00"}


@pytest.mark.parametrize(
    "text",
    [
        "1,Ann,1970-01-01\n2,Bo,1980-02-03\n3,Cy,1990-04-05\n",
        "Ann,Ulm,a@b.de\nBo,Bonn,c@d.de\nCy,Jena,e@f.de\n",
        "Ann,Ulm\nBo,Bonn\nAnn,Bonn\nCy,Ulm\n",
    ],
)
def test_a_missing_header_is_seen_and_said(tmp_path: Path, text: str) -> None:
    found = file(a_file(tmp_path, text))
    assert len(found.table) == len(text.splitlines())
    assert found.table.column_names[0] == "column_1"
    assert "has no line with names" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    ["country,2019,2020\nPeru,1,2\nChile,3,4\nPeru,5,6\n", "a,b\n1,2\n3,4\n5,6\n", "foo,bar\nx y,z\nu,v\nw,s\n", "id\n1\n2\n3\n"],
)
def test_a_header_is_not_taken_for_values(tmp_path: Path, text: str) -> None:
    found = file(a_file(tmp_path, text))
    assert len(found.table) == 3
    assert found.notes == ()
