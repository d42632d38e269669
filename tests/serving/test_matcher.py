"""Online equals batch: for the same knowledge, the same policy gives the same credit, and what cannot be known is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.online import FIELDS, Columns, judged, micros, nothing, pack
from features.packing import LAYOUTS
from features.shelves import Asked, Block, Question, Shelf, SqliteShelf, StoreDown, block_of
from serving import matcher
from serving.at_once import Blocking, at_once
from serving.daily import attributing
from tests.builders import a_click, a_conversion, a_touch, an_instant
from tests.serving import tiny
from tests.serving.known import a_home, a_signal, a_store
from whence.attribution import journeys, orders, rules
from whence.attribution.policy import PAID_KINDS, CoolDown, NewToBrand, Policy, Reach, Reengagement
from whence.attribution.policy import Orders as Telling
from whence.attribution.told import Touches
from whence.bundle import Scorer, encode
from whence.contracts.events import CONVERSIONS
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Identity
from whence.identity import evidence as identity_evidence

START = an_instant("00:00", "2026-05-20")
NOON = an_instant("12:00", "2026-05-20")


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return tiny.a_scorer(tmp_path_factory.mktemp("bundles"), IDENTITY_RANKER)


@dataclass(frozen=True)
class Memory:
    """A store that knows one person, up to the start of the day."""

    touches: Sequence[dict[str, Any]] = ()
    sales: Sequence[dict[str, Any]] = ()

    async def columns_awaited(self, asked: Asked, now: int, question: Question, *, is_whole: bool = False) -> list[Columns]:
        return [self._person(now) if view == "person_features" else nothing(view, len(keys)) for view, keys in asked]

    def _person(self, now: int) -> Columns:
        told = [{"sale": each.get("order_id") or each["conversion_id"], **each} for each in self.sales]
        values = {
            "recent_touches": _json(self.touches, "touch_id", "kind", "campaign_id", "channel", "product", "click_id"),
            "recent_sales": _json(told, "sale", "conversion_id", "kind"),
        }
        _, packed = pack("person_features", values, micros(START))
        return judged(block_of(LAYOUTS["person_features"], [packed]), now, max_age_hours=48.0)


def _json(rows: Sequence[dict[str, Any]], *names: str) -> str:
    return json.dumps(
        [{"happened_at": row["happened_at"].isoformat(), **{name: row.get(name) for name in names}} for row in rows]
    )


def asked(
    conversion: dict[str, Any], policy: Policy, memory: Memory | None = None, sent: Sequence[dict[str, Any]] = ()
) -> matcher.Credit:
    whole = {name: conversion.get(name) for name in CONVERSIONS.names}
    return at_once(matcher.attribute(whole, sent, "p", matcher.Known(memory or Memory(), whole["seen_at"]), None, policy))


def by_day(conversions: Sequence[dict[str, Any]], touches: Sequence[dict[str, Any]], policy: Policy) -> pd.DataFrame:
    """The credit that the batch gives, of the policy's algorithm."""
    columns = ["day", *CONVERSIONS.names]
    told = pd.DataFrame(conversions, columns=columns).assign(person_id="p")
    last = told["day"].eq(told["day"].max())
    counted = orders.sort_out(told[last], told[~last], policy).counted
    shown = pd.DataFrame(touches).reindex(columns=list(journeys.TOUCH_COLUMNS)).assign(person_id="p")
    pairs = journeys.candidate_touches(counted, shown, policy, told[["person_id", "happened_at", "seen_at"]])
    every = Touches.of(shown)
    algorithms = attributing.plain(replace(policy, algorithms=(policy.algorithm,)), pairs, every)
    return attributing.credits_of(counted, attributing.judged(pairs, every, policy), algorithms)


