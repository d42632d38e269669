"""Shares of a change: they add up, what changes nothing has none, and brute force over all orders agrees."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from monitoring.moved.shares import Mixture, Sums, intervals, mixtures, shapley


def test_two_factors_worked_out_by_hand() -> None:
    values = {(): 0.0, ("identity",): 1.0, ("policy",): 0.0, ("identity", "policy"): 0.5}
    shares = shapley(["identity", "policy"], lambda mixture: values[tuple(sorted(mixture))])
    assert shares == {"identity": 0.75, "policy": -0.25}


def test_what_changes_nothing_has_no_share_and_twins_have_the_same() -> None:
    def value(mixture: Mixture) -> float:
        return 0.3 * ("data" in mixture) * ("model" in mixture)

    shares = shapley(["data", "model", "policy"], value)
    assert shares["policy"] == 0.0
    assert shares["data"] == shares["model"] == pytest.approx(0.15)


def test_the_mean_over_all_orders_of_turns_says_the_same_and_the_shares_add_up() -> None:
    names, rng = ["a", "b", "c", "d"], np.random.default_rng(3)
    values = {mixture: float(rng.normal()) for mixture in mixtures(names)}
    by_hand = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        for place, name in enumerate(order):
            by_hand[name] += (values[frozenset(order[: place + 1])] - values[frozenset(order[:place])]) / 24
    shares = shapley(names, values.__getitem__)
    assert shares == pytest.approx(by_hand)
    assert sum(shares.values()) == pytest.approx(values[frozenset(names)] - values[frozenset()], abs=1e-12)


def test_an_interval_knows_that_it_is_the_same_people_in_every_mixture() -> None:
    people = np.array([f"p{at}" for at in range(200)], dtype=object)
    first = np.random.default_rng(1).random(200)
    sums = {
        frozenset[str](): Sums(people, first, np.ones(200)),
        frozenset({"calibrator"}): Sums(people, first + 0.1, np.ones(200)),
    }
    low, high = intervals(["calibrator"], sums)["calibrator"]
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)


def test_other_people_on_the_second_day_leave_doubt_about_the_data() -> None:
    rng = np.random.default_rng(1)
    sums = {
        frozenset[str](): Sums(np.array([f"a{at}" for at in range(100)], dtype=object), rng.random(100), np.ones(100)),
        frozenset({"data"}): Sums(np.array([f"b{at}" for at in range(100)], dtype=object), rng.random(100), np.ones(100)),
    }
    low, high = intervals(["data"], sums)["data"]
    assert high - low > 0.05


def test_an_amount_is_a_sum_alone() -> None:
    assert Sums(np.array(["a", "b"], dtype=object), np.array([2.0, 3.0])).value == 5.0
