"""Credit: micros that add up to the last one, and what a row of it tells."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_click, a_conversion, a_touch
from whence.attribution import credit, rules
from whence.attribution.journeys import candidate_touches
from whence.attribution.policy import Policy
from whence.attribution.quality import quality, unattributed

BOUGHT = pd.DataFrame([a_conversion("12:00", conversion_id="c", value_micros=10), a_conversion("12:00", conversion_id="alone")])
BOUGHT = BOUGHT.assign(person_id=["p", None])


def a_path(*at: str) -> pd.DataFrame:
    """The pairs of one conversion at 12:00 with touches at these times."""
    shown = pd.DataFrame([a_touch(each, touch_id=f"t{i}") for i, each in enumerate(at)]).assign(person_id="p")
    return candidate_touches(BOUGHT, shown, Policy())


def test_credit_rows_hold_each_touch_and_what_no_ad_earned() -> None:
    path = a_path("06:00", "07:00")
    rows = credit.credit_rows(BOUGHT, path, rules.ranker_share(path, np.array([0.25, 0.25])), "ranker", "b")
    told = rows[["conversion_id", "touch_id", "share", "credit_micros", "person_id"]].to_numpy().tolist()
    assert told == [
        ["alone", "", 1.0, 10_000_000, None],
        ["c", "", 0.5, 5, "p"],
        ["c", "t0", 0.25, 3, "p"],
        ["c", "t1", 0.25, 2, "p"],
    ]
    assert rows.columns.tolist() == list(credit.ROW)


def test_credit_rows_refuse_shares_above_one() -> None:
    path = a_path("06:00", "07:00")
    with pytest.raises(ValueError, match=r"conversion c sum to 1\.4"):
        credit.credit_rows(BOUGHT, path, pd.Series([0.7, 0.7]), "ranker")


def test_no_conversions_have_no_credit() -> None:
    path = a_path("06:00").head(0)
    rows = credit.credit_rows(BOUGHT.head(0), path, rules.share(path, "linear"), "linear")
    assert rows.empty
    assert rows.columns.tolist() == list(credit.ROW)


shares = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=30).filter(lambda given: sum(given) > 1e-9)
laws = settings(max_examples=300, deadline=None, derandomize=True)


@laws
@given(value=st.integers(-(2**62), 2**62), given_shares=shares)
def test_credit_adds_up_to_the_last_micro(value: int, given_shares: list[float]) -> None:
    parts = credit.split(value, given_shares)
    weights = [int(share * credit.GRID) for share in given_shares]
    assert sum(parts) == value
    assert all(abs(part - Fraction(value * weight, sum(weights))) < 1 for part, weight in zip(parts, weights, strict=True))
    assert tuple(-part for part in parts) == credit.split(-value, given_shares)


@pytest.mark.service
@laws
@given(value=st.integers(0, 10**12), given_shares=shares)
def test_who_has_the_larger_share_never_gets_less(value: int, given_shares: list[float]) -> None:
    parts = credit.split(value, given_shares)
    ranked = sorted(zip(given_shares, parts, strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(ranked) if a[0] < b[0] - 1e-15)


whole = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-9 * 10**15, 9 * 10**15), st.integers(-100, 100))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(whole, shares), min_size=1, max_size=6))
def test_many_conversions_are_split_as_each_alone(asked: list[tuple[int, list[float]]]) -> None:
    starts = np.cumsum([0, *(len(given_shares) for _, given_shares in asked)])[:-1]
    flat = [share for _, given_shares in asked for share in given_shares]
    together = credit.apportion([value for value, _ in asked], flat, starts)
    assert together.tolist() == [part for value, given_shares in asked for part in credit.split(value, given_shares)]


@pytest.mark.service
@pytest.mark.parametrize("value", [-9_000_000_000_000_000, 2**63 - 1])
def test_a_journey_of_100_000_touches_is_split_to_the_last_micro(value: int) -> None:
    weights = np.random.default_rng(0).random(100_000)
    parts = credit.apportion([value, 7], [*weights / weights.sum(), 1.0], [0, 100_000])
    assert tuple(parts[:-1].tolist()) == credit.split(value, (weights / weights.sum()).tolist())
    assert parts[-1] == 7


def test_nothing_is_split_into_nothing() -> None:
    assert credit.apportion([], [], []).tolist() == []


@pytest.mark.parametrize("wrong", [[-0.1, 1.1], [math.nan], [math.inf]])
def test_a_share_that_is_none_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="A share must be 0 or more"):
        credit.split(100, wrong)
    with pytest.raises(ValueError, match="A share must be 0 or more"):
        credit.apportion([100], wrong, [0])


def test_a_value_that_nobody_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="Add the share of no ad"):
        credit.split(100, [0.0, 0.0])
    with pytest.raises(ValueError, match="Add the share of no ad"):
        credit.apportion([100], [0.0, 0.0], [0])


def test_suspect_touches_earn_nothing_in_the_clean_column_and_no_ad_may_stand_there_alone() -> None:
    path = a_path("06:00", "07:00", "08:00").assign(suspect=["", "hub", ""], certainty=[0.9, 0.8, 1.0])
    rows = credit.credit_rows(BOUGHT[:1], path, rules.share(path, "linear"), "linear", clean_shares=pd.Series([0.0, 0.0, 0.5]))
    told = rows[["touch_id", "credit_micros", "clean_micros", "suspect", "certainty"]].to_numpy().tolist()
    assert told == [["", 0, 5, "", 1.0], ["t0", 4, 0, "", 0.9], ["t1", 3, 0, "hub", 0.8], ["t2", 3, 5, "", 1.0]]


def test_a_touch_that_is_paid_only_in_the_clean_column_has_a_row() -> None:
    path = a_path("06:00", "07:00")
    rows = credit.credit_rows(BOUGHT[:1], path, pd.Series([0.0, 1.0]), "last_touch", clean_shares=pd.Series([1.0, 0.0]))
    assert rows[["touch_id", "share", "credit_micros", "clean_micros"]].to_numpy().tolist() == [
        ["t0", 0, 0, 10],
        ["t1", 1, 10, 0],
    ]


def test_a_conversion_that_does_not_pay_is_all_no_ad() -> None:
    path = a_path("06:00", "07:00")
    rows = credit.credit_rows(
        BOUGHT.assign(pays=[False, True], new_to_brand=[False, True]), path, rules.share(path, "linear"), "l"
    )
    assert rows[["conversion_id", "touch_id", "credit_micros"]].to_numpy().tolist() == [["alone", "", 10_000_000], ["c", "", 10]]
    assert rows["new_to_brand"].tolist() == [True, False]
    assert rows["touched_at"].isna().all()


def test_credit_rows_tell_when_the_touch_happened_wherever_the_clock_stands() -> None:
    path = a_path("06:00", "07:00")
    elsewhere = path.assign(touched_at=path["touched_at"].dt.tz_convert("Asia/Tokyo"))
    here, there = (credit.credit_rows(BOUGHT, each, rules.share(each, "linear"), "linear") for each in (path, elsewhere))
    pd.testing.assert_frame_equal(here, there)
    assert here["touched_at"].dropna().dt.hour.tolist() == [6, 7]


def test_a_conversion_told_twice_is_refused() -> None:
    path = a_path("06:00")
    with pytest.raises(ValueError, match="Conversion c is there twice"):
        credit.credit_rows(pd.concat([BOUGHT, BOUGHT[:1]]), path, rules.share(path, "linear"), "linear")


@pytest.mark.service
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=8),
    st.integers(0, 10**9),
    st.sampled_from(rules.RULES),
    st.integers(0, 9),
)
def test_every_rule_conserves_the_value_whatever_the_order_of_rows(
    shown: list[tuple[int, bool]], value: int, rule: str, seed: int
) -> None:
    made = [a_click if is_click else a_touch for _, is_click in shown]
    rows = [
        make(f"{m // 60:02d}:{m % 60:02d}", touch_id=f"t{i}") for i, (make, (m, _)) in enumerate(zip(made, shown, strict=True))
    ]
    touches = pd.DataFrame(rows or [a_touch()]).assign(person_id="p" if rows else None)
    bought = BOUGHT.assign(value_micros=value)
    earned = []
    for each in (touches, touches.sample(frac=1, random_state=seed)):
        pairs = candidate_touches(bought, each, Policy())
        earned.append(credit.credit_rows(bought, pairs, rules.share(pairs, rule), rule))
    pd.testing.assert_frame_equal(*earned)
    assert earned[0].groupby("conversion_id")["credit_micros"].sum().to_dict() == {"c": value, "alone": value}


def test_quality_is_the_share_that_went_to_the_cause() -> None:
    path = a_path("06:00", "07:00")
    rows = credit.credit_rows(BOUGHT, path, rules.share(path, "linear"), "linear")
    truth = pd.DataFrame({"conversion_id": ["c", "alone"], "caused_by": ["t1", None]})
    touches = pd.DataFrame({"touch_id": ["t0", "t1"], "channel": ["social", "search"]})
    (found,) = quality(rows, truth, touches)
    assert found.credit_to_cause == 0.75  # half of c, and all of the one that no ad caused
    assert found.channel_error == 0.5  # social was credited a half, and search earned it
    assert (found.unattributed, found.truly_unattributed, found.conversions) == (0.5, 0.5, 2)
    assert unattributed(rows).to_dict() == {"linear": 0.5}
