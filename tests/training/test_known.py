"""What training is given of the past: no day that an event table was stopped for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tests.builders import a_click, a_conversion, a_lake, a_touch
from training import known
from whence.attribution.journeys import candidate_touches
from whence.attribution.policy import Policy
from whence.contracts.times import Window
from whence.identity import exact

WINDOW = Window(date(2026, 5, 1), date(2026, 5, 4))


def a_finding(day: str, level: str, model: str = "touches", status: str = "open") -> dict[str, str]:
    return {
        "day": day,
        "model": model,
        "level": level,
        "metric": "copied_share",
        "segment": "all",
        "reason": "…",
        "status": status,
    }


@pytest.mark.service
def test_a_day_that_is_stopped_is_left_out_and_one_that_is_only_warned_of_is_not(tmp_path: Path) -> None:
    told = [
        a_finding("2026-05-01", "warn"),
        a_finding("2026-05-02", "stop"),
        a_finding("2026-05-03", "stop", model="identity-ranker"),
        a_finding("2026-05-04", "calm", status="closed"),
    ]
    lake = a_lake(tmp_path, touches=[a_touch(on=day) for day in WINDOW.days], findings=told)
    assert known.stopped_days(lake, WINDOW) == ("2026-05-02",)
    assert [str(day.date()) for day in known.events(lake, "touches", WINDOW)["seen_at"]] == [
        "2026-05-01",
        "2026-05-03",
        "2026-05-04",
    ]


@pytest.mark.service
def test_touches_near_conversions_are_those_of_their_people_and_give_the_same_journeys(tmp_path: Path) -> None:
    by_mail = {"email_hash": "e", "cookie_id": "bobs"}
    shown = [a_click(on=day, cookie_id=cookie) for day in WINDOW.days for cookie in ("anns", "bobs", "nobodys")]
    shown += [a_click("11:00", on="2026-05-03", **by_mail), a_touch("23:00", on="2026-05-04", cookie_id="anns")]
    lake = a_lake(tmp_path, touches=shown, findings=[a_finding("2026-05-02", "stop")])
    answers = {"cookie_id:anns": "ann", "cookie_id:bobs": "bob", "email_hash:e": "ann"}
    people = pd.DataFrame(answers.items(), columns=["identifier", "person_id"])
    bought = pd.DataFrame([a_conversion(on="2026-05-04", cookie_id="anns")]).assign(person_id="ann")
    near = known.touches_near(lake, WINDOW, people, bought, Policy()).to_pandas()
    assert near.groupby("person_id").size().to_dict() == {"ann": 4}, "1, 3 and 4 May, and by the address"
    every = known.events(lake, "touches", WINDOW)
    every["person_id"] = exact.who(every, people)
    pd.testing.assert_frame_equal(*(candidate_touches(bought, each, Policy()) for each in (near, every)))
    assert known.touches_near(lake, WINDOW, people.head(0), bought, Policy()).num_rows == 0
