"""Candidates: the plan found from the data alone, and what it brings."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import choose, fields
from whence.identity.records.keys import Key, Part
from whence.identity.records.retrieve import Budget, Candidates, Plan, Search, recall, retrieve, suggest, truth
from whence.identity.records.table import Field, Fields, Records
from whence.world.registers import register

DATA = Path(__file__).parents[4] / "shared" / "data"


def people(number: int = 150, seed: int = 3) -> pa.Table:
    """Two rows of each person, the second with one of its columns wrong or missing; and a column that says nothing."""
    draw = random.Random(seed)
    rows = []
    for person in range(number):
        name = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=8))
        born = f"{draw.randrange(1940, 2005)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}"
        town = draw.choice(["leeds", "york", "hull", "bath"])
        row = {"id": f"{person}a", "person": str(person), "surname": name, "dob": born, "town": town, "noise": draw.choice("xy")}
        wrong = draw.choice(["surname", "dob", "town"])
        spoilt = {"surname": name[1:], "dob": None, "town": "ripon"}[wrong]
        rows += [row, {**row, "id": f"{person}b", wrong: spoilt, "noise": draw.choice("xy")}]
    return pa.Table.from_pylist(rows)


PERSON = Fields(
    (Field("surname", "surname"), Field("dob", "date"), Field("town", "place"), Field("noise", "category")),
    id="id",
    label="person",
)


def prepared(table: pa.Table) -> Records:
    return fields.prepare(table, PERSON)


def as_set(found: Candidates) -> set[tuple[int, int]]:
    return set(zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True))


def test_the_plan_finds_nearly_all_and_leaves_the_noise() -> None:
    records = prepared(people())
    plan = suggest(records)
    found = retrieve(records, plan)
    assert recall(found, truth(records)) > 0.98
    assert found.report.per_record < 60
    assert all(part.column != "noise" for search in plan.searches for part in search.parts)
    assert any("noise" in why for why in plan.why)


def test_a_table_too_large_to_search_gets_keys_alone() -> None:
    records = prepared(people())
    plan = suggest(records, Budget(searched=100))
    assert not plan.searches
    assert recall(retrieve(records, plan), truth(records)) > 0.9


def test_a_plan_survives_json() -> None:
    plan = suggest(prepared(people(60)))
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json({}) == Plan()


def test_the_same_rows_in_another_order_give_the_same_candidates() -> None:
    table = people(60)
    order = np.random.default_rng(1).permutation(len(table))
    one, two = prepared(table), prepared(table.take(pa.array(order)))
    plan = suggest(one)
    assert suggest(two) == plan
    assert as_set(retrieve(one, plan)) == as_set(retrieve(two, plan))


def test_each_pair_comes_once_in_order_with_those_who_found_it() -> None:
    records = prepared(people(50))
    by_name, by_date = Key((Part("surname"),)), Key((Part("dob"),))
    found = retrieve(records, Plan((by_name, by_date)))
    codes = found.pairs.left.astype(int) * len(records) + found.pairs.right
    assert (np.diff(codes) > 0).all()
    assert (found.pairs.left < found.pairs.right).all()
    one, two = found.report.found
    both = int((found.by == 3).sum())
    assert (one.only, two.only) == (one.pairs - both, two.pairs - both)


def test_between_two_sources_each_record_of_the_smaller_gets_its_share_and_no_more() -> None:
    left = [f"thing number {number:03d} red" for number in range(20)]
    right = [f"thing number {number:03d} blue" for number in range(60)]
    table = pa.table({"title": [*left, *right], "shop": ["small"] * 20 + ["large"] * 60})
    records = fields.prepare(table, Fields((Field("title", "text"),), source="shop", unique_sources=True))
    found = retrieve(records, Plan(searches=(Search((Part("title", "grams"),), 3),)))
    assert len(found.pairs.left) == 60
    assert {(number, number + 20) for number in range(20)} <= as_set(found)


def test_truth_is_all_pairs_of_one_label() -> None:
    table = pa.table({"id": list("abcde"), "surname": list("vwxyz"), "who": ["1", "1", None, "1", "2"]})
    records = fields.prepare(table, Fields((Field("surname", "surname"),), id="id", label="who"))
    true = truth(records)
    assert set(zip(true.left.tolist(), true.right.tolist(), strict=True)) == {(0, 1), (0, 3), (1, 3)}


def test_recall_by_capture_and_recapture_is_near_the_true_one() -> None:
    records = prepared(people(1000))
    keys = (Key((Part("surname"),)), Key((Part("dob"),)))
    found = retrieve(records, Plan(keys))
    assert found.report.estimated_recall == pytest.approx(recall(found, truth(records)), abs=0.15)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_tables_of_no_one_or_two_equal_rows_go_through(rows: int) -> None:
    table = pa.table({"surname": pa.array(["same"] * rows, pa.string()), "dob": pa.array(["2000-01-01"] * rows, pa.string())})
    records = fields.prepare(table, Fields((Field("surname", "surname"), Field("dob", "date"))))
    found = retrieve(records, suggest(records))
    assert as_set(found) <= set(combinations(range(rows), 2))
    assert np.isnan(recall(found, truth(records)))


def test_columns_that_are_empty_or_constant_are_not_searched() -> None:
    table = people(50).append_column("empty", pa.nulls(100, pa.string())).append_column("always", pa.array(["x"] * 100))
    described = Fields((*PERSON.fields, Field("empty", "text"), Field("always", "text")), id="id")
    records = fields.prepare(table, described)
    plan = suggest(records)
    used = {part.column for search in plan.searches for part in search.parts} | {
        part.column for key in plan.keys for part in key.parts
    }
    assert not used & {"empty", "always"}
    assert len(retrieve(records, plan).pairs.left)


def test_more_keys_than_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        retrieve(prepared(people(5)), Plan((Key((Part("surname"),)),) * 65))


def test_a_column_said_again_by_another_is_searched_once() -> None:
    table, draw = people(200), random.Random(5)
    given = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(200)]
    whole = pa.array([f"{given[row // 2]} {name}" for row, name in enumerate(table["surname"].to_pylist())])
    records = fields.prepare(table.append_column("full", whole), Fields((*PERSON.fields, Field("full", "name")), id="id"))
    weighed, left_out = choose.weigh(records)
    assert "surname" not in {each.part.column for each in weighed}
    assert "surname: full says it already" in left_out


@pytest.mark.service
def test_a_hundred_thousand_made_up_people_are_found_by_keys_at_few_pairs_a_record() -> None:
    table = register(100_000)
    guessed = fields.guess(table)
    described = Fields(tuple(each for each in guessed.fields if each.name != "person"), id=guessed.id, label="person")
    records = fields.prepare(table, described)
    found = retrieve(records, suggest(records))
    assert recall(found, truth(records)) > 0.95
    assert found.report.per_record < 5


@pytest.mark.service
@pytest.mark.skipif(not (DATA / "febrl").exists(), reason="the Febrl sets are not beside the repository")
def test_febrl_3_is_found_whole() -> None:
    import pyarrow.csv as csv

    table = csv.read_csv(DATA / "febrl" / "dataset3.csv", convert_options=csv.ConvertOptions(strings_can_be_null=True))
    table = table.rename_columns([name.strip() for name in table.column_names])
    person = pa.array([name.split("-")[1] for name in table["rec_id"].to_pylist()])
    described = fields.guess(table)
    records = fields.prepare(table.append_column("person", person), Fields(described.fields, id=described.id, label="person"))
    assert recall(retrieve(records, suggest(records)), truth(records)) > 0.998
