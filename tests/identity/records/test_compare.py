import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.identity.records.compare import LIKENESSES, compare
from whence.identity.records.table import MISSING, Column, Field, Pairs, Records


def some_records(kind, *values):
    """One column of a kind, a record a value."""
    known = tuple(sorted({value for value in values if value is not None}))
    codes = np.array([MISSING if value is None else known.index(value) for value in values], dtype=np.int32)
    return Records(tuple(map(str, range(len(values)))), (Column(Field("it", kind), codes, known),))


def pairs(*of):
    left, right = zip(*of, strict=True)
    return Pairs(np.array(left, dtype=np.int32), np.array(right, dtype=np.int32))


def signal(name, kind, *values):
    evidence = compare(some_records(kind, *values), pairs((0, 1)))
    return float(evidence.values[0, evidence.names.index(f"it:{name}")])


def test_equal_values_are_alike_in_full_and_the_rarer_the_more_surprising():
    evidence = compare(some_records("surname", "rare", "rare", "smith", "smith", "smith", "smith"), pairs((0, 1), (2, 3)))
    assert evidence.values[:, 0].tolist() == [1.0, 1.0]
    assert evidence.values[:, 1] == pytest.approx([np.log(3), np.log(1.5)], rel=1e-5)


def test_a_missing_value_says_nothing():
    assert np.isnan(signal("likeness", "name", "ann", None))


@pytest.mark.parametrize(
    ("kind", "near", "far"),
    [
        ("surname", ("smith", "smyth"), ("smith", "jones")),
        ("name", ("ann lee", "lee ann"), ("ann lee", "bob ray")),
        ("text", ("red canon eos camera", "canon eos camera"), ("red canon eos camera", "blue shoe")),
        ("date", ("1971-06-24", "1971-05-24"), ("1971-06-24", "1950-01-01")),
        ("year", ("1999", "2000"), ("1999", "1950")),
        ("number", ("100", "99"), ("100", "10")),
        ("postcode", ("tq138df", "tq138hu"), ("tq138df", "n17aa")),
        ("phone", ("441234567", "441234576"), ("441234567", "337654321")),
    ],
)
def test_near_values_are_more_alike_than_far_ones(kind, near, far):
    assert 1 > signal("likeness", kind, *near, "and", "others") > signal("likeness", kind, *far, "and", "others")


def test_the_side_that_a_record_is_on_makes_no_difference():
    records = some_records("text", "the red shoe", "a red shoe", "hat")
    there, back = compare(records, pairs((0, 1), (0, 2))), compare(records, pairs((1, 0), (2, 0)))
    np.testing.assert_array_equal(there.values, back.values)


def test_no_pairs_and_no_values_give_no_evidence():
    empty = Pairs(np.empty(0, np.int32), np.empty(0, np.int32))
    assert compare(some_records("name", "a", "b"), empty).values.shape[0] == 0
    assert np.isnan(compare(some_records("text", None, None), pairs((0, 1))).values).all()


@given(st.sampled_from(sorted(LIKENESSES)), st.text(max_size=20), st.text(max_size=20))
def test_likeness_lies_between_nothing_and_all_for_any_text(kind, one, other):
    alike = LIKENESSES[kind]([one, other], [other, one])
    assert np.all((alike >= 0) & (alike <= 1))
    assert alike[0] == pytest.approx(alike[1], abs=1e-6)
