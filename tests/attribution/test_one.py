"""One conversion by itself: its touches, their inputs, its shares and its credit are to the bit those that a table gives it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_click, a_conversion, a_touch, an_instant
from whence.attribution import credit, evidence, journeys, one, rules
from whence.attribution.customers import standing
from whence.attribution.policy import PAID_KINDS, CoolDown, NewToBrand, Policy, Reach, Reengagement
from whence.contracts.events import CONVERSIONS

NOON = an_instant("12:00", "2026-05-20")
AT_NOON = NOON + timedelta(microseconds=1)
names, some_names = st.sampled_from(["a", "b"]), st.sampled_from(["a", "b", None])
touch = st.fixed_dictionaries(
    {
        "ago": st.integers(-2, 60),
        "late": st.sampled_from([0, 0, 1, 30]),
        "kind": st.sampled_from([*PAID_KINDS, "click", "eligible"]),
        "campaign_id": names,
        "channel": names,
        "product": some_names,
        "click_id": some_names,
        "cookie_id": some_names,
        "device_id": some_names,
        "ip_key": some_names,
    }
)
sale = st.tuples(st.integers(0, 60), st.sampled_from(["purchase", "install"]))
conversion = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["purchase", "install"]),
        "value_micros": st.sampled_from([0, 1, 7, 10_000_001, 2**62]),
        "product": some_names,
        "click_id": some_names,
        "cookie_id": some_names,
        "device_id": some_names,
        "ip_key": some_names,
    }
)
WINDOWS = (
    (Reach(12.0),),
    (Reach(2.0, "click"), Reach(1.0, "view"), Reach(1.0, "engaged_view")),
    (Reach(12.0, "click"), Reach(0.5), Reach(2.0, "click", channel="a"), Reach(3.0, "view", product="same")),
    (Reach(12.0), Reach(1.0, conversion="purchase"), Reach(2.5, conversion="purchase", product="a"), Reach(0.3, campaign="b")),
)
policies = st.builds(
    Policy,
    windows=st.sampled_from(WINDOWS),
    click_over_view=st.booleans(),
    max_touches=st.sampled_from([1, 2, 50, 50]),
    cool_downs=st.sampled_from([(), (CoolDown("install", 2.0, ("purchase",)),), (CoolDown("purchase", 1.0),)]),
    new_to_brand=st.sampled_from([NewToBrand(), NewToBrand(look_back_days=1, only=True)]),
    reengagement=st.sampled_from([Reengagement(), Reengagement(("purchase",), 0.5), Reengagement(("purchase",), 0.25, 6.0)]),
    parameters=st.sampled_from([{}, {"time_decay": {"half_life_days": 0.25}, "position": {"first": 0.3, "last": 0.5}}]),
)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(touch, max_size=7), conversion, st.lists(sale, max_size=3), policies, st.sampled_from(["p", "p", None]))
def test_one_conversion_gets_what_it_gets_in_a_table(
    told: Sequence[dict[str, Any]], asked: dict[str, Any], sales: Sequence[Any], policy: Policy, person: str | None
) -> None:
    touches = [_touch(place, **each) for place, each in enumerate(told)]
    before = [_conversion(NOON - timedelta(hours=ago), f"c{place}", kind=kind) for place, (ago, kind) in enumerate(sales)]
    bought = _conversion(NOON, "now", **asked)
    found = one.journey(bought, person, touches, policy, AT_NOON, [each["happened_at"] for each in before])

    counted = pd.DataFrame([{**bought, "person_id": person, "known_by": AT_NOON}])
    shown = pd.DataFrame(touches, columns=list(journeys.TOUCH_COLUMNS)).assign(person_id=person)
    earlier = pd.DataFrame(before, columns=CONVERSIONS.names).assign(person_id=person)
    earlier[["happened_at", "seen_at"]] = earlier[["happened_at", "seen_at"]].apply(pd.to_datetime, utc=True)
    pairs = journeys.candidate_touches(counted, shown, policy, earlier[["person_id", "happened_at", "seen_at"]])
    assert found.ids == pairs["touch_id"].tolist()
    for name, column in evidence.path_columns(pairs).items():
        np.testing.assert_array_equal(found.path[name], column, err_msg=name)

    judged = standing(counted, earlier, policy)
    is_paying = one.pays(bought, before if person else (), policy)
    assert is_paying == judged["pays"].item()
    probability = np.linspace(0.1, 0.7, len(pairs))
    shares = {rule: (one.shares(found, rule, policy), rules.share(pairs, rule, policy)) for rule in rules.RULES}
    shares[rules.RANKER] = one.ranker_shares(probability), rules.ranker_share(pairs, probability)
    for name, (mine, by_table) in shares.items():
        assert mine.tolist() == by_table.tolist(), name
        rows = credit.credit_rows(counted.assign(pays=judged["pays"]), pairs, by_table, name)
        credited = [
            (credit.NO_AD if row is None else row["touch_id"], share, part)
            for row, share, part in one.credits(bought["value_micros"], found, mine, is_paying)
        ]
        rows = rows.sort_values("share", ascending=False, kind="stable")
        assert credited == list(rows[["touch_id", "share", "credit_micros"]].itertuples(index=False, name=None)), name


def test_a_ghost_is_context_for_somebody_who_was_busy_too() -> None:
    policy = Policy(windows=(Reach(3.0),), reengagement=Reengagement(("purchase",), 0.25))
    touches = [a_click(NOON - timedelta(hours=30)), a_touch(NOON - timedelta(hours=2), kind="eligible")]
    found = one.journey(_conversion(NOON, "now"), "p", touches, policy, AT_NOON, [NOON - timedelta(hours=3)])
    assert found.path["eligible_any"].tolist() == [1.0]


def test_shares_above_one_are_a_mistake_in_a_table_and_alone() -> None:
    walked = one.journey(a_conversion("12:00"), "p", [a_click("10:00"), a_touch("11:00")], Policy(), AT_NOON, ())
    with pytest.raises(ValueError, match=r"sum to 1\.500000, above 1"):
        one.credits(10, walked, np.array([0.75, 0.75]), is_paying=True)


def _touch(place: int, ago: int, late: int, **changes: Any) -> dict[str, Any]:
    at = NOON - timedelta(hours=ago)
    return a_touch(at, touch_id=f"t{(place * 5) % 7}", seen_at=at + timedelta(hours=late), **changes)


def _conversion(at: Any, name: str, **changes: Any) -> dict[str, Any]:
    return a_conversion(at, conversion_id=name, event_id=name, **changes)
