"""Rows of a caller's own: scored as the model would score them anywhere, or refused by row and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import cells, scoring
from tests.serving import tiny
from whence.contracts.models import ATTRIBUTION_RANKER, FeatureSchema
from whence.encoding import InputError, encode

SCHEMA = FeatureSchema(("hour", "age"), {"channel": ("search", "video")})
NAMES = ["channel", "age", "hour"]

numbers = st.none() | st.floats(allow_nan=False) | st.integers(-(2**70), 2**70)
channels = st.sampled_from([None, "search", "video", "radio", ""])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(channels, numbers, numbers), max_size=5))
def test_rows_become_the_matrix_that_training_would_make(rows: list[tuple[Any, ...]]) -> None:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}
    matrix = scoring.matrix_of(SCHEMA, NAMES, rows)
    np.testing.assert_array_equal(matrix, encode(columns, SCHEMA))
    objects = [dict(zip(NAMES, row, strict=True)) for row in rows]
    np.testing.assert_array_equal(matrix, scoring.matrix_of(SCHEMA, SCHEMA.names, scoring.listed(SCHEMA, objects)))


odd = st.none() | st.booleans() | st.floats() | st.integers(-(2**1030), 2**1030) | st.text() | st.just([1]) | channels


@pytest.mark.skipif(cells.compiled() is None, reason="the reader of cells was not built: there is no C compiler here")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(odd, min_size=3, max_size=3) | st.tuples(numbers, numbers, channels), max_size=4))
def test_the_compiled_reader_reads_and_refuses_what_the_plain_one_does(rows: list[Any]) -> None:
    ours, plain = cells.read(SCHEMA, rows), cells.read_plainly(SCHEMA, rows)
    assert (ours is None) == (plain is None)
    if ours is not None and plain is not None:
        np.testing.assert_array_equal(ours[0], plain[0])
        assert ours[1] == plain[1]


@pytest.mark.parametrize(
    ("names", "rows", "words"),
    [
        (NAMES, [["search", 1, 2], ["search", "3", 2]], r"Row 1, age: takes a number, and '3' \(str\) came"),
        (NAMES, [["search", True, 2]], r"Row 0, age: takes a number, and True \(bool\)"),
        (NAMES, [["search", 1, 10**400]], "Row 0, hour: takes a number, and 1000"),
        (NAMES, [[7, 1, 2]], r"Row 0, channel: is a category and takes text, and 7 \(int\)"),
        (NAMES, [["search", 1, 2], ["search", 1]], "Row 1 has 2 values, and there are 3 names"),
        (["channel", "age"], [["search", 1]], "The names: the field hour is missing; send null"),
        ([*NAMES, "colour"], [["search", 1, 2, 3]], "The names: there is no field colour"),
        ([*NAMES, "age"], [["search", 1, 2, 3]], "The names: the field age is there twice"),
    ],
    ids=["text", "truth", "too large", "number", "short", "missing", "unknown", "twice"],
)
def test_what_does_not_fit_is_refused_by_row_and_field(names: list[str], rows: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        scoring.matrix_of(SCHEMA, names, rows)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"hour": 1, "age": 2}, "Row 1: the field channel"),
        ({"hour": 1, "x": 2, "age": 3, "channel": None}, "Row 1: there is no field x"),
    ],
    ids=["missing", "unknown"],
)
def test_an_object_with_other_fields_is_refused_by_its_row(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        scoring.listed(SCHEMA, [{"hour": 1, "age": 2, "channel": None}, row])


def test_rows_score_as_their_frame_scores_and_unseen_values_are_counted(tmp_path: Path) -> None:
    scorer = tiny.a_scorer(tmp_path, ATTRIBUTION_RANKER)
    values = dict.fromkeys(scorer.schema.numbers, 1.5) | dict.fromkeys(scorer.schema.categories, "search")
    rows = [list(values.values()), list((values | {"channel": "radio", "hours_before": None}).values())]
    found = scoring.score(scorer, list(values), rows)
    raw, probability = scorer.score({name: [row[place] for row in rows] for place, name in enumerate(values)})
    assert (found.raw.tolist(), found.probability.tolist()) == (raw.tolist(), probability.tolist())
    assert (found.unseen, found.degraded) == ({"channel": 1}, ("channel has 1 values that the model never saw",))
