"""Journeys by every feature of a policy, judged by plain loops; and what must not matter: order, repeats, zones, size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution.journeys_oracle import Row, judged
from whence.attribution import meetings
from whence.attribution.journeys import candidate_touches
from whence.attribution.near import near
from whence.attribution.policy import Policy, Reach, Reengagement, load, presets

START = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
SEEDS = st.integers(0, 2**32)


@dataclass(frozen=True)
class Drawn:
    """A few journeys of two people under a policy; drawn evenly from a seed, for hypothesis would mostly draw the same row again."""

    touches: list[Row]
    conversions: list[Row]
    activity: list[Row]
    policy: Policy


def drawn(seed: int) -> Drawn:
    random = Random(seed)
    touches = [_a_row(random, "touch", 40, place) | _shown(random) for place in range(random.randrange(50))]
    conversions = [_a_row(random, "conversion", 8, place) | _bought(random) for place in range(random.randrange(9))]
    activity = [_an_activity(random) for _ in range(random.randrange(6))]
    for conversion in conversions:
        hours = random.choice([None, None, 0, 20])
        conversion["known_by"] = (
            None if hours is None else conversion["happened_at"] + hours * HOUR + random.choice([0, 1]) * TICK
        )
    return Drawn(touches, conversions, activity, _a_policy(random))


def _a_row(random: Random, name: str, ids: int, place: int) -> Row:
    """A row whose time of being seen is no other's of its table, so that the first telling of an id is plain."""
    at = START + random.randrange(18) * 6 * HOUR
    return {
        f"{name}_id": f"{name}{random.randrange(ids)}",
        "happened_at": at,
        "seen_at": at + random.choice([0, 0, 1, 30]) * HOUR + place * TICK,
        "person_id": random.choice([None, "p", "p", "p", "q"]),
        "click_id": random.choice([None, None, "k", "l"]),
        "product": random.choice([None, "x", "y"]),
        "person_probability": random.choice([None, 1.0, 0.5]),
    }


def _shown(random: Random) -> Row:
    kind = random.choice(["view", "view", "click", "engaged_view", "eligible"])
    return {"kind": kind, "campaign_id": random.choice("ab"), "channel": random.choice("sd")}


def _bought(random: Random) -> Row:
    return {"kind": random.choice(["purchase", "return"])}


def _an_activity(random: Random) -> Row:
    at = START + random.randrange(18) * 6 * HOUR
    return {"person_id": random.choice("pq"), "happened_at": at, "seen_at": at + random.choice([0, 0, 12, 48]) * HOUR}


def _a_policy(random: Random) -> Policy:
    """Windows of which no two name equally much, and all else that says who may be paid; or one that comes with whence."""
    if random.random() < 0.2:
        return load(random.choice(presets()))

    def days() -> float:
        return random.choice([0.25, 1.0, 2.5, 7.0])

    touch, conversion = random.choice(["click", "view"]), random.choice(["purchase", "return"])
    more = (
        Reach(days(), touch, product="same"),
        Reach(days(), touch, channel="s"),
        Reach(days(), touch, channel="s", product="same"),
        Reach(days(), touch, channel="s", campaign="a"),
        Reach(days(), touch, product="x", conversion=conversion, channel="d", campaign="b"),
    )
    windows = [Reach(days(), kind) for kind in ("click", "view", "engaged_view")]
    windows += [each for each in more if random.random() < 0.5]
    random.shuffle(windows)
    quiet = Reengagement(("return",), random.choice([1.0, 3.0]), random.choice([0.0, 2.0]))
    return Policy(
        windows=tuple(windows),
        click_over_view=random.random() < 0.5,
        max_touches=random.choice([1, 2, 3, 50]),
        reengagement=quiet if random.random() < 0.5 else Reengagement(),
    )


def as_frame(rows: list[Row], columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns).astype({name: object for name in columns if not name.endswith(("_at", "_by"))})
    times = {name: pd.to_datetime(frame[name], utc=True) for name in columns if name.endswith(("_at", "_by"))}
    return frame.assign(**times)


COMMON = ["happened_at", "seen_at", "kind", "person_id", "click_id", "product", "person_probability"]
TOUCHES = ["touch_id", *COMMON, "campaign_id", "channel"]
CONVERSIONS = ["conversion_id", *COMMON, "known_by"]
ACTIVITY = ["person_id", "happened_at", "seen_at"]


def frames(given: Drawn) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return as_frame(given.conversions, CONVERSIONS), as_frame(given.touches, TOUCHES), as_frame(given.activity, ACTIVITY)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_plain_loops_find_the_same_pairs_with_the_same_context(seed: int) -> None:
    some = drawn(seed)
    bought, shown, activity = frames(some)
    found = candidate_touches(bought, shown, some.policy, activity)
    told = judged(some.conversions, some.touches, some.policy, some.activity)
    columns = list(told[0]) if told else ["conversion_id", "touch_id"]
    assert found[columns].replace({np.nan: None}).to_dict("records") == told


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_neither_the_order_of_rows_nor_repeats_nor_zones_nor_the_size_of_a_chunk_matter(seed: int) -> None:
    some = drawn(seed)
    bought, shown, activity = frames(some)
    expected = candidate_touches(bought, shown, some.policy, activity)
    elsewhere = {name: shown[name].dt.tz_convert("Asia/Tokyo") for name in ("happened_at", "seen_at")}
    again = pd.concat([shown.assign(**elsewhere), shown.tail(3).assign(**elsewhere)]).iloc[::-1]
    bought_again = pd.concat([bought.iloc[::-1], bought.head(2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meetings, "CHUNK", 1)
        pd.testing.assert_frame_equal(candidate_touches(bought_again, again, some.policy, activity.iloc[::-1]), expected)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_the_touches_near_by_tell_all(seed: int) -> None:
    some = drawn(seed)
    bought, shown, activity = frames(some)
    bought = bought.drop(columns=["click_id"] if seed % 2 else [])
    CONNECTION.register("touches", pa.Table.from_pandas(shown, schema=SCHEMA, preserve_index=False))
    few = near(CONNECTION, "touches", bought, some.policy)
    expected = candidate_touches(bought, shown, some.policy, activity)
    pd.testing.assert_frame_equal(candidate_touches(bought, few, some.policy, activity), expected)


CONNECTION = duckdb.connect(config={"threads": 1})
INSTANTS = {name: pa.timestamp("us", "UTC") for name in ("happened_at", "seen_at")}
SCHEMA = pa.schema(
    [(name, INSTANTS.get(name, pa.float64() if name == "person_probability" else pa.string())) for name in TOUCHES]
)


def many(number: int, **changes: Any) -> pd.DataFrame:
    at = pd.Timestamp(START) + pd.to_timedelta(np.arange(number), unit="s")
    columns = {"touch_id": [f"t{place:07d}" for place in range(number)], "person_id": "p", "happened_at": at, "seen_at": at}
    return pd.DataFrame({**columns, "kind": "click", "campaign_id": "a", "channel": "s", **changes})


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
