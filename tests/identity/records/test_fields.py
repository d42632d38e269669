"""Fields: what a file says columns are, and records made of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from whence.identity.records import fields
from whence.identity.records.table import Field, Fields


def test_a_file_of_fields_reads_back_as_written(tmp_path: Path) -> None:
    described = Fields(
        (Field("last name", "surname"), Field("dob", "date")), id="no", source="shop", label="who", unique_sources=True
    )
    (tmp_path / "fields.toml").write_text(fields.to_toml(described, {"dob": "looks like dates", "other": "every value is 'x'"}))
    assert fields.read(tmp_path / "fields.toml") == described


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[fields]\nsurname = "sirname"\n', "'surname' has kind 'sirname'"),
        ('idd = "x"\n[fields]\na = "text"\n', "'idd' is not a setting"),
        ('id = "x"\n', "no \\[fields\\]"),
        ("[fields]\nlast name = surname\n", "is no TOML in UTF-8 .*both in quotes"),
        ('[fields]\na = "name"\n[same]\nb = 3\n', "\\[same\\] has lines such as"),
    ],
)
def test_a_wrong_file_is_refused_by_the_field_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "fields.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        fields.read(tmp_path / "fields.toml")


def test_records_are_sorted_by_id_and_coded_in_the_order_of_their_texts() -> None:
    table = pa.table({"id": ["c", "a", "b"], "town": ["York", "bath", None]})
    records = fields.prepare(table, Fields((Field("town", "place"),), id="id"))
    assert records.ids == ("a", "b", "c")
    assert records.column("town").values == ("bath", "york")
    assert records.column("town").codes.tolist() == [0, -1, 1]


def test_an_id_that_comes_twice_is_named() -> None:
    table = pa.table({"id": ["a", "b", "a"], "town": ["x", "y", "z"]})
    with pytest.raises(ValueError, match="'a'"):
        fields.prepare(table, Fields((Field("town", "place"),), id="id"))


def test_an_id_may_come_once_in_each_of_two_sources() -> None:
    table = pa.table({"id": ["1", "1"], "shop": ["left", "right"], "town": ["x", "y"]})
    records = fields.prepare(table, Fields((Field("town", "place"),), id="id", source="shop"))
    assert records.ids == ("left/1", "right/1")


def test_labels_that_contradict_the_sources_are_refused() -> None:
    table = pa.table({"id": ["a", "b"], "shop": ["left", "left"], "who": ["1", "1"], "town": ["x", "y"]})
    described = Fields((Field("town", "place"),), id="id", source="shop", label="who", unique_sources=True)
    with pytest.raises(ValueError, match="unique_sources"):
        fields.prepare(table, described)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'surname'"):
        fields.prepare(pa.table({"a": ["x"]}), Fields((Field("surname", "surname"),)))


def test_placeholders_are_missing() -> None:
    table = pa.table({"name": ["n/a", "anna smith", "unknown", ""]})
    assert fields.prepare(table, Fields((Field("name", "name"),))).columns[0].codes.tolist() == [-1, 0, -1, -1]


def test_numbers_dates_and_empty_columns_of_any_type_are_read() -> None:
    table = pa.table({"price": pa.array([1.0, 2.5]), "n": pa.array([3, None]), "empty": pa.nulls(2)})
    described = Fields((Field("price", "number"), Field("n", "number"), Field("empty", "text")))
    records = fields.prepare(table, described)
    assert [column.values for column in records.columns] == [("1", "2.5"), ("3",), ()]


def test_the_known_answer_and_columns_that_say_nothing_are_left_out() -> None:
    rows = 40
    table = pa.table(
        {
            "id": [str(at) for at in range(rows)],
            "cluster": [str(at // 2) for at in range(rows)],
            "surname": [f"name{'abcdefghijklmnopqrst'[at // 2]}" for at in range(rows)],
            "empty": pa.nulls(rows, pa.string()),
            "always": ["x"] * rows,
        }
    )
    found = fields.study(table)
    assert [each.name for each in found.fields.fields] == ["surname"]
    assert (found.fields.id, found.fields.label) == ("id", None)
    assert set(found.why) == set(table.column_names)


def test_each_source_writes_dates_and_numbers_its_own_way() -> None:
    table = pa.table(
        {
            "born": ["25.12.2001", "03.04.2001", "12/25/2001", "04/03/2001"],
            "price": ["1.234,50", "2,5", "1,234.50", "2.5"],
            "source": ["de", "de", "us", "us"],
        }
    )
    records = fields.prepare(table, Fields((Field("born", "date"), Field("price", "number")), source="source"))
    for column in records.columns:
        assert column.codes[:2].tolist() == column.codes[2:].tolist()
    assert records.column("born").values == ("2001-04-03", "2001-12-25")
    assert records.column("price").values == ("1234.5", "2.5")


def test_what_a_person_has_one_of_is_read_written_and_named_when_it_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "fields.toml"
    said = Fields((Field("ssn", "code"),), unique=("ssn", "account"))
    path.write_text(fields.to_toml(said), encoding="utf-8")
    assert fields.read(path) == said
    table = pa.table({"ssn": ["1-2", "12", ""], "account": ["b", None, "a"]})
    assert [each.codes.tolist() for each in fields.prepare(table, said).unique] == [[0, 0, -1], [1, -1, 0]]
    with pytest.raises(ValueError, match="There is no column 'account'"):
        fields.prepare(table.drop_columns(["account"]), said)
    path.write_text('unique = "ssn"\n[fields]\nssn = "code"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="unique is a list of columns"):
        fields.read(path)


def test_links_are_compared_without_what_all_links_have() -> None:
    records = fields.prepare(pa.table({"w": ["http://www.lee.com/", "https://lee.com"]}), Fields((Field("w", "code"),)))
    assert len(records.column("w").values) == 1


def test_columns_that_are_the_same_are_written_with_their_reason(tmp_path: Path) -> None:
    path = tmp_path / "fields.toml"
    said = Fields((Field('a "b"', "name"),), id="id", source="source", unique_sources=True, same={"Firma": "company"})
    path.write_text(fields.to_toml(said, {"Firma": "both are texts", "x": "no row has a value"}), encoding="utf-8")
    assert fields.read(path) == said
    assert '"Firma" = "company"  # both are texts' in path.read_text(encoding="utf-8")
    assert '# "x" is left out: no row has a value' in path.read_text(encoding="utf-8")
