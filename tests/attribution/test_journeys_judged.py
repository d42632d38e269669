"""Journeys by every feature of a policy, judged by plain loops; and what must not matter: order, repeats, zones, size."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.bench_attribution import few
from infra.bench_attribution.few import START, TOUCHES
from infra.bench_attribution.plain_loops import judged
from whence.attribution import meetings
from whence.attribution import near as near_by
from whence.attribution.journeys import candidate_touches
from whence.attribution.near import near
from whence.attribution.policy import Policy, Reengagement

SEEDS = st.integers(0, 2**32)


@pytest.mark.service
@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_plain_loops_find_the_same_pairs_with_the_same_context(seed: int) -> None:
    some = few.drawn(seed)
    bought, shown, activity = few.frames(some)
    found = candidate_touches(bought, shown, some.policy, activity)
    told = judged(some.conversions, some.touches, some.policy, some.activity)
    columns = list(told[0]) if told else ["conversion_id", "touch_id"]
    assert found[columns].replace({np.nan: None}).to_dict("records") == told


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_neither_the_order_of_rows_nor_repeats_nor_zones_nor_the_size_of_a_chunk_matter(seed: int) -> None:
    some = few.drawn(seed)
    bought, shown, activity = few.frames(some)
    expected = candidate_touches(bought, shown, some.policy, activity)
    elsewhere = {name: shown[name].dt.tz_convert("Asia/Tokyo") for name in ("happened_at", "seen_at")}
    again = pd.concat([shown.assign(**elsewhere), shown.tail(3).assign(**elsewhere)]).iloc[::-1]
    bought_again = pd.concat([bought.iloc[::-1], bought.head(2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meetings, "CHUNK", 1)
        pd.testing.assert_frame_equal(candidate_touches(bought_again, again, some.policy, activity.iloc[::-1]), expected)


@pytest.mark.service
@settings(max_examples=10, deadline=None)
@given(SEEDS, st.sampled_from([1, 10, near_by.AT_ONCE]), st.sampled_from([0, near_by.SPARE]))
def test_the_touches_near_by_tell_all_however_few_are_held(seed: int, at_once: int, spare: int) -> None:
    some = few.drawn(seed)
    bought, shown, activity = few.frames(some)
    bought = bought.drop(columns=["click_id"] if seed % 2 else [])
    CONNECTION.register("touches", pa.Table.from_pandas(shown, schema=SCHEMA, preserve_index=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_by, "AT_ONCE", at_once)
        patch.setattr(near_by, "SPARE", spare)
        around = near(CONNECTION, "touches", bought, some.policy)
    expected = candidate_touches(bought, shown, some.policy, activity)
    pd.testing.assert_frame_equal(candidate_touches(bought, around, some.policy, activity), expected)


def test_of_a_person_with_many_touches_only_as_many_are_near_as_can_be_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = many(20_000, kind=np.where(np.arange(20_000) % 2 == 0, "click", "view"))
    CONNECTION.register("touches", pa.Table.from_pandas(shown, preserve_index=False))
    bought = shown.loc[[9_999, 19_999], ["person_id", "happened_at", "seen_at"]].assign(conversion_id=["c", "d"], kind="purchase")
    monkeypatch.setattr(near_by, "AT_ONCE", 1_000)
    around = near(CONNECTION, "touches", bought, Policy(max_touches=3))
    assert len(around) == 2 * 2 * (3 + near_by.SPARE), "of clicks and views before each conversion"
    pd.testing.assert_frame_equal(*(candidate_touches(bought, each, Policy(max_touches=3)) for each in (around, shown)))


CONNECTION = duckdb.connect(config={"threads": 1})
INSTANTS = {name: pa.timestamp("us", "UTC") for name in ("happened_at", "seen_at")}
SCHEMA = pa.schema(
    [(name, INSTANTS.get(name, pa.float64() if name == "person_probability" else pa.string())) for name in TOUCHES]
)


def many(number: int, **changes: Any) -> pd.DataFrame:
    at = pd.Timestamp(START) + pd.to_timedelta(np.arange(number), unit="s")
    columns = {"touch_id": [f"t{place:07d}" for place in range(number)], "person_id": "p", "happened_at": at, "seen_at": at}
    return pd.DataFrame({**columns, "kind": "click", "campaign_id": "a", "channel": "s", **changes})


@pytest.mark.service
def test_a_conversion_with_a_hundred_thousand_touches_keeps_the_latest_and_counts_all_ghosts() -> None:
    kinds = np.where(np.arange(100_000) % 4 == 0, "eligible", "click")
    touches = many(100_000, kind=kinds, campaign_id=np.where(np.arange(100_000) % 8 == 0, "a", "b"))
    end = touches["happened_at"].iloc[-1] + pd.Timedelta(seconds=1)
    bought = pd.DataFrame(
        {"conversion_id": ["c"], "person_id": ["p"], "happened_at": [end], "seen_at": [end], "kind": ["purchase"]}
    )
    pairs = candidate_touches(bought, touches.sample(frac=1, random_state=0), Policy(max_touches=3))
    assert pairs["touch_id"].tolist() == ["t0099997", "t0099998", "t0099999"]
    inside = touches[touches["happened_at"] >= end - pd.Timedelta(days=1)]
    assert pairs["eligible_any"].unique().tolist() == [(inside["kind"] == "eligible").sum()]
    assert pairs["eligible_campaign"].tolist() == [((inside["kind"] == "eligible") & (inside["campaign_id"] == "b")).sum()] * 3


@pytest.mark.service
def test_a_repeat_is_found_among_many() -> None:
    touches = many(60_000)
    again = touches.tail(2).assign(seen_at=touches["seen_at"].iloc[-1] + pd.Timedelta(hours=1), campaign_id="told later")
    end = touches["happened_at"].iloc[-1] + pd.Timedelta(seconds=1)
    bought = pd.DataFrame(
        {"conversion_id": ["c"], "person_id": ["p"], "happened_at": [end], "seen_at": [end], "kind": ["purchase"]}
    )
    pairs = candidate_touches(bought, pd.concat([again, touches]), Policy(max_touches=3))
    assert pairs[["touch_id", "campaign_id"]].to_numpy().tolist() == [["t0059997", "a"], ["t0059998", "a"], ["t0059999", "a"]]


def test_a_policy_that_asks_who_was_quiet_wants_to_be_told() -> None:
    policy = Policy(name="ours", reengagement=Reengagement(("return",), 7.0))
    bought = many(1, kind="return").rename(columns={"touch_id": "conversion_id"})
    with pytest.raises(ValueError, match=r"'ours' asks whether people were inactive for 7 days.*Give the sightings"):
        candidate_touches(bought, many(1), policy)
