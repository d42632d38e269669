"""What is read of a day's past: all of a frame's answer, and no more rows of a busy person than the policy looks at."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.daily import history, knowledge
from serving.daily.knowledge import Known
from tests.builders import a_click, a_conversion, a_lake, a_touch
from whence.attribution import journeys, near, response, value
from whence.attribution.orders import Orders
from whence.attribution.policy import CoolDown, NewToBrand, Policy
from whence.contracts.times import Window
from whence.identity.exact import who

pytestmark = pytest.mark.service

DAY = date(2026, 5, 3)
POLICY = replace(Policy(), max_touches=3)
PERSONS = pd.DataFrame(
    {
        "identifier": ["cookie_id:hot", "email_hash:ann", "cookie_id:anns"],
        "person_id": ["p", "a", "b"],
        "probability": [0.9, 1.0, 0.5],
    }
)


def _at(number: int) -> str:
    """A moment of a day for each of 1,500."""
    return f"{number * 57 // 3600:02d}:{number * 57 // 60 % 60:02d}:{number * 57 % 60:02d}"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """One cookie with 3,000 touches and two orders, Ann with one of each, and a touch that was told twice."""
    days = [date(2026, 5, day) for day in (2, 3)]
    shown = [
        (a_click if number % 3 else a_touch)(
            _at(number),
            on=day,
            cookie_id="hot",
            ip_key="home",
            event_id=f"{day}-{number:04d}",
            touch_id=f"{day}-{number:04d}",
            campaign_id=f"c{number % 7}",
        )
        for day in days
        for number in range(1_500)
    ]
    shown += [
        a_touch("09:00", on=DAY, touch_id="ann", event_id=event, email_hash="ann", cookie_id="anns") for event in ("x1", "x2")
    ]
    bought = [a_conversion("18:00", on=day, cookie_id="hot", conversion_id=f"{day}") for day in days]
    bought += [a_conversion("10:00", on=DAY, cookie_id="anns", email_hash="ann", conversion_id="ann")]
    lake = a_lake(tmp_path_factory.mktemp("home"), touches=shown, conversions=bought)
    return knowledge.as_known(knowledge.read(lake, DAY, POLICY, PERSONS), DAY, POLICY)


def test_each_touch_is_there_once_with_the_person_of_its_strongest_identifier(known: Known) -> None:
    told = known.touches.frame()
    assert told["touch_id"].is_unique
    assert len(told) == 3_001
    assert told["person_id"].equals(who(told, PERSONS))
    assert told.set_index("touch_id").loc["ann", "person_probability"] == 1.0


def test_the_journeys_are_those_of_the_frame_though_little_of_a_busy_person_is_held(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "AT_ONCE", 100)
    counted = known.orders(Window(DAY, DAY).back(2)).counted
    asked = counted.assign(known_by=Window(DAY, DAY).end)
    held = near.near(known.touches.con, known.touches.name, asked, POLICY)
    assert len(held) <= 2 * 2 * (POLICY.max_touches + near.SPARE) + 1, "of clicks and views before each of two orders"
    pd.testing.assert_frame_equal(
        known.pairs(counted), journeys.candidate_touches(asked, known.touches.frame(), POLICY, known.activity)
    )


def test_a_model_of_exposures_is_shown_what_it_would_be_of_the_frame(known: Known) -> None:
    every = known.touches.frame()
    moments = known.orders(Window(DAY, DAY).back(2)).counted[["person_id", "happened_at"]].reset_index(drop=True)
    columns = response.columns_of(every)
    held = near.lately(known.touches, moments, columns.by, columns.look_back, response.MOST_TOUCHES)
    assert len(held) == 2 * response.MOST_TOUCHES + 1
    nothing = pd.DataFrame(index=moments.index)
    pd.testing.assert_frame_equal(*(response.frame(moments, each, columns, nothing) for each in (held, every)))


def test_the_touches_of_a_day_come_in_parts_that_are_counted_over_all_of_it(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "AT_ONCE", 400)
    parts = list(knowledge.of_day(known))
    assert max(map(len, parts)) <= 400
    found = pd.concat(parts).sort_values("touch_id", ignore_index=True)
    told = known.touches.con.sql(
        "SELECT * FROM touches WHERE day = '2026-05-03' QUALIFY row_number() OVER (PARTITION BY touch_id) = 1"
    )
    every = told.df().sort_values("touch_id", ignore_index=True)
    pd.testing.assert_frame_equal(value.touch_frame(found), value.touch_frame(every))
    assert found["ip_before_1d"].max() > 1_000


def test_the_conversions_that_are_left_out_make_no_difference_to_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    lake = a_lake(tmp_path, conversions=[_some_conversion(draw, number) for number in range(600)], persons=_some_people(draw))
    policy = replace(Policy(), restate_days=2, cool_downs=(CoolDown("purchase", 2.0),), new_to_brand=NewToBrand(look_back_days=5))
    last = date(2026, 5, 20)

    def judged() -> tuple[int, list[Orders]]:
        events = knowledge.read(lake, last, policy)
        seen = {at: Window(date(2026, 5, 18), at) for at in events.people}
        return len(events.conversions), [knowledge.as_known(events, at, policy).orders(days) for at, days in seen.items()]

    few, found = judged()
    monkeypatch.setattr(history, "conversions_beside", lambda lake, window, *_: history.events(lake, "conversions", window))
    every, wanted = judged()
    assert few < 0.6 * every
    assert len(found) == 2
    for one, other in zip(found, wanted, strict=True):
        assert one.repeats == other.repeats > 0
        pd.testing.assert_frame_equal(one.counted, other.counted)
        pd.testing.assert_frame_equal(one.refunds, other.refunds)
    assert {True, False} == set(found[0].counted["pays"]) == set(found[0].counted["new_to_brand"].dropna())
    assert found[0].refunds["original"].notna().any()


def _some_conversion(draw: random.Random, number: int) -> dict[str, Any]:
    """One of an order that others may tell of, or a refund of it, by a cookie or an address or both."""
    order, day = draw.randrange(400), draw.randrange(20) + 1
    back = draw.random() < 0.3
    return a_conversion(
        _at(draw.randrange(1_500)),
        on=date(2026, 5, day),
        event_id=f"e{number}",
        conversion_id=f"c{order}-{number % 2}",
        order_id=f"o{order}" if draw.random() < 0.7 else None,
        refund_of=f"c{order}-{draw.randrange(2)}" if back and draw.random() < 0.7 else None,
        kind="refund" if back else "purchase",
        value_micros=-draw.randrange(9) if back else 10,
        source=draw.choice(["pixel", "server"]),
        cookie_id=f"k{draw.randrange(600)}" if draw.random() < 0.7 else None,
        email_hash=f"m{draw.randrange(600)}" if draw.random() < 0.5 else None,
    )


def _some_people(draw: random.Random) -> list[dict[str, Any]]:
    """Who most cookies and addresses are of, told on the first day, and otherwise of some of them on the last."""
    answers = [
        (identifier, 1) for identifier in (*(f"cookie_id:k{n}" for n in range(600)), *(f"email_hash:m{n}" for n in range(500)))
    ]
    answers += [(identifier, 20) for identifier, _ in draw.sample(answers, 200)]
    plain = {"probability": 1.0, "method": "exact", "bundle": None}
    return [
        {**plain, "day": f"2026-05-{day:02d}", "seen_at": Window(date(2026, 5, day), date(2026, 5, day)).end}
        | {"identifier": identifier, "person_id": f"p{draw.randrange(600)}"}
        for identifier, day in answers
    ]