hours = st.integers(0, 60)
names = st.sampled_from(["a", "b"])
touch = st.tuples(hours, st.sampled_from([*PAID_KINDS, "click", "eligible"]), names, names, st.sampled_from(["a", "b", None]))
sale = st.tuples(hours, st.sampled_from(["purchase", "install"]), st.sampled_from([None, None, "o1", "o2"]))
WINDOWS = (
    (Reach(12.0),),
    (Reach(2.0, "click"), Reach(1.0, "view"), Reach(1.0, "engaged_view")),
    (Reach(12.0, "click"), Reach(0.5), Reach(2.0, "click", channel="a"), Reach(3.0, "view", product="same")),
    (Reach(12.0), Reach(1.0, conversion="purchase"), Reach(2.5, conversion="purchase", product="a")),
)
policies = st.builds(
    Policy,
    algorithm=st.sampled_from(rules.RULES),
    windows=st.sampled_from(WINDOWS),
    click_over_view=st.booleans(),
    max_touches=st.sampled_from([1, 2, 50, 50]),
    cool_downs=st.sampled_from([(), (CoolDown("install", 2.0, ("purchase",)),), (CoolDown("purchase", 1.0),)]),
    new_to_brand=st.sampled_from([NewToBrand(), NewToBrand(look_back_days=1, only=True)]),
    reengagement=st.sampled_from([Reengagement(), Reengagement(("purchase",), 0.5), Reengagement(("purchase",), 0.25, 6.0)]),
    parameters=st.sampled_from([{}, {"time_decay": {"half_life_days": 0.25}, "position": {"first": 0.3, "last": 0.5}}]),
)
journey = st.lists(touch, min_size=2, max_size=6)


@pytest.mark.service
@settings(max_examples=10, deadline=None, derandomize=True)
@given(journey, st.lists(sale, max_size=3), sale, st.integers(1, 10**7), policies, st.integers(0, 6))
def test_online_gives_what_the_day_gives(
    shown: list[Any], before: list[Any], now: Any, value: int, policy: Policy, sent: int
) -> None:
    touches = [
        a_touch(START - timedelta(hours=ago), kind=kind, campaign_id=campaign, channel=channel, product=product, touch_id=f"t{i}")
        for i, (ago, kind, campaign, channel, product) in enumerate(shown)
    ]
    sales = [
        a_conversion(START - timedelta(hours=ago + 1), kind=kind, order_id=order, conversion_id=f"c{i}")
        for i, (ago, kind, order) in enumerate(before)
    ]
    kind, order = now[1:]
    conversion = a_conversion(NOON, kind=kind, order_id=order, conversion_id="now", value_micros=value, product="a")
    first = pd.DataFrame(sales).sort_values("happened_at").to_dict("records") if sales else []
    once = list({each["order_id"] or each["conversion_id"]: each for each in reversed(first)}.values())
    found = asked(conversion, policy, Memory(touches[sent:], once), touches[:sent])
    batch = by_day([*sales, conversion], touches, policy)
    told = [(each.touch_id, each.campaign_id, each.channel, each.share, each.credit_micros) for each in found.earned]
    rows = batch[["touch_id", "campaign_id", "channel", "share", "credit_micros"]].itertuples(index=False, name=None)
    assert sorted(told) == sorted(rows)
    assert found.algorithm == policy.algorithm
    assert found.earned or "counts once" in found.degraded[-1]


def test_a_refund_has_no_credit_online_and_the_answer_says_why() -> None:
    back = a_conversion(NOON, kind="refund", refund_of="c", value_micros=-5)
    found = asked(back, Policy(), Memory([a_click(START)]))
    assert (found.earned, found.degraded) == ((), ("what a refund takes back is known by the day",))


def test_an_order_that_was_told_before_has_no_credit_and_one_that_is_asked_again_has() -> None:
    memory = Memory([a_click(START - timedelta(hours=1), touch_id="t")], [a_conversion(START, conversion_id="c", order_id="o")])
    again, other = (a_conversion(NOON, conversion_id=name, order_id="o") for name in ("c", "d"))
    assert [each.touch_id for each in asked(again, Policy(), memory).earned] == ["t"]
    found = asked(other, Policy(), memory)
    assert (found.earned, found.degraded) == ((), ("order o was told before, and counts once",))


