"""Packed rows are read by the kernel as they are without it, whatever lies there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import rows
from features.packing import FOREIGN, LAYOUTS, MARK, pack

LAYOUT = LAYOUTS["person_features"]
words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
persons = st.builds(
    lambda count, **texts: pack("person_features", {"identifiers": count, **texts}, 7)[1],
    st.integers(0, 9),
    **dict.fromkeys(LAYOUT.texts, words),
)
lying = (
    persons | st.none() | st.binary(max_size=LAYOUT.size + 9) | st.builds(lambda row, end: row[:-end], persons, st.integers(1, 9))
)


def told(read: Any, *given: Any) -> Any:
    try:
        return read(*given)
    except UnicodeDecodeError:
        return "no text"


@pytest.mark.skipif(rows.compiled() is None, reason="the reader of rows was not built: there is no C compiler here")
@settings(max_examples=25, deadline=None)
@given(st.lists(lying, max_size=4), st.sampled_from([b"", b"0123456789abcdef"]))
def test_the_compiled_reader_reads_what_the_plain_one_does(found: rows.Found, before: bytes) -> None:
    found = [None if row is None else before + row for row in found]
    read, plain = (each(LAYOUT, found, len(before)) for each in (rows.slots_of, rows.slots_of_plainly))
    np.testing.assert_array_equal(read, plain)
    for place in range(len(LAYOUT.texts)):
        asked = LAYOUT, found, read, len(before), place
        assert told(rows.texts_at, *asked) == told(rows.texts_at_plainly, *asked)


@pytest.mark.parametrize("place", ["", "whence:9:person_features:"], ids=["alone", "behind something"])
def test_keys_are_asked_for_by_the_bytes_that_they_have(place: str) -> None:
    keys = ["", "p1", "Grüße", "a\0b", "$1\r\n", "p" * 1000, "\U0001f600"]
    assert rows.in_resp(keys, place) == rows.in_resp_plainly(keys, place)
    assert rows.in_resp([], place) == b""
    with pytest.raises(UnicodeEncodeError):
        rows.in_resp(["p1", "\ud800"], place)


@pytest.mark.parametrize("read", [rows.slots_of, rows.slots_of_plainly], ids=["as built", "plainly"])
def test_a_row_that_is_no_row_of_the_layout_is_not_there(read: Any) -> None:
    known = pack("person_features", {}, 7)[1]
    found = read(LAYOUT, [known, known[: LAYOUT.size - 1], bytes(LAYOUT.size), None], 0)
    assert found[:, MARK].tolist() == [LAYOUT.mark, FOREIGN, FOREIGN, 0]


@pytest.mark.skipif(rows.compiled() is None, reason="the reader of rows was not built: there is no C compiler here")
def test_an_answer_is_taken_once_it_is_whole_and_only_where_it_is_texts() -> None:
    came = b"*9\r\n$2\r\nab\r\n$-1\r\n$0\r\n\r\n$12\r\n$1\r\nabcde\r\nf\r\n"
    for end in range(4, len(came)):
        assert rows.taken(came[:end], 4, 4) is None
    assert rows.taken(came + b"$", 4, 4) == ([b"ab", None, b"", b"$1\r\nabcde\r\nf"], len(came))
    for odd in (b":5\r\n", b"-NO\r\n", b"$\r\n\r\n", b"$-2\r\n", b"$1\r\nab\r\n", b"$9999999999\r\n", b"$1x\r\na\r\n"):
        assert rows.taken(odd, 0, 1) is None
