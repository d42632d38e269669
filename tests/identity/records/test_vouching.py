"""Fields vouch for each other: what is trusted, what repeats, and what a field's own word adds."""

import numpy as np
import pytest

from whence.identity.records import vouching
from whence.identity.records.resolve import resolve
from whence.identity.records.table import Column, Field, Records
from whence.world import registers


def a_witness(chances, gain, level=None):
    foretold = np.asarray(chances, dtype=np.float64)
    level = np.zeros(len(foretold), dtype=np.int8) if level is None else np.asarray(level, dtype=np.int8)
    return vouching.Witness(0, level, level > 15, foretold, (0.0, 1.0), gain)


def test_a_witness_that_sees_many_more_matches_than_careful_ones_is_trusted_less():
    witnesses = (a_witness([0.5], 0.5), a_witness([0.5], 0.5), a_witness([0.5], 0.9))
    careful, near, neighbours = vouching._trusted(witnesses, [100.0, 140.0, 1500.0])
    assert (careful, near) == (0.5, 0.5)
    assert neighbours == pytest.approx(0.9 * 0.01)


def test_a_name_within_an_email_is_said_twice():
    names = ("ann", "bob", "carl", "dora", "emil", "fay")
    codes = np.arange(60, dtype=np.int32) % 6
    days = tuple(sorted(f"19{40 + at}-{at % 12 + 1:02}-11" for at in range(60)))
    mails = tuple(f"{name}.{family}7@mail.example" for name, family in zip(names, "uvwxyz", strict=True))
    columns = (
        Column(Field("given", "given_name"), codes, names),
        Column(Field("mail", "email"), codes, mails),
        Column(Field("born", "date"), np.arange(60, dtype=np.int32), days),
    )
    said = vouching.repeats(Records(tuple(f"r{at:02}" for at in range(60)), columns, None, None, False))
    assert said.tolist()[0] == [True, True, False]
    assert not said[1, 2]


def test_a_town_and_its_postcode_say_the_same_and_the_sex_that_a_name_tells_does_not():
    towns = np.arange(600, dtype=np.int32) % 20
    columns = (
        Column(Field("town", "place"), towns, tuple(f"town{at:02}" for at in range(20))),
        Column(Field("code", "postcode"), towns, tuple(f"1{at:03}" for at in range(20))),
        Column(Field("born", "year"), np.arange(600, dtype=np.int32) // 10, tuple(f"{1940 + at}" for at in range(60))),
        Column(Field("sex", "category"), towns % 2, ("f", "m")),
    )
    said = vouching.implied(Records(tuple(f"r{at:03}" for at in range(600)), columns, None, None, False))
    assert said[0, 1]
    assert said.sum() == 4 + 2


def test_who_moves_changes_street_and_town_at_once_and_not_where_somebody_was_born():
    told = (("street", "address"), ("zip", "postcode"), ("birth_place", "place"), ("first", "given_name"))
    columns = tuple(Column(Field(*field), np.zeros(1, dtype=np.int32), ("a",)) for field in told)
    assert vouching._is_home(Records(("r",), columns, None, None, False)).tolist() == [True, True, False, False]


def test_a_difference_that_no_match_shows_speaks_against_whatever_others_say():
    chance = np.repeat([0.5, 0.001], [200, 2000])
    level = np.where(np.arange(2200) < 100, 20, 0)  # half of those alike in all else agree, nobody else does
    own = vouching._own(a_witness(chance, 1.0, level), chance)
    assert own[100] < -2 < 3 < own[0]


@pytest.mark.service
def test_neighbours_of_one_street_are_not_taken_for_one_person():
    table = registers.register(8_000, seed=5)
    truth = dict(zip(table["unique_id"].to_pylist(), table["person"].to_pylist(), strict=True))
    found = resolve(table.drop_columns(["person"]))
    person = np.unique([truth[name] for name in found.records.ids], return_inverse=True)[1]
    pairs = [np.unique(each, return_counts=True)[1] for each in (person, found.people, person * len(person) + found.people)]
    real, made, right = (float((each * (each - 1) / 2).sum()) for each in pairs)
    assert 2 * right / (real + made) > 0.95