@pytest.mark.parametrize(
    ("policy", "conversion", "said"),
    [
        (
            Policy(algorithms=(), windows=(Reach(30.0, "click"),)),
            {},
            "touches are known since 2026-05-06 00:00, and the policy looks back 30 days",
        ),
        (Policy(algorithms=()), {"click_id": "k"}, "the touch of its click_id is not known"),
        (
            Policy(algorithms=(), reengagement=Reengagement(("purchase",), 7.0)),
            {},
            "sightings are not known, so a touch may count whose person had not gone quiet",
        ),
        (
            Policy(algorithms=(), cool_downs=(CoolDown("purchase", 90),)),
            {},
            "conversions are known for 14 days, and a cool-down lasts 90",
        ),
        (
            Policy(algorithms=(), new_to_brand=NewToBrand(only=True)),
            {},
            "conversions are known for 14 days, and who bought before is no new customer for 365",
        ),
        (
            Policy(algorithms=(), orders=Telling(prefer="server")),
            {"order_id": "o"},
            "the server's telling of order o counts instead, if it comes today",
        ),
        (
            Policy(algorithms=()),
            {"order_id": "o"},
            "whether order o was told before today is known, and not whether earlier today",
        ),
        (Policy(algorithm="markov", algorithms=("markov",)), {}, "markov is computed by the day, and last_touch answers"),
        (Policy(algorithm="ranker", algorithms=("ranker",)), {}, "attribution-ranker has no champion"),
    ],
)
def test_what_only_the_day_can_know_is_said(policy: Policy, conversion: dict[str, Any], said: str) -> None:
    found = asked(a_conversion(NOON, **conversion), policy, Memory([a_click(START)]))
    assert found.degraded == (said,)
    assert len(found.earned) == 1


def test_a_person_with_more_touches_than_are_kept_is_known_since_the_oldest() -> None:
    touches = [a_touch(START - timedelta(minutes=minute)) for minute in range(50)]
    found = asked(a_conversion(NOON), Policy(algorithms=()), Memory(touches))
    assert found.degraded == ("touches are known since 2026-05-19 23:11, and the policy looks back 7 days",)


def test_a_touch_after_a_known_conversion_wins_nobody_back_online_either() -> None:
    policy = Policy(algorithms=("last_touch",), reengagement=Reengagement(("purchase",), 1.0))
    click = a_click(START - timedelta(hours=1), touch_id="t")
    for ago, earner in ((3, ""), (30, "t")):
        memory = Memory([click], [a_conversion(START - timedelta(hours=ago), kind="visit", conversion_id="c")])
        assert [each.touch_id for each in asked(a_conversion(NOON), policy, memory).earned] == [earner]


