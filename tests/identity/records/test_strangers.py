"""A table in which hardly anybody is there twice: neighbours are not taken for people."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import fields, strangers
from whence.identity.records.compare import compare
from whence.identity.records.resolve import resolve
from whence.identity.records.table import Field, Fields, Pairs
from whence.world.registers import register


def test_agreement_counts_fields_by_how_much_they_tell() -> None:
    given = [f"given{row:03d}" for row in range(100)]
    table = pa.table({"name": given, "town": ["ulm", "bonn"] * 50})
    records = fields.prepare(table, Fields((Field("name", "code"), Field("town", "category"))))
    same_town, nothing = (
        strangers.agreement(records, compare(records, Pairs(np.array([0], np.int32), np.array([other], np.int32))), np.ones(1))
        for other in (2, 5)
    )
    assert nothing[0] < same_town[0] - 0.1
    assert same_town[0] < 0.9


def test_the_day_of_a_booking_says_nothing_of_whose_it_is() -> None:
    days = [f"2024-{1 + row % 12:02}-{1 + row % 28:02}" for row in range(100)]
    table = pa.table({"mail": [f"a{row // 2}@b.example" for row in range(100)], "arrival": days})
    records = fields.prepare(table, Fields((Field("mail", "email"), Field("arrival", "date"))))
    left = np.arange(0, 100, 2, dtype=np.int32)
    evidence = compare(records, Pairs(left, left + 1))
    believed, doubted = (strangers.agreement(records, evidence, np.full(50, odds)) for odds in (5.0, -50.0))
    assert (believed > doubted).all()


def test_what_agrees_in_most_is_left_alone_and_what_agrees_in_little_is_not_believed() -> None:
    assert strangers.doubted(np.array([0.9, 0.8, 0.1]), np.array([3.0, 3.0, -4.0])) is None
    left = strangers.doubted(np.array([0.2, 0.1, 0.9]), np.array([5.0, 5.0, 4.0]))
    assert left is not None
    assert left.tolist() == [strangers.REFUSED, strangers.REFUSED, 4.0]


def test_what_agrees_in_half_is_believed_in_a_table_of_one_column_alone() -> None:
    half = np.full(3, 0.5), np.full(3, 3.0)
    assert strangers.doubted(*half) is not None
    assert strangers.doubted(*half, mostly=strangers.ALONE) is None


def test_who_agrees_in_one_field_of_three_is_there_by_chance() -> None:
    draw = np.random.default_rng(0)
    rows = [{name: f"{name}{draw.integers(10**6)}" for name in ("first", "last", "street")} for _ in range(60)]
    twins = [row | {"first": f"Q{at}xyz{at}", "street": f"Z{at}w{at}"} for at, row in enumerate(rows)]
    table = pa.Table.from_pylist([*rows, *twins])
    records = fields.prepare(table, Fields((Field("first", "given_name"), Field("last", "surname"), Field("street", "surname"))))
    at = np.arange(60, dtype=np.int32)
    by_last, by_all = (compare(records, Pairs(at, other)) for other in (at + 60, at))
    assert strangers.are_lone(records, by_last, np.full(60, 5.0))
    assert not strangers.are_lone(records, by_all, np.full(60, 5.0))


def test_neighbours_share_a_phone_and_nobody_shares_an_account_unless_another_says_otherwise() -> None:
    rows = [
        {"account": "a1", "mail": "ann@x.org", "tel": "+4930111111", "first": "Ann"},
        {"account": "a1", "mail": None, "tel": None, "first": None},
        {"account": None, "mail": "ann@x.org", "tel": None, "first": "Bertram"},
        {"account": "b2", "mail": "ann@x.org", "tel": "+4930111111", "first": None},
        {"account": None, "mail": None, "tel": "+4930111111", "first": None},
        {"account": None, "mail": "ann@x.org", "tel": None, "first": None},
    ]
    rows += [{"account": f"c{at}", "mail": f"c{at}@x.org", "tel": None, "first": None} for at in range(60)]
    told = Fields((Field("account", "code"), Field("mail", "email"), Field("tel", "phone"), Field("first", "given_name")))
    records = fields.prepare(pa.Table.from_pylist(rows), told)
    others = np.arange(1, 6, dtype=np.int32)
    shares, mailed = strangers.named(records, compare(records, Pairs(np.zeros(5, np.int32), others)))
    assert shares.tolist() == [True, False, False, False, True]
    assert mailed.tolist() == [False, False, False, False, True]


def coinciding(shared: str, kind: str, others: int = 0) -> list[bool]:
    """Whether each of thirty pairs of concerts with this column alone in common is chance, beside `others` that have all in common."""
    draw = np.random.default_rng(0)
    kinds = {"act": "text", "hall": "text", "day": "date", shared: kind}

    def concert() -> dict[str, str]:
        act, hall = ("".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), 9)) for _ in range(2))
        year, month, day = draw.integers(1920, 2020), draw.integers(1, 13), draw.integers(1, 29)
        return {"act": act, "hall": hall, "day": f"{year}-{month:02}-{day:02}", shared: f"{act[:5]}@{hall[:5]}.org"}

    rows = [each | {shared: first[shared]} for first in [concert() for _ in range(30)] for each in (first, concert())]
    rows += [each for one in [concert() for _ in range(others)] for each in (one, one)]
    left = np.arange(0, len(rows), 2, dtype=np.int32)
    records = fields.prepare(pa.Table.from_pylist(rows), Fields(tuple(Field(name, each) for name, each in kinds.items())))
    evidence = compare(records, Pairs(left, left + 1))
    return strangers.coincide(records, evidence, np.full(len(left), 3.0))[:30].tolist()


def test_two_concerts_in_one_town_with_other_acts_halls_and_days_are_two() -> None:
    assert coinciding("town", "place") == [True] * 30


def test_who_shares_a_mail_may_differ_in_all_else() -> None:
    assert coinciding("mail", "email") == [False] * 30


def test_few_pairs_of_many_that_agree_in_one_field_are_slips() -> None:
    assert coinciding("town", "place", others=4000) == [False] * 30


@pytest.mark.service
def test_neighbours_in_a_register_without_duplicates_are_not_joined() -> None:
    table = register(3000)
    first = np.unique(table["person"].to_numpy(zero_copy_only=False), return_index=True)[1]
    distinct = table.take(pa.array(np.sort(first))).drop_columns(["person"])
    found = resolve(distinct)
    assert len(np.unique(found.people)) == len(distinct)
    assert "given_name, dob tell relatives apart" in found.basis
