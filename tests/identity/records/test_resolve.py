import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records.resolve import Options, _by_likeness_alone, _differing, resolve
from whence.identity.records.table import Column, Evidence, Field, Fields, Records

GIVEN = (
    "ann",
    "bob",
    "carl",
    "dora",
    "emil",
    "fay",
    "gus",
    "hana",
    "ivan",
    "jule",
    "kim",
    "lena",
    "milo",
    "nora",
    "otto",
    "paula",
)
FAMILY = ("adams", "baker", "cooper", "dixon", "evans", "fisher", "garner", "hughes", "irwin", "jensen", "keller", "lawson")
FIELDS = Fields(
    (Field("given", "given_name"), Field("family", "surname"), Field("born", "date"), Field("mail", "email")), id="id"
)


def a_register(people=150, seed=0):
    """Two records a person, the second with a slip, an e-mail that is often missing; and who each is."""
    draw = np.random.default_rng(seed)
    rows, truth = [], []
    for person in range(people):
        given, family = GIVEN[draw.integers(len(GIVEN))], FAMILY[draw.integers(len(FAMILY))]
        born = f"{draw.integers(1940, 2000)}-{draw.integers(1, 13):02d}-{draw.integers(1, 29):02d}"
        mail = f"{given}.{family}{person}@example.net"
        rows += [
            (given, family, born, mail),
            (given, family[:-1] + draw.choice(list("xyz")) if draw.random() < 0.3 else family, born, mail),
        ]
        truth += [person, person]
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(("given", "family", "born", "mail"))})
    mail = [None if draw.random() < 0.4 else each for each in table["mail"].to_pylist()]
    table = table.set_column(3, "mail", pa.array(mail)).append_column(
        "id", pa.array([f"r{place:04d}" for place in range(len(rows))])
    )
    return table, np.array(truth)


def people_of(found):
    return dict(zip(found.records.ids, found.people.tolist(), strict=True))


def same_people(one, other):
    groups = [
        {frozenset(key for key, group in each.items() if group == name) for name in set(each.values())} for each in (one, other)
    ]
    return groups[0] == groups[1]


def pair_f1(found, truth):
    same, real = found[:, None] == found[None], truth[:, None] == truth[None]
    upper = np.triu(np.ones_like(same), 1)
    return 2 * (same & real & upper).sum() / ((same & upper).sum() + (real & upper).sum())


@pytest.fixture(scope="module")
def register():
    return a_register()


@pytest.mark.service
def test_people_are_found_without_labels(register):
    table, truth = register
    found = resolve(table, FIELDS)
    assert pair_f1(found.people, truth) > 0.95
    assert [step.name for step in found.steps] == ["prepare", "retrieve", "compare", "score", "cluster"]
    assert "nobody has confirmed" in found.basis


@pytest.mark.service
def test_labels_of_some_people_are_learned_from(register):
    table, truth = register
    labels = pa.array([f"p{person}" if person % 2 else None for person in truth])
    found = resolve(table.append_column("who", labels), Fields(FIELDS.fields, id="id", label="who"))
    assert "labelled pairs" in found.basis
    assert pair_f1(found.people, truth) > 0.95


@pytest.mark.service
def test_neither_the_order_of_rows_nor_threads_change_who_is_who(register):
    table, _ = register
    usual = people_of(resolve(table, FIELDS))
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    assert same_people(people_of(resolve(shuffled, FIELDS)), usual)
    assert same_people(people_of(resolve(table, FIELDS, Options(threads=2))), usual)


@pytest.mark.service
def test_two_tables_without_repeats_are_linked_one_to_one():
    table, truth = a_register(people=300)
    source = pa.array(["left" if place % 2 == 0 else "right" for place in range(len(table))])
    found = resolve(table.append_column("table", source), Fields(FIELDS.fields, id="id", source="table"))
    assert found.records.unique_sources
    assert np.bincount(found.people).max() == 2
    assert pair_f1(found.people, truth) > 0.95


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_table_of_hardly_any_rows_is_resolved(register, rows):
    table, _ = register
    assert len(resolve(table.slice(0, rows), FIELDS).people) == rows


def test_columns_without_values_or_with_one_value_tell_nobody_apart():
    table = pa.table({"id": ["a", "b", "c"], "empty": pa.array([None] * 3, pa.string()), "same": ["x"] * 3})
    found = resolve(table, Fields((Field("empty", "name"), Field("same", "category")), id="id"))
    assert len(found.people) == 3


@pytest.mark.service
def test_rows_that_are_all_alike_are_no_giant_person():
    table = pa.table({"id": [f"r{place:04d}" for place in range(3000)], "name": ["ann lee"] * 3000, "town": ["york"] * 3000})
    found = resolve(table, Fields((Field("name", "name"), Field("town", "place")), id="id"))
    assert np.bincount(found.people).max() <= 200
    assert len(found.pairs.left) < 200 * 3000


def test_an_id_that_comes_twice_is_named():
    table = pa.table({"id": ["a", "a"], "name": ["ann", "bob"]})
    with pytest.raises(ValueError, match="a"):
        resolve(table, Fields((Field("name", "name"),), id="id"))


def test_joins_that_rest_on_likeness_alone_are_told_and_those_by_what_few_have_are_not():
    records = Records(tuple(map(str, range(100))), ())
    joined = np.ones(10, dtype=np.bool_)

    def told(rarity):
        return _by_likeness_alone(records, Evidence(("title:likeness", "title:rarity"), np.array([[0.9, rarity]] * 10)), joined)

    assert told(rarity=4.0) == []
    assert "10 of 10 joined pairs" in told(rarity=0.0)[0]
    assert _by_likeness_alone(records, Evidence((), np.empty((10, 0))), ~joined) == []


def test_the_columns_in_which_most_joined_pairs_differ_are_told_and_amounts_and_slips_are_not():
    def told(kind, differing, of=100):
        likeness = np.where(np.arange(of) < differing, 0.2, 0.9).reshape(-1, 1)
        records = Records(("a", "b"), (Column(Field("strength", kind), np.zeros(2, np.int32), ("10 mg",)),))
        return _differing(records, Evidence(("strength:likeness",), likeness), np.ones(of, dtype=bool))

    (note,) = told("category", 60)
    assert "differ in strength (60 of 100)" in note
    assert 'unique = ["strength"]' in note
    assert told("category", 40) == told("number", 60) == told("category", 20, of=20) == []


def test_a_note_names_a_date_in_which_most_joined_things_differ_and_none_of_what_happens_to_people():
    def told(*kinds):
        columns = tuple(Column(Field(kind, kind), np.zeros(2, np.int32), ("2024-05-01",)) for kind in kinds)
        evidence = Evidence(tuple(f"{kind}:likeness" for kind in kinds), np.full((100, len(kinds)), 0.9))
        return _differing(Records(("a", "b"), columns), evidence, np.ones(100, dtype=bool))

    assert "differ in date (100 of 100)" in told("date")[0]
    assert told("date", "email") == []
