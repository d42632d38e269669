"""Keys: exact agreement, and blocks that stay bounded whatever their size."""

from __future__ import annotations

import random
import time
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import fields
from whence.identity.records.keys import Blocked, Key, Part, block, from_json, to_json, transformed
from whence.identity.records.table import Field, Fields, Records


def some_records(*, unique_sources: bool = False, source: str | None = None, **columns: list[str | None]) -> Records:
    """Records with these columns, all compared as codes, without an id."""
    described = Fields(
        tuple(Field(name, "code") for name in columns if name != source), source=source, unique_sources=unique_sources
    )
    return fields.prepare(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), described)


def pairs(blocked: Blocked, records: Records) -> set[tuple[int, int]]:
    return {divmod(int(code), len(records)) for code in blocked.pairs}


def only(records: Records, key: Key, cap: int = 50) -> Blocked:
    return next(block(records, [key], cap))


def test_records_that_agree_on_all_parts_are_candidates() -> None:
    records = some_records(a=["x", "x", "x", "y"], b=["1", "1", "2", "1"])
    assert pairs(only(records, Key((Part("a"), Part("b")))), records) == {(0, 1)}
    assert pairs(only(records, Key((Part("a"),))), records) == {(0, 1), (0, 2), (1, 2)}


def test_a_missing_part_agrees_with_nothing() -> None:
    records = some_records(a=[None, None, "x"], b=["1", "1", "1"])
    assert not only(records, Key((Part("a"), Part("b")))).pairs.size


def test_where_no_source_holds_a_person_twice_only_records_of_two_sources_meet() -> None:
    records = some_records(a=["x", "x", "x"], where=["left", "left", "right"], source="where", unique_sources=True)
    assert pairs(only(records, Key((Part("a"),))), records) == {(0, 2), (1, 2)}


@pytest.mark.parametrize("seed", range(5))
def test_the_database_finds_what_comparing_everyone_with_everyone_finds(seed: int) -> None:
    draw = random.Random(seed)
    rows = [(draw.choice("xyz"), draw.choice(["1", "2", None])) for _ in range(25)]
    records = some_records(a=[a for a, _ in rows], b=[b for _, b in rows])
    true = {(i, j) for i, j in combinations(range(len(rows)), 2) if rows[i] == rows[j] and rows[i][1] is not None}
    assert pairs(only(records, Key((Part("a"), Part("b")))), records) == true


def test_a_block_above_the_cap_is_sorted_by_what_else_is_known_and_reported() -> None:
    names = [f"n{number:03d}" for number in range(100)]
    records = some_records(town=["same"] * 200, name=[*names, *names])
    found = only(records, Key((Part("town"),)), cap=10)
    (capped,) = found.capped
    assert (capped.value, capped.records, found.large) == ("same", 200, 1)
    assert capped.skipped + len(found.pairs) == 200 * 199 // 2
    assert {(number, number + 100) for number in range(100)} <= pairs(found, records)


def test_a_giant_block_costs_little_more_than_its_records() -> None:
    records = some_records(town=["same"] * 20_000, name=[str(number // 2) for number in range(20_000)])
    start = time.process_time()
    found = only(records, Key((Part("town"),)))
    assert len(found.pairs) <= 40_000
    assert time.process_time() - start < 5


@pytest.mark.service
def test_a_million_records_with_one_key_take_seconds() -> None:
    records = some_records(town=["same"] * 1_000_000, name=[str(number // 2) for number in range(1_000_000)])
    start = time.process_time()
    found = only(records, Key((Part("town"),)))
    assert len(found.pairs) <= 1_000_000
    assert found.capped[0].records == 1_000_000
    assert time.process_time() - start < 20


def test_parts_of_values_are_coded_in_the_order_of_their_texts() -> None:
    column = some_records(a=["zoe adams", "adam b", None, "zo adams"]).columns[0]
    codes, texts = transformed(column, "first 2")
    assert list(texts) == ["ad", "zo"]
    assert codes.tolist() == [1, 0, -1, 1]
    assert codes.dtype == np.int32


def test_a_part_that_has_nothing_is_missing() -> None:
    column = some_records(a=["nobody", "1970"]).columns[0]
    assert transformed(column, "month and day")[0].tolist() == [-1, -1]


def test_a_key_survives_json() -> None:
    key = Key((Part("surname", "sound"), Part("dob", "year")))
    assert from_json(to_json(key)) == key
    assert str(key) == "sound of surname + year of dob"


def test_parts_that_span_more_than_a_number_holds_still_agree() -> None:
    wide = [str(number) for number in range(3000)]
    columns: dict[str, list[str | None]] = {f"c{at}": [*wide, "17"] for at in range(6)}
    records = some_records(**columns)
    assert pairs(only(records, Key(tuple(Part(name) for name in columns))), records) == {(17, 3000)}
