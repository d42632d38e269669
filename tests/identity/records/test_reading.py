"""Files as strangers have them, and messages that name the row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whence.identity.records.reading import InputError, read


def a_file(folder: Path, text: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_values_stay_texts_and_blanks_are_missing(tmp_path: Path) -> None:
    found = read([a_file(tmp_path, 'id, zip,name\n1,00123,"Lee, Ann"\n2,,\n')])
    assert found.table.to_pylist() == [{"id": "1", "zip": "00123", "name": "Lee, Ann"}, {"id": "2", "zip": None, "name": None}]
    assert found.notes == ()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = "id,name\n1,Ann\n".replace(",", delimiter)
    assert read([a_file(tmp_path, text)]).table.to_pylist() == [{"id": "1", "name": "Ann"}]


def test_lines_in_another_encoding_are_mended_and_reported(tmp_path: Path) -> None:
    found = read([a_file(tmp_path, "id,name\n1,Zoë\n".encode() + "2,Jürgen\n".encode("latin-1"))])
    assert found.table["name"].to_pylist() == ["Zoë", "Jürgen"]
    assert "1 of 4 lines are not UTF-8" in found.notes[0]
    assert "line 3" in found.notes[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_encoding_are_understood(tmp_path: Path, encoding: str) -> None:
    assert read([a_file(tmp_path, "id,name\n1,Zoë\n".encode(encoding))]).table.to_pylist() == [{"id": "1", "name": "Zoë"}]


def test_line_breaks_inside_quotes_are_part_of_the_value(tmp_path: Path) -> None:
    assert read([a_file(tmp_path, 'id,note\n1,"a\nb"\n')]).table["note"].to_pylist() == ["a\nb"]


def test_rows_with_too_many_values_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 of 2 rows do not have the 2 values .* 3 in '2,Lee,Ann'.*quotes"):
        read([a_file(tmp_path, "id,name\n1,Bo\n2,Lee,Ann\n")])


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("id,name\n", "has no rows"), ("id,name,name\n1,2,3\n", "'name' is there 2 times")],
)
def test_files_without_a_table_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read([a_file(tmp_path, text)])


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read([tmp_path / "no.csv"])
    with pytest.raises(InputError, match="is a folder"):
        read([tmp_path])
    with pytest.raises(InputError, match="is no Parquet file"):
        read([a_file(tmp_path, "id\n1\n", "x.parquet")])


def test_several_files_are_sources_of_one_table(tmp_path: Path) -> None:
    one = a_file(tmp_path, "id,name\n1,Ann\n", "crm.csv")
    two = tmp_path / "web.parquet"
    pq.write_table(pa.table({"id": [7], "name": ["Bo"], "city": ["Ulm"]}), two)
    found = read([one, two])
    assert found.source == "source"
    assert found.table.to_pylist() == [
        {"id": "1", "name": "Ann", "source": "crm", "city": None},
        {"id": "7", "name": "Bo", "source": "web", "city": "Ulm"},
    ]
    assert found.notes == ("web.parquet has columns that others lack: city.",)


def test_files_without_a_common_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column in common .*\[same\]"):
        read([a_file(tmp_path, "a\n1\n", "x.csv"), a_file(tmp_path, "b\n1\n", "y.csv")])


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    assert read([a_file(tmp_path, "id,\n1,x\n")]).table.column_names == ["id", "column_2"]
