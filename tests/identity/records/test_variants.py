"""Things that agree in all but an attribute or two are variants of one thing, where the columns show it."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import fields, series, variants
from whence.identity.records.compare import compare
from whence.identity.records.resolve import resolve
from whence.identity.records.table import Field, Fields, Pairs

SIZES = ("small", "medium", "large", "wide")
STYLES = [
    f"{a}{b} {c}" for a, b, c in product(("bal", "fid", "mor", "tev", "hus"), ("ona", "ire", "usk", "ept"), ("shirt", "dress"))
]


def told(rows, kinds):
    """What is told of all pairs of rows of one style that are believed to be one."""
    made = tuple(Field(name, kind) for name, kind in kinds.items())
    records = fields.prepare(pa.Table.from_pylist(rows), Fields(made))
    of = {}
    for at, row in enumerate(rows):
        of.setdefault(row["style"], []).append(at)
    both = np.array(sorted(pair for each in of.values() for pair in combinations(each, 2)), dtype=np.int32)
    pairs = Pairs(both[:, 0], both[:, 1])
    return variants.told_apart(records, pairs, compare(records, pairs), np.full(len(both), 4.0)), pairs


KINDS = {"style": "text", "size": "category"}
EACH_ONCE = [{"style": style, "size": size} for at, style in enumerate(STYLES) for size in (SIZES[at % 4], SIZES[(at + 1) % 4])]


def test_sizes_of_a_list_that_has_each_thing_once_are_told_apart_since_no_two_agree():
    found, pairs = told(EACH_ONCE, KINDS)
    assert (found.columns, len(found.apart)) == (("size",), len(pairs.left))
    assert found.log_odds.tolist() == [series.REFUSED] * len(pairs.left)


def test_a_few_things_that_are_there_twice_are_still_one():
    rows = [*EACH_ONCE, *({"style": row["style"], "size": row["size"]} for row in EACH_ONCE[:6:2])]
    found, pairs = told(rows, KINDS)
    same = [rows[a]["size"] == rows[b]["size"] for a, b in zip(pairs.left, pairs.right, strict=True)]
    assert sum(same) == 3
    assert (found.log_odds > 0).tolist() == same


def test_size_and_colour_tell_apart_together_where_each_alone_agrees_as_often_as_by_chance():
    kinds = {**KINDS, "colour": "category"}
    rows = [
        {"style": style, "size": size, "colour": colour}
        for style in STYLES
        for size, colour in product(SIZES[:2], ("black", "white", "red"))
    ]
    found, pairs = told(rows, kinds)
    assert set(found.columns) == {"size", "colour"}
    assert len(found.apart) == len(pairs.left)


def test_where_many_are_there_twice_what_these_share_tells_variants_apart_and_a_price_does_not():
    kinds = {**KINDS, "strength": "category", "form": "category", "price": "number"}
    draw = np.random.default_rng(0)
    rows = [
        {"style": style, "size": size, "strength": strength, "form": form, "price": f"{draw.integers(5, 60)}.99"}
        for style in STYLES
        for size, strength, form in draw.permutation(list(product(SIZES, ("5 mg", "10 mg", "20 mg"), ("gel", "oil", "wax"))))[:3]
        for _ in range(3)
    ]
    found, pairs = told(rows, kinds)
    assert set(found.columns) == {"size", "strength", "form"}
    same = [rows[a] | {"price": 0} == rows[b] | {"price": 0} for a, b in zip(pairs.left, pairs.right, strict=True)]
    assert (found.log_odds > 0).tolist() == same


@pytest.mark.parametrize("column", ["retailer", "shop_name"])
def test_who_lists_a_thing_tells_nothing_apart(column):
    rows = [{"style": row["style"], column: row["size"]} for row in EACH_ONCE]
    assert told(rows, {"style": "text", column: "category"})[0] is None


def test_two_prices_that_come_near_are_two_offers_of_one_thing_whatever_the_column_is_called():
    rows = [row | {"price": f"{100 + 7 * at % 13}.{at:02}"} for at, row in enumerate(EACH_ONCE)]
    assert told(rows, {**KINDS, "price": "number"})[0] is None


def test_what_happens_to_people_does_not_tell_them_apart():
    rows = [row | {"mail": f"{row['style'].replace(' ', '.')}@mail.example"} for row in EACH_ONCE]
    assert told(rows, {**KINDS, "mail": "email"})[0] is None


def test_slips_blanks_and_short_forms_are_no_other_values():
    rows = [
        {"style": style, "size": size}
        for at, style in enumerate(STYLES)
        for size in (("medium", "med") if at % 2 else ("50 mg", "50mg"))
    ]
    assert told(rows, KINDS)[0] is None


@pytest.mark.service
def test_rooms_of_a_hotel_are_not_joined_and_a_note_says_which_columns_tell_them_apart():
    draw = np.random.default_rng(1)
    names = [f"hotel {''.join(draw.choice(list('abcdefghiklmnoprstuvw'), 7))}" for _ in range(150)]
    table = pa.Table.from_pylist(
        [
            {
                "hotel": name,
                "street": f"{at} {name[6:][::-1]} street",
                "room": room,
                "view": view,
                "rate": f"{draw.integers(50, 400)}",
            }
            for at, name in enumerate(names)
            for room, view in draw.permutation(list(product(("single", "double", "suite"), ("sea view", "city view"))))[:4]
        ]
    )
    made = resolve(
        table, Fields((Field("hotel", "text"), Field("street", "address"), Field("room", "category"), Field("view", "category")))
    )
    assert len(np.unique(made.people)) == len(table)
    assert any("since they differ in room or view" in note for note in made.notes)
    assert made.apart is not None
    assert "they differ in room or view" in made.apart.why
