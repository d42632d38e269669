"""Two lists in one table are told apart by how they are written, and one list stays one."""

from __future__ import annotations

import random

import pyarrow as pa

from whence.identity.records.lists import told_apart

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
