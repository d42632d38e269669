"""What moves from campaign to campaign adds up, to the micro, to what each has more or less."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.attribution.comparison import NOT_COUNTED, flows, summary, totals
from whence.attribution.credit import NO_AD, split


def credit(*rows: tuple[str, str, int], currency: str = "EUR") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["conversion_id", "campaign_id", "credit_micros"]).assign(currency=currency)


def moved(before: pd.DataFrame, after: pd.DataFrame) -> list[list[Any]]:
    return flows(before, after).to_numpy().tolist()


def test_what_one_campaign_loses_another_gains() -> None:
    before, after = credit(("c", "a", 10), ("d", "a", 5)), credit(("c", "b", 10), ("d", "a", 5))
    assert moved(before, after) == [["EUR", "a", "b", 10, 1]]
    assert totals(before, after).to_numpy().tolist() == [["EUR", "a", 15, 5, -10], ["EUR", "b", 0, 10, 10]]


def test_losers_give_in_proportion_to_what_others_gain() -> None:
    before = credit(("c", "a", 60), ("c", "b", 40))
    after = credit(("c", "x", 75), ("c", NO_AD, 25))
    assert moved(before, after) == [
        ["EUR", "a", "x", 45, 1],
        ["EUR", "b", "x", 30, 1],
        ["EUR", "a", "", 15, 1],
        ["EUR", "b", "", 10, 1],
    ]


def test_the_summary_counts_conversions_and_money_once() -> None:
    before, after = (
        credit(("c", "a", 10), ("d", "a", 5), ("e", "a", 1)),
        credit(("c", "b", 4), ("c", NO_AD, 6), ("d", "a", 5), ("f", "a", 2)),
    )
    assert summary(before, after).to_numpy().tolist() == [["EUR", 4, 3, 16, 13]]


def test_touches_of_one_campaign_are_one_campaign() -> None:
    assert moved(credit(("c", "a", 6), ("c", "a", 4)), credit(("c", "a", 10))) == []


def test_currencies_are_never_mixed() -> None:
    before = pd.concat([credit(("c", "a", 1)), credit(("d", "b", 1), currency="USD")])
    after = pd.concat([credit(("c", "b", 1)), credit(("d", "a", 1), currency="USD")])
    assert moved(before, after) == [["EUR", "a", "b", 1, 1], ["USD", "b", "a", 1, 1]]


def test_a_conversion_that_only_one_policy_counts_comes_from_nowhere() -> None:
    before, after = credit(("pixel", "a", 9)), credit(("server", "a", 7))
    assert moved(before, after) == [["EUR", "a", NOT_COUNTED, 9, 1], ["EUR", NOT_COUNTED, "a", 7, 1]]


def test_nothing_moves_between_equals() -> None:
    same = credit(("c", "a", 1))
    assert moved(same, same) == []
    assert flows(same, same).columns.tolist() == ["currency", "from_campaign", "to_campaign", "micros", "conversions"]


campaigns = st.sampled_from([NO_AD, "a", "b", "c", "d"])
part = st.dictionaries(campaigns, st.integers(1, 50), min_size=1, max_size=5)


@pytest.mark.service
@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), part, part), min_size=1, max_size=5))
def test_every_micro_that_leaves_arrives(conversions: list[Any]) -> None:
    frames = [
        credit(
            *(
                (f"v{i}", name, micros)
                for i, (value, *both) in enumerate(conversions)
                for name, micros in zip(both[side], split(value, list(both[side].values())), strict=True)
            )
        )
        for side in (0, 1)
    ]
    found, change = flows(*frames), totals(*frames).set_index("campaign_id")["change_micros"]
    assert (found["micros"] > 0).all()
    assert summary(*frames)["moved_micros"].sum() == found["micros"].sum()
    net = found.groupby("to_campaign")["micros"].sum().sub(found.groupby("from_campaign")["micros"].sum(), fill_value=0)
    assert net[net != 0].astype(int).to_dict() == change[change != 0].to_dict()
    ever = [flows(*(frame[frame["conversion_id"] == f"v{i}"] for frame in frames)) for i in range(len(conversions))]
    assert all(not set(each["from_campaign"]) & set(each["to_campaign"]) for each in ever)
