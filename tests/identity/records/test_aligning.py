"""Columns of several tables that mean the same, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from whence.identity.records.aligning import align
from whence.identity.records.reading import InputError, read

TOWNS = ["Ulm", "Bonn", "Jena", "Kiel", "Trier", "Hof", "Celle", "Fulda"]
FIRMS = [f"{first} {second}" for first in ("Nordic", "Alpha", "Rhein", "Delta") for second in ("Steel", "Foods", "Media")]


def ours() -> pa.Table:
    return pa.table(
        {
            "id": [f"a{row}" for row in range(48)],
            "company": FIRMS * 4,
            "town": TOWNS * 6,
            "founded": [str(1900 + row % 40) for row in range(48)],
            "latitude": [f"{47 + row / 13:.5f}" for row in range(48)],
        }
    )


def theirs() -> pa.Table:
    return pa.table(
        {
            "Jahr": [str(1903 + row % 40) for row in range(48)],
            "Ort": TOWNS[::-1] * 6,
            "Firma": [f"{each} GmbH" for each in FIRMS] * 4,
            "Breitengrad": [f"{47 + row / 13:.3f}" for row in range(48)],
            "key": [str(row) for row in range(48)],
            "memo": [f"called on day {row * 7919 % 1000}, nobody there" for row in range(48)],
        }
    )


def test_columns_are_found_by_what_is_in_them() -> None:
    found = align([ours(), theirs()])
    assert found.same == {"key": "id", "Firma": "company", "Ort": "town", "Jahr": "founded", "Breitengrad": "latitude"}
    assert found.tables[1].column_names == ["founded", "town", "company", "latitude", "id", "memo"]
    assert "100% of the values in common" in found.why["Ort"]


def test_names_without_meaning_do_not_matter() -> None:
    blank = theirs().rename_columns([f"x{at}" for at in range(6)])
    assert align([ours(), blank]).same == {"x4": "id", "x2": "company", "x1": "town", "x0": "founded", "x3": "latitude"}


def test_the_same_name_in_another_spelling_comes_first() -> None:
    one, two = pa.table({"Birth Date": ["x"], "b": ["1"]}), pa.table({"birth_date": ["y"], "B": ["2"]})
    assert align([one, two]).same == {"birth_date": "Birth Date", "B": "b"}


def test_what_a_user_says_is_all_that_is_done() -> None:
    found = align([ours(), theirs()], {"Firma": "town"})
    assert found.same == {"Firma": "town"}
    assert align([ours(), theirs()], {}).same == {}


def test_a_header_that_says_two_things_says_what_its_values_are() -> None:
    """A product_name is called a name, as people's are, and its values are texts."""
    kinds = ["Drill", "Kettle", "Lamp", "Chair"]
    goods = [f"{maker} {kinds[row % 4]} {maker[:2]}{100 + row} black" for row in range(24) for maker in ("Bosch", "Makita")]
    shop = pa.table({"title": goods, "category": [each.split()[1] for each in goods]})
    assert align([shop, pa.table({"product_name": [f"new {each}" for each in goods]})]).same == {"product_name": "title"}


def test_numbers_that_lie_elsewhere_are_not_the_same() -> None:
    one = pa.table({"stars": [str(1 + row % 9) for row in range(60)]})
    two = pa.table({"rooms": [str(100 + row * 7) for row in range(60)]})
    assert align([one, two]).same == {}


def written(folder: Path, name: str, table: pa.Table) -> Path:
    lines = [",".join(table.column_names), *(",".join(f'"{value}"' for value in row.values()) for row in table.to_pylist())]
    (folder / name).write_text("\n".join(lines))
    return folder / name


def test_files_become_one_table_and_say_how(tmp_path: Path) -> None:
    paths = [written(tmp_path, "a.csv", ours()), written(tmp_path, "b.csv", theirs())]
    found = read(paths)
    assert found.same is not None
    assert found.same["Ort"] == "town"
    assert found.table["town"].null_count == 0
    assert any(note.startswith("Taken for the same: key and id") for note in found.notes)
    assert read(paths, {"Ort": "town"}).table["company"].null_count == 48
    with pytest.raises(InputError, match=r"\[same\] speaks of a column 'Orte', which none of a.csv, b.csv has"):
        read(paths, {"Orte": "town"})
