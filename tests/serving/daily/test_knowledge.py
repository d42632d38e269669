"""What is read of a day's past: all of a frame's answer, and no more rows of a busy person than the policy looks at."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from serving.daily import knowledge
from serving.daily.knowledge import Known
from tests.builders import a_click, a_conversion, a_lake, a_touch
from whence.attribution import journeys, near, response
from whence.attribution.policy import Policy
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
    return knowledge.as_known(knowledge.read(lake, DAY, POLICY, PERSONS), PERSONS, DAY, POLICY)


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
