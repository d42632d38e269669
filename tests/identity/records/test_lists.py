"""Two lists in one table are told apart by how they are written, and one list stays one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from whence.identity.records import store
from whence.identity.records.lists import telling, told_apart
from whence.identity.records.publish import LIST, Request, _may_be_two_lists, publish
from whence.identity.records.reading import Input
from whence.identity.records.table import Fields

KINDS = ("camera", "lens", "tripod", "printer", "scanner", "monitor")


def a_shop(things: int, seed: int) -> list[dict[str, str | None]]:
    """Things with a code of their own, as one shop writes them: in small letters, and always with a price."""
    draw = random.Random(seed)
    return [
        {"title": f"{draw.choice(KINDS)} {draw.choice(KINDS)} {seed}x{at}k", "price": f"{draw.randint(10, 900)}.99"}
        for at in range(things)
    ]


def repeated(things: list[dict[str, str | None]], prices: list[dict[str, str | None]]) -> list[dict[str, str | None]]:
    """The same things once more, written as before, at other prices."""
    return [{**each, "price": other["price"]} for each, other in zip(things, prices, strict=True)]


def another_shop(things: list[dict[str, str | None]], seed: int) -> list[dict[str, str | None]]:
    """The same things as another shop writes them: in capitals, with a dash before the code, and some without a price."""
    draw = random.Random(seed)
    found = []
    for each in things:
        *words, code = str(each["title"]).upper().split()
        found.append(
            {"title": f"{' '.join(words)} - {code}", "price": f"${draw.randint(10, 900)}" if draw.random() < 0.7 else None}
        )
    return found


def test_two_shops_in_one_table_are_told_apart_whatever_the_order_of_rows() -> None:
    ours = a_shop(150, seed=1)
    both = [*ours, *another_shop(ours[:80], seed=2)]
    truth = [False] * 150 + [True] * 80
    found = told_apart(pa.Table.from_pylist(both), ["title", "price"])
    assert found is not None
    assert found.tolist() == truth
    order = random.Random(3).sample(range(len(both)), len(both))
    again = told_apart(pa.Table.from_pylist([both[at] for at in order]), ["title", "price"])
    assert again is not None
    assert again.tolist() == [truth[at] for at in order]


def test_a_list_whose_repeats_are_written_as_all_else_is_one() -> None:
    ours = a_shop(150, seed=1)
    both = [*ours, *repeated(ours[:80], a_shop(80, seed=5))]
    assert told_apart(pa.Table.from_pylist(both), ["title", "price"]) is None


def test_two_ways_to_write_that_go_through_the_middle_of_nobody_are_no_lists() -> None:
    """Half of the things are written in capitals, with all their repeats."""
    ours = a_shop(80, seed=1)
    loud = another_shop(a_shop(80, seed=4), seed=2)
    both = [*ours, *repeated(ours, a_shop(80, seed=5)), *loud, *repeated(loud, another_shop(ours, seed=6))]
    assert told_apart(pa.Table.from_pylist(both), ["title", "price"]) is None


@pytest.mark.service
def test_partners_by_name_alone_tell_shops_apart_whose_own_things_share_more_with_each_other() -> None:
    """Half of the things of a shop have a description that another one has, too, and the other shop has not."""
    ours = a_shop(90, seed=1)
    both = [
        {**each, "about": f"{mark}{at // 2}x {mark}{at // 2}y {mark}{at // 2}z" if at < 46 else None}
        for mark, shop in (("a", ours), ("b", another_shop(ours, seed=2)))
        for at, each in enumerate(shop)
    ]
    table = pa.Table.from_pylist(both)
    assert told_apart(table, ["title", "price", "about"]) is None
    found = told_apart(table, ["title", "price", "about"], {"title"})
    assert found is not None
    assert found.tolist() in ([at >= 90 for at in range(180)], [at < 90 for at in range(180)])


def test_a_column_that_names_the_shop_says_more_than_two_lists_do() -> None:
    ours, loud = a_shop(60, seed=1), another_shop(a_shop(60, seed=1), seed=2)
    rows = [
        {**each, "shop": shop, "size": "ML"[at % 2]}
        for shop, of in zip("abc", (ours, ours, loud), strict=True)
        for at, each in enumerate(of)
    ]
    table, second = pa.Table.from_pylist(rows), np.arange(180) >= 120
    assert telling(table, ["title", "price", "shop", "size"], ["shop", "size"], second) == "shop"
    assert telling(table, ["title", "price", "size"], ["size"], second) is None


@pytest.mark.service
def test_two_shops_in_one_file_are_sources_until_somebody_says_that_they_are_one(tmp_path: Path) -> None:
    ours, path, out = a_shop(150, seed=1), tmp_path / "things.csv", tmp_path / "out"
    rows = [{"id": f"{at}", **each} for at, each in enumerate([*ours, *another_shop(ours[:80], seed=2)])]
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path)
    first = publish(Request((path,), out), datetime(2026, 5, 1, tzinfo=UTC))
    found = 'source = "found_list"'
    assert any("look like two lists, of 150 and 80" in note for note in first.notes)
    assert found in (out / store.FIELDS).read_text()
    assert not publish(Request((path,), out), datetime(2026, 5, 2, tzinfo=UTC)).is_new
    said = "".join(line for line in (out / store.FIELDS).read_text().splitlines(keepends=True) if not line.startswith(found))
    (out / store.FIELDS).write_text(said)
    again = publish(Request((path,), out, force="one list"), datetime(2026, 5, 3, tzinfo=UTC))
    assert not any("two lists" in note for note in again.notes)


@pytest.mark.parametrize(
    ("told", "is_asked"),
    [
        (None, True),
        (Fields(()), True),
        (Fields((), source=LIST), True),
        (Fields((), source=""), False),
        (Fields((), source="shop"), False),
    ],
    ids=["nothing", "no source", "found before", "one list", "a column"],
)
def test_a_file_that_names_a_source_or_none_is_believed(told: Fields | None, is_asked: bool) -> None:
    request = Request((Path("things.csv"),), Path("out"), fields=Path("told.toml") if told else None)
    chosen = Fields((), source=(told and told.source) or None)
    assert _may_be_two_lists(request, told, chosen, Input(pa.table({"title": ["a"]}))) == is_asked