people = st.lists(st.sampled_from(["ann", "bob", "cid"]), unique=True, max_size=3)
known_person = st.fixed_dictionaries(
    {
        "identifiers": st.none() | st.integers(0, 50),
        "user_agents": st.none() | st.lists(st.sampled_from(["Chrome 120", "Safari 17 iOS", ""]), max_size=2).map(json.dumps),
        "locale": st.sampled_from([None, "en-GB", "de-DE"]),
        "mean_hour": st.none() | st.floats(0, 24),
        "last_seen_at": st.none() | st.integers(1, 10**12).map(lambda ago: START - timedelta(microseconds=ago)),
    }
)
known_pair = st.fixed_dictionaries(
    {
        "days_together_14d": st.none() | st.integers(0, 14),
        "share_of_person_14d": st.none() | st.floats(0, 1),
        "last_together_at": st.none() | st.integers(1, 10**12).map(lambda ago: START - timedelta(microseconds=ago)),
    }
)
signals = st.fixed_dictionaries(
    {
        "user_agent": st.sampled_from([None, "Chrome 120", "Firefox/3;x"]),
        "locale": st.sampled_from([None, "en-GB"]),
        "cookie_id": st.sampled_from([None, "c"]),
        "happened_at": st.integers(0, 10**11).map(lambda ago: NOON - timedelta(microseconds=ago)),
    }
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people, st.lists(known_person, min_size=3, max_size=3), st.lists(known_pair, max_size=3), signals, signals)
def test_what_the_model_is_shown_online_is_what_training_shows_it(
    tmp_path: Path,
    ranker: Scorer,
    listed: list[str],
    persons: list[Any],
    pairs: list[Any],
    told: dict[str, Any],
    other: dict[str, Any],
) -> None:
    rows: dict[str, Any] = {
        "identifier_features": {("cookie_id:c",): {"events_1d": 1}},
        "network_features": {("home",): {"people": json.dumps(listed), "events_7d": 7}},
        "person_features": {(name,): values for name, values in zip(("ann", "bob", "cid"), persons, strict=True)},
        "pair_features": {("home", name): values for name, values in zip(("ann", "bob", "cid"), pairs, strict=False)},
    }
    later, again = NOON + timedelta(hours=3), {**told, "happened_at": START}
    with a_store(tmp_path / str(uuid4()), START, **rows) as store:
        for now, each in ((NOON, told), (NOON, other), (later, again)):  # what stands was kept in between
            signal = a_signal(now, **each)
            scored = at_once(matcher.match(signal, matcher.Known(Blocking(store), now), ranker, Identity())).scored
            if not listed:
                assert scored is None
                continue
            assert scored is not None
            assert list(scored.options) == listed
            offline = _offline(rows, listed, signal, (now - START) / timedelta(hours=1))
            np.testing.assert_array_equal(scored.matrix, encode(offline, ranker.schema))
            assert [scored.raw.tolist(), scored.probability.tolist()] == [each.tolist() for each in ranker.score(offline)]


def _offline(rows: dict[str, Any], listed: list[str], signal: dict[str, Any], age: float) -> pd.DataFrame:
    cookie = f"cookie_id:{signal['cookie_id']}"
    keys = {name: [(cookie,), ("home",), (name,), ("home", name)] for name in listed}
    facts = [
        {
            f"{view}__{name}": None if (row := rows[view].get(key)) is None else age if name == "age_hours" else row.get(name)
            for view, key in zip(rows, keys[person], strict=True)
            for name in (*FIELDS[view], "age_hours")
        }
        for person in listed
    ]
    asked = pd.DataFrame([{**signal, "person_id": name} for name in listed])
    return identity_evidence.pair_frame(asked, pd.DataFrame(facts, dtype=object))


def test_an_old_value_and_a_lost_store_do_not_speak_and_the_answer_says_so(tmp_path: Path, ranker: Scorer) -> None:
    with a_store(tmp_path, NOON - timedelta(hours=49), **a_home(NOON)) as store:
        known = matcher.Known(Blocking(store), NOON)
        assert at_once(matcher.match(a_signal(NOON), known, ranker, Identity())).method == "none"
        assert known.degraded == ["identifier_features is unknown", "network_features is stale: 49 h old"]
        assert (dict(known.stale), known.unknown["identifier_features"]) == ({"network_features": 1}, 1)
        broken = replace(store, shelf=Down(store.shelf))
        known = matcher.Known(Blocking(broken), NOON)
        assert at_once(matcher.match(a_signal(NOON, cookie_id="c"), known, ranker, Identity())).method == "none"
        assert known.degraded == [f"{view} is unknown: it hangs" for view in ("identifier_features", "network_features")]


@dataclass
class Down(SqliteShelf):
    """A shelf whose place does not answer."""

    whole: Shelf

    def blocks(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        raise StoreDown("it hangs")
