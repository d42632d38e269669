"""Given name and surname in one file, the whole name in another."""

from __future__ import annotations

import pyarrow as pa

from whence.identity.records import whole_names
from whence.identity.records.aligning import align

FIRST, LAST = ["Ann", "Bob", "Cleo", "Dan", "Eve", "Finn"], ["Lee", "Ray", "Fox", "Kay", "May", "Poe"]
PARTS = pa.table({"First Name": FIRST, "Middle": list("ABCDEF"), "Last Name": LAST})


def test_a_whole_name_is_put_together_where_the_other_file_has_nothing_else() -> None:
    whole = pa.table({"full_name": ["Bob Ray", "Ann Lee"] * 3})
    ours, theirs = whole_names.composed([PARTS, whole])
    assert ours["name (First Name, Last Name)"].to_pylist()[:2] == ["Ann Lee", "Bob Ray"]
    assert theirs.equals(whole)
    assert align([ours, theirs]).same == {"full_name": "name (First Name, Last Name)"}


def test_two_files_with_the_same_parts_are_left_as_they_are() -> None:
    assert whole_names.composed([PARTS, PARTS])[0].equals(PARTS)


def test_new_rows_get_the_name_that_the_folder_compared() -> None:
    asked = ["name (First Name, Last Name)", "city"]
    assert whole_names.needed(PARTS, asked)[asked[0]].to_pylist()[-1] == "Finn Poe"
    assert whole_names.needed(PARTS.drop_columns(["Last Name"]), asked).column_names == ["First Name", "Middle"]
