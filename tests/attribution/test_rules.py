"""Rules: each shares as it says, whatever the order of rows, and totals over many journeys are the sum of the shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.attribution import paths, rules
from whence.attribution.policy import Policy

NOON = pd.Timestamp("2026-05-01T12:00Z")


def a_path(*hours_before: float, conversion: str = "c", channels: str = "") -> pd.DataFrame:
    """Pairs of one conversion at noon with touches so long before it; each channel is a letter."""
    hours = sorted(hours_before, reverse=True)
    return pd.DataFrame(
        {
            "conversion_id": conversion,
            "touch_id": [f"{conversion}{i:03d}" for i in range(len(hours))],
            "channel": list(channels or "a" * len(hours)),
            "hours_before": np.array(hours, dtype="float64"),
            "touched_at": NOON - pd.to_timedelta(hours, unit="h"),
            "converted_at": NOON,
            "person_id": f"person of {conversion}",
        }
    )


def with_parameters(**of: dict[str, float]) -> Policy:
    return Policy(parameters=of)


HOURLY = with_parameters(time_decay={"half_life_days": 1 / 24})


@pytest.mark.parametrize(
    ("rule", "shares"),
    [
        ("last_touch", [0, 0, 0, 1]),
        ("first_touch", [1, 0, 0, 0]),
        ("linear", [0.25, 0.25, 0.25, 0.25]),
        ("position", [0.4, 0.1, 0.1, 0.4]),
        ("time_decay", [1 / 15, 2 / 15, 4 / 15, 8 / 15]),
    ],
)
def test_each_rule_shares_as_it_says(rule: str, shares: list[float]) -> None:
    assert rules.share(a_path(4, 3, 2, 1), rule, HOURLY).tolist() == pytest.approx(shares)


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("touches", [1, 2, 3])
def test_short_paths_share_everything(rule: str, touches: int) -> None:
    assert rules.share(a_path(*range(1, touches + 1)), rule).sum() == pytest.approx(1)


@pytest.mark.parametrize("rule", rules.RULES)
def test_no_pairs_have_no_shares(rule: str) -> None:
    assert rules.share(a_path(1)[:0], rule).tolist() == []


def test_position_of_two_is_half_and_half() -> None:
    assert rules.share(a_path(2, 1), "position").tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("first", "last", "of_two", "of_four"),
    [
        (0.2, 0.6, [0.25, 0.75], [0.2, 0.1, 0.1, 0.6]),
        (1.0, 0.0, [1, 0], [1, 0, 0, 0]),
        (0.0, 0.0, [0.5, 0.5], [0, 0.5, 0.5, 0]),
    ],
)
def test_position_takes_its_parts_from_the_policy(first: float, last: float, of_two: list[float], of_four: list[float]) -> None:
    policy = with_parameters(position={"first": first, "last": last})
    assert rules.share(a_path(2, 1), "position", policy).tolist() == pytest.approx(of_two)
    assert rules.share(a_path(4, 3, 2, 1), "position", policy).tolist() == pytest.approx(of_four)


def test_the_weights_of_an_old_journey_do_not_vanish() -> None:
    assert rules.share(a_path(90_001, 90_000), "time_decay", HOURLY).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_an_unknown_rule_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no attribution rule 'u_shape'\. Take one of last_touch"):
        rules.share(a_path(1), "u_shape")


def test_the_ranker_leaves_to_no_ad_what_no_touch_earned() -> None:
    path = a_path(2, 1)
    assert rules.ranker_share(path, np.array([0.2, 0.3])).tolist() == [0.2, 0.3]
    assert rules.ranker_share(path, np.array([0.9, 0.6])).tolist() == pytest.approx([0.6, 0.4])


def test_what_is_suspect_earns_nothing_and_the_others_share_as_if_it_had_not_been() -> None:
    path = a_path(4, 3, 2, 1).assign(suspect=["click_flood", "", "", ""])
    assert rules.clean_share(path, lambda pairs: rules.share(pairs, "first_touch")).tolist() == [0, 1, 0, 0]
    assert rules.clean_share(path, lambda pairs: rules.share(pairs, "linear")).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


a_journey = st.lists(st.tuples(st.integers(1, 20), st.sampled_from("abc")), min_size=1, max_size=6)
journeys = st.lists(a_journey, min_size=1, max_size=6)


def _pairs(drawn: list[list[tuple[int, str]]]) -> pd.DataFrame:
    made = [
        a_path(*(hour for hour, _ in each), conversion=f"c{i}", channels="".join(name for _, name in each))
        for i, each in enumerate(drawn)
    ]
    return pd.concat(made, ignore_index=True)


@settings(max_examples=40, deadline=None)
@given(journeys, st.sampled_from(rules.RULES), st.randoms(use_true_random=False))
def test_shares_do_not_depend_on_the_order_of_rows_or_the_time_zone(drawn: list[Any], rule: str, random: Any) -> None:
    pairs = _pairs(drawn)
    rows = random.sample(range(len(pairs)), len(pairs))
    shuffled = pairs.iloc[rows].assign(touched_at=pairs["touched_at"].dt.tz_convert("America/New_York"))
    pd.testing.assert_series_equal(rules.share(shuffled, rule).sort_index(), rules.share(pairs, rule), check_exact=True)


@settings(max_examples=40, deadline=None)
@given(
    journeys,
    st.lists(st.integers(0, 1000), min_size=6, max_size=6),
    st.sampled_from([(0.4, 0.4), (0.2, 0.6), (0.0, 0.0), (1.0, 0.5)]),
)
def test_totals_are_the_sum_of_the_shares(drawn: list[Any], values: list[int], parts: tuple[float, float]) -> None:
    policy = with_parameters(position=dict(zip(("first", "last"), parts, strict=True)), time_decay={"half_life_days": 0.25})
    pairs = _pairs(drawn)
    worth = np.array(values[: len(drawn)], dtype="float64")
    found = rules.totals(paths.of_journeys(pairs), pairs["hours_before"].to_numpy(), policy, worth)
    for rule in rules.RULES:
        value = worth[pd.factorize(pairs["conversion_id"])[0]]
        expected = (rules.share(pairs, rule, policy) * value).groupby(pairs["channel"]).sum()
        np.testing.assert_allclose(found[rule], expected, rtol=1e-9, atol=1e-9)


def test_totals_of_more_journeys_than_a_block_holds_are_the_totals_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    told = paths.of_texts(
        [" > ".join(draw.choice(list("abcd"), draw.integers(0, 9))) for _ in range(500)], draw.integers(0, 5, 500)
    )
    hours = np.zeros(len(told.codes))
    whole = rules.totals(told, hours)
    monkeypatch.setattr(rules, "BLOCK", 64)
    pd.testing.assert_frame_equal(rules.totals(told, hours), whole, rtol=1e-12)
    assert whole.sum().tolist() == pytest.approx([told.conversions[told.lengths > 0].sum()] * 5)


def test_no_journeys_have_no_totals() -> None:
    assert rules.totals(paths.of_texts([], []), np.empty(0)).shape == (0, 5)
    assert rules.totals(paths.of_texts([""], [3]), np.empty(0)).shape == (0, 5)
