"""Credit against what held-out groups say, and delays that are not over yet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.experiments import delay_checks, lift_checks
from tests.builders import a_click, a_conversion, rows

PEOPLE = 4000


def an_experiment(credited: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Half of the people are held out of a campaign; 10 % buy without it, 20 % with it; `credited` of the latter are claimed."""
    draw = np.random.default_rng(7)
    held, at = np.arange(PEOPLE) % 2 == 0, pd.Timestamp("2026-05-01", tz="UTC")
    touches = pd.DataFrame(
        {"person_id": [f"p{n}" for n in range(PEOPLE)], "campaign_id": "tv", "experiment": "x", "holdout": held}
    )
    touches = touches.assign(happened_at=at, kind=np.where(held, "eligible", "view"))
    bought = touches.loc[draw.random(PEOPLE) < np.where(held, 0.1, 0.2), "person_id"]
    conversions = pd.DataFrame({"person_id": bought, "happened_at": at + pd.Timedelta(hours=1)})
    claims = [person for person in bought if int(person[1:]) % 2][: int(credited * PEOPLE / 2)]
    paid = {
        "day": "2026-05-01",
        "algorithm": "last_touch",
        "touch_id": "t",
        "campaign_id": "tv",
        "person_id": claims,
        "share": 1.0,
    }
    return touches, conversions, pd.DataFrame(paid).assign(credit_micros=1)


@pytest.mark.parametrize(("credited", "over"), [(0.1, 1.0), (0.18, 1.8)], ids=["what it brought", "nearly all"])
def test_credit_is_held_against_what_the_ads_brought(credited: float, over: float) -> None:
    (check,) = lift_checks(*an_experiment(credited))
    assert check.value == pytest.approx(over, rel=0.25)
    assert check.low is not None
    assert check.high is not None
    assert check.low < over < check.high


def test_an_algorithm_that_credited_only_some_days_is_not_judged() -> None:
    touches, conversions, credits = an_experiment(0.1)
    other = credits.assign(day="2026-04-30", algorithm="first_touch")
    both = pd.concat([credits, other, credits.assign(day="2026-04-30")])
    assert [check.segment for check in lift_checks(touches, conversions, both)] == ["last_touch"]


def test_without_an_experiment_there_is_nothing_to_hold_credit_against() -> None:
    touches, conversions, credits = an_experiment(0.1)
    assert lift_checks(touches.assign(experiment=None), conversions, credits) == []


def test_those_who_were_clicked_lately_do_not_make_people_look_fast() -> None:
    """All take two days; of those who clicked yesterday nobody has bought yet, and that is no reason to think them slower or faster."""
    clicks = [
        a_click(event_id=f"k{n}", on=day, cookie_id=f"c{n}") for n, day in enumerate(["2026-05-01"] * 4 + ["2026-05-07"] * 4)
    ]
    bought = [a_conversion(event_id=f"b{n}", on="2026-05-03", cookie_id=f"c{n}") for n in range(2)]
    touches, sold = rows("touches", *clicks).to_pandas(), rows("conversions", *bought).to_pandas()
    touches, sold = (frame.assign(person_id=frame["cookie_id"]) for frame in (touches, sold))
    found = {c.segment: c.value for c in delay_checks(touches, sold, pd.Timestamp("2026-05-08", tz="UTC"), 7.0)}
    assert found["0.5"] == found["0.9"]
    assert found["0.5"] == pytest.approx(2.0, abs=0.6)
