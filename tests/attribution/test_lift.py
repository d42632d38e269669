"""Experiments: who was in which, what they measured, and how far credit leans towards it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from whence.attribution import lift

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)


def opportunities(*rows: tuple[str, str, bool, float]) -> pd.DataFrame:
    """Touches of experiments: (person, campaign, held out?, hours after noon)."""
    frame = pd.DataFrame(rows, columns=["person_id", "campaign_id", "holdout", "hours"])
    at = pd.to_datetime([NOON + timedelta(hours=hours) for hours in frame.pop("hours")])
    return frame.assign(happened_at=at, experiment="ghost-" + frame["campaign_id"])


def sales(*rows: tuple[str, float]) -> pd.DataFrame:
    """Conversions: (person, hours after noon)."""
    return pd.DataFrame({"person_id": [who for who, _ in rows], "happened_at": [NOON + timedelta(hours=h) for _, h in rows]})


def test_a_person_is_in_an_experiment_from_the_first_opportunity_on_and_on_one_side_alone() -> None:
    touches = opportunities(
        ("ann", "tv", False, 3), ("ann", "tv", False, 1), ("bob", "tv", True, 2), ("eve", "tv", True, 1), ("eve", "tv", False, 2)
    )
    found = lift.arms(touches).set_index("person_id")
    assert found["is_held_out"].to_dict() == {"ann": False, "bob": True}
    assert found.loc["ann", "since"] == NOON + timedelta(hours=1)


def test_lift_is_the_difference_a_person_times_the_treated_and_sales_before_do_not_count() -> None:
    touches = opportunities(*((f"t{i}", "tv", False, 0.0) for i in range(8)), *((f"c{i}", "tv", True, 0.0) for i in range(4)))
    bought = sales(("t0", 1), ("t1", 1), ("t2", 1), ("t2", 2), ("c0", 1), ("c1", -1), ("stranger", 1))
    found = lift.measured(lift.arms(touches), bought).loc["tv"]
    assert (found["treated"], found["held_out"]) == (8, 4)
    assert (found["rate_treated"], found["rate_held_out"]) == (0.5, 0.25)
    assert found["incremental"] == pytest.approx(2.0)
    assert found["incremental_low"] < 2.0 < found["incremental_high"]


def test_what_a_model_expects_takes_noise_away_and_no_bias_in() -> None:
    rng = np.random.default_rng(5)
    names = pd.Index([f"p{i}" for i in range(4000)])
    need, held_out = rng.random(4000), rng.random(4000) < 0.3
    buys = rng.random(4000) < 0.8 * need + np.where(held_out, 0.0, 0.1)
    people = pd.DataFrame({"stream": "tv", "person_id": names, "is_held_out": held_out, "since": NOON})
    bought = sales(*((name, 1.0) for name in names[buys]))
    plain = lift.measured(people, bought).loc["tv"]
    sharp = lift.measured(people, bought, {"tv": pd.Series(0.8 * need + 7.0, index=names)}).loc["tv"]
    assert sharp["sd"] < 0.95 * plain["sd"]
    assert plain["low"] < 0.1 < plain["high"]
    assert sharp["low"] < 0.1 < sharp["high"]


@pytest.mark.service
def test_intervals_of_lift_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(100):
        held_out = np.arange(400) < 80
        buys = rng.random(400) < np.where(held_out, 0.2, 0.3)
        people = pd.DataFrame({"stream": "tv", "person_id": np.arange(400), "is_held_out": held_out, "since": NOON})
        found = lift.measured(people, sales(*((who, 1.0) for who in np.flatnonzero(buys)))).loc["tv"]  # type: ignore[misc]
        covered += found["low"] <= 0.1 <= found["high"]
    assert 0.88 <= covered / 100 <= 0.99


def lifts(incremental: list[float], sd: list[float], held_out: int = 500) -> pd.DataFrame:
    names = [f"c{i}" for i in range(len(sd))]
    return pd.DataFrame({"incremental": incremental, "sd": sd, "held_out": held_out, "treated": 9 * held_out}, index=names)


def test_precise_experiments_are_believed_and_noisy_ones_are_not() -> None:
    said = pd.Series([100.0, 100.0, 100.0], index=["c0", "c1", "c2"])
    found = lift.shrunk(said, lifts([50.0, 160.0, 300.0], [1.0, 1.0, 400.0]))
    assert found.loc["c0", "factor"] == pytest.approx(0.5, abs=0.01)
    assert found.loc["c1", "factor"] == pytest.approx(1.6, abs=0.01)
    assert 1.0 < found.loc["c2", "factor"] < 1.5
    assert lift.shrunk(said, lifts([90.0, 110.0, 95.0], [20.0] * 3))["factor"].tolist() == [1.0] * 3, "noise alone explains them"


def test_many_effects_that_are_said_too_small_are_scaled_alike_where_no_experiment_alone_could_tell() -> None:
    said = pd.Series([100.0] * 20, index=[f"c{place}" for place in range(20)])
    told = lifts([150.0, 130.0] * 10, [40.0] * 20)
    assert lift.shrunk(said.head(1), told.head(1))["factor"].tolist() == [1.0], "one alone says nothing"
    found = lift.shrunk(said, told)
    assert found["factor"].nunique() == 1, "what they differ by is noise"
    assert 1.3 < found["factor"].iloc[0] < 1.4, "most of what all together say is believed"
    assert (
        lift.shrunk(pd.Series([*said, 7.0], index=[*said.index, "none"]), told).loc["none", "factor"] == found["factor"].iloc[0]
    )


def test_a_stream_without_an_experiment_or_with_too_few_people_keeps_its_credit() -> None:
    found = lift.shrunk(pd.Series([100.0, 50.0], index=["c0", "none"]), lifts([10.0], [1.0], held_out=lift.LEAST_HELD_OUT - 1))
    assert found["factor"].tolist() == [1.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 3)), min_size=1, max_size=8))
def test_the_prior_is_the_least_that_makes_the_errors_credible(each: list[tuple[float, float]]) -> None:
    errors, noise = (np.array(column) for column in zip(*each, strict=True))
    spread = lift.prior_sd(errors, noise)
    score = float((errors**2 / (noise**2 + spread**2)).sum())
    credible = float(chi2.ppf(0.95, len(errors)))
    assert score == pytest.approx(credible, rel=1e-6) if spread > 0 else score <= credible


def test_agreement_is_credit_over_lift_with_the_doubt_of_the_experiments() -> None:
    found = lift.agreement(pd.Series([90.0, 30.0], index=["c0", "c1"]), lifts([60.0, 40.0], [6.0, 8.0]))
    assert found.value == pytest.approx(1.2)
    assert (found.low, found.high) == pytest.approx((120 / (100 + 19.59964), 120 / (100 - 19.59964)))
    assert np.isnan(lift.agreement(pd.Series(dtype="float64"), lifts([], [])).value)
