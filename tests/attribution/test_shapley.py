"""Shapley: its axioms, judged by going through every order, and conversions shared by it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution.test_rules import a_path
from whence.attribution import paths, shapley

LETTERS = "abcd"
some_paths = st.lists(st.tuples(st.text(LETTERS, max_size=6), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8)


def of(told: list[tuple[str, int, int]]) -> paths.Paths:
    return paths.of_texts([">".join(text) for text, _, _ in told], [row[1] for row in told], [row[2] for row in told])


def by_every_order(values: list[float]) -> list[float]:
    """The definition: what each player adds, over all orders of the players."""
    n = len(values).bit_length() - 1
    added, orders = [0.0] * n, list(permutations(range(n)))
    for order in orders:
        inside = 0
        for player in order:
            added[player] += values[inside | 1 << player] - values[inside]
            inside |= 1 << player
    return [each / len(orders) for each in added]


games = st.integers(0, 5).flatmap(lambda n: st.lists(st.floats(-100, 100), min_size=1 << n, max_size=1 << n))


@settings(max_examples=50, deadline=None)
@given(games)
def test_the_exact_value_is_the_mean_over_every_order(values: list[float]) -> None:
    np.testing.assert_allclose(shapley.exact(values), by_every_order(values), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(games)
def test_what_all_add_is_what_there_is_and_who_adds_nothing_has_nothing(values: list[float]) -> None:
    assert shapley.exact(values).sum() == pytest.approx(values[-1] - values[0], abs=1e-9)
    idle = shapley.exact([*values, *values])  # one more player, with whom nothing changes
    assert idle[-1] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(idle[:-1], shapley.exact(values), atol=1e-9)


def test_players_that_do_the_same_have_the_same() -> None:
    worth = [float(np.bitwise_count(np.int64(mask)) ** 2) for mask in range(1 << 10)]
    np.testing.assert_allclose(shapley.exact(worth), 10.0)


def test_twenty_players_are_solved_exactly() -> None:
    weight = np.random.default_rng(0).random(20)
    worth = np.zeros(1)
    for each in weight:
        worth = np.concatenate([worth, worth + each])
    np.testing.assert_allclose(shapley.exact(worth), weight, atol=1e-12)


def test_a_game_without_a_value_for_each_set_is_refused() -> None:
    with pytest.raises(ValueError, match="has 2\\^n values, and these are 3"):
        shapley.exact([0.0, 1.0, 2.0])


@settings(max_examples=50, deadline=None)
@given(some_paths)
def test_sharing_alike_among_distinct_channels_is_the_value_of_conversions_without_other_channels(told: list[Any]) -> None:
    journeys = of(told)
    masks = [{journeys.channels.index(letter) for letter in text} for text, _, _ in told]
    n = len(journeys.channels)
    worth = [
        sum(row[1] for row, met in zip(told, masks, strict=True) if met <= {i for i in range(n) if mask >> i & 1})
        for mask in range(1 << n)
    ]
    np.testing.assert_allclose(shapley.totals(journeys), shapley.exact(worth), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(some_paths)
def test_rates_count_the_journeys_that_met_no_other_channel(told: list[Any]) -> None:
    rates = shapley.fit(of(told))
    table = rates.of_sets()
    for mask, rate in enumerate(table):
        open_to = {name for i, name in enumerate(rates.channels) if mask >> i & 1}
        counted = [(converted, lost) for text, converted, lost in told if set(text) <= open_to]
        whole = sum(map(sum, counted))
        assert rate == pytest.approx(sum(converted for converted, _ in counted) / whole if whole else 0.0)
    for order in permutations(range(len(rates.channels))):
        inside = np.cumsum([0, *(1 << i for i in order)])
        np.testing.assert_allclose(rates.along(np.array(order, dtype=np.int64)), table[inside])


@settings(max_examples=25, deadline=None)
@given(some_paths, st.randoms(use_true_random=False))
def test_neither_the_order_of_journeys_nor_that_of_touches_matters(told: list[Any], random: Any) -> None:
    mixed = [("".join(random.sample(text, len(text))) * 2, converted, lost) for text, converted, lost in told]
    random.shuffle(mixed)
    np.testing.assert_allclose(shapley.effects(shapley.fit(of(mixed))).values, shapley.effects(shapley.fit(of(told))).values)


def test_drawn_orders_come_as_close_as_their_errors_say() -> None:
    draw = np.random.default_rng(0)
    told = [("".join(draw.choice(list("abcdefghij"), draw.integers(1, 6))), *draw.integers(0, 9, 2)) for _ in range(300)]
    rates = shapley.fit(of(told))
    truth, found = shapley.effects(rates).values, shapley.sampled(rates.along, 10, orders=400)
    assert found.values.sum() == pytest.approx(truth.sum())
    assert np.sqrt(np.mean(((found.values - truth) / found.errors) ** 2)) < 2
    assert (found.errors > 0).all()
    halved = shapley.sampled(rates.along, 10, orders=1600).errors / found.errors
    assert halved.mean() == pytest.approx(0.5, rel=0.15)


def test_more_than_sixty_channels_are_told_apart_and_drawn() -> None:
    told = paths.of_texts([f"x{i:03d} > x{(i + 1) % 130:03d}" for i in range(130)] * 2, [1] * 260, [1] * 260)
    rates = shapley.fit(told)
    assert rates.members.shape == (130, 130)
    found = shapley.effects(rates, orders=50)
    assert found.values.sum() == pytest.approx(0.5)
    assert (found.errors > 0).any()


def test_each_distinct_channel_of_a_conversion_has_the_same_and_its_touches_share_that() -> None:
    pairs = pd.concat([a_path(4, 3, 2, 1, channels="abac"), a_path(1, conversion="d", channels="b")], ignore_index=True)
    assert shapley.share(pairs).tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 6, 1 / 3, 1])
    shuffled = pairs.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(shapley.share(shuffled).sort_index(), shapley.share(pairs), check_exact=True)
    assert shapley.share(pairs[:0]).tolist() == []


def test_with_rates_a_channel_has_what_it_adds_among_those_of_the_journey() -> None:
    rates = shapley.fit(of([("ab", 3, 1), ("a", 1, 3), ("b", 0, 4), ("abc", 9, 1), ("d", 5, 5)]))
    pairs = pd.concat([a_path(3, 2, 1, channels="aba"), a_path(1, conversion="d", channels="d")], ignore_index=True)
    assert shapley.share(pairs, rates).tolist() == pytest.approx([0.4375, 0.125, 0.4375, 1])


def test_what_journeys_without_any_channel_reach_goes_to_no_ad() -> None:
    rates = shapley.fit(of([("", 1, 9), ("a", 9, 1), ("b", 0, 10)]))
    assert shapley.share(a_path(1, channels="a"), rates).tolist() == pytest.approx([0.8])
    assert shapley.share(a_path(2, 1, channels="ab"), rates).tolist() == pytest.approx([0.7, 0])
    assert shapley.share(a_path(1, channels="b"), rates).tolist() == [0]


def test_channels_of_which_nothing_is_known_share_alike() -> None:
    rates = shapley.fit(of([("a", 1, 1)]))
    assert shapley.share(a_path(2, 1, channels="xy"), rates).tolist() == [0.5, 0.5]
    assert shapley.share(a_path(2, 1, channels="ax"), rates).tolist() == [1, 0]


def test_a_journey_of_more_channels_than_all_sets_of_is_shared_by_drawn_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = shapley.fit(of([("abc", 3, 1), ("a", 1, 3), ("b", 0, 4), ("bc", 1, 1)]))
    exact = shapley.share(a_path(3, 2, 1, channels="abc"), rates)
    monkeypatch.setattr(shapley, "EXACT", 2)
    np.testing.assert_allclose(shapley.share(a_path(3, 2, 1, channels="abc"), rates), exact, atol=0.02)
