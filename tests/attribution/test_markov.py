"""Markov: removal effects to the last digit, judged by fractions, by solving again, and by what must not matter."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution.test_rules import a_path
from whence.attribution import markov, paths

Told = list[tuple[str, int, int]]
some_paths = st.lists(st.tuples(st.text("abc", max_size=5), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6).filter(
    lambda told: any(text and converted for text, converted, _ in told)
)


def of(told: Told) -> paths.Paths:
    return paths.of_texts([">".join(text) for text, _, _ in told], [row[1] for row in told], [row[2] for row in told])


def by_fractions(told: Told, order: int, removed: str = "") -> Fraction:
    """The probability of a conversion where nobody gets past `removed`, in exact arithmetic, counting step by step."""
    moves: dict[str, Counter[str]] = {}
    for text, converted, lost in told:
        states = ["start", *(text[max(0, i - order) : i] for i in range(1, len(text) + 1))]
        for here, there, count in [
            *((a, b, converted + lost) for a, b in pairwise(states)),
            (states[-1], "conversion", converted),
            (states[-1], "nothing", lost),
        ]:
            moves.setdefault(here, Counter())[there] += count
    names = [name for name in moves if sum(moves[name].values()) and not (removed and name != "start" and name[-1] == removed)]
    rows = [
        [Fraction(int(a == b)) - Fraction(moves[a][b], sum(moves[a].values())) for b in names]
        + [Fraction(moves[a]["conversion"], sum(moves[a].values()))]
        for a in names
    ]
    for i in range(len(rows)):
        pivot = next(j for j in range(i, len(rows)) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(rows)):
            if j != i and rows[j][i]:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return rows[names.index("start")][-1]


@settings(max_examples=60, deadline=None)
@given(some_paths, st.sampled_from(markov.ORDERS))
def test_effects_are_what_fractions_say(told: Told, order: int) -> None:
    found, whole = markov.fit(of(told), order), by_fractions(told, order)
    assert found.probability == pytest.approx(float(whole), abs=1e-12)
    for channel, effect in found.removal.items():
        assert effect == pytest.approx(float(1 - by_fractions(told, order, str(channel)) / whole), abs=1e-9)


def many(channels: int, journeys: int, seed: int = 0) -> paths.Paths:
    draw = np.random.default_rng(seed)
    starts = np.cumsum([0, *draw.geometric(0.15, journeys)])
    codes = (draw.integers(0, channels, starts[-1]) ** 2 // channels).astype(np.int32)
    names, codes = np.unique(codes, return_inverse=True)
    converted = (draw.random(journeys) < 0.1).astype("float64")
    return paths.Paths(tuple(f"{name:04d}" for name in names), codes.astype(np.int32), starts, converted, 1 - converted)


@pytest.mark.parametrize(("channels", "order"), [(20, 1), (100, 1), (6, 2), (6, 3), (4, 4)])
def test_one_factorisation_finds_what_solving_again_without_each_channel_finds(channels: int, order: int) -> None:
    told = many(channels, 3_000)
    found, known = markov.fit(told, order), markov.chain(told, order)
    assert isinstance(known.onward, np.ndarray)
    for code, effect in enumerate(found.removal):
        closed = known.last == code
        onward, converts = known.onward.copy(), known.converts.copy()
        onward[:, closed] = 0.0  # who would go there goes nowhere
        entry = np.where(closed, 0.0, known.entry)
        left = entry @ np.linalg.solve(np.eye(len(converts)) - onward, converts)
        assert abs(effect - (1 - left / found.probability)) < 1e-9


@pytest.mark.parametrize(("channels", "order"), [(20, 1), (6, 2), (5, 3), (100, 1)])
def test_following_the_steps_of_a_large_chain_finds_the_same(channels: int, order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = many(channels, 2_000)
    dense = markov.fit(told, order)
    monkeypatch.setattr(markov, "DENSE", 0)
    steps = markov.fit(told, order)
    assert steps.probability == pytest.approx(dense.probability, abs=1e-12)
    pd.testing.assert_series_equal(steps.removal, dense.removal, rtol=0, atol=1e-10)


def test_a_chain_that_never_ends_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markov, "DENSE", 0)
    monkeypatch.setattr(markov, "MOST_STEPS", 50)
    with pytest.raises(ValueError, match=r"still go on after 50 steps.*lower markov\.order"):
        markov.fit(of([("ab" * 1000, 1, 0)]))


@settings(max_examples=25, deadline=None)
@given(some_paths, st.sampled_from(markov.ORDERS), st.randoms(use_true_random=False))
def test_neither_the_order_of_journeys_nor_how_they_are_told_matters(told: Told, order: int, random: Any) -> None:
    apart = [(text, int(i < converted), int(i >= converted)) for text, converted, lost in told for i in range(converted + lost)]
    random.shuffle(apart)
    found, again = markov.fit(of(told), order), markov.fit(of(apart), order)
    assert again.probability == pytest.approx(found.probability)
    pd.testing.assert_series_equal(again.removal, found.removal.reindex(again.removal.index), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(some_paths)
def test_staying_with_a_channel_changes_no_effect_of_the_first_order(told: Told) -> None:
    longer = [("".join(letter * 2 for letter in text), converted, lost) for text, converted, lost in told]
    pd.testing.assert_series_equal(markov.fit(of(longer)).removal, markov.fit(of(told)).removal, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(some_paths, st.sampled_from(markov.ORDERS))
def test_totals_add_up_and_effects_are_shares(told: Told, order: int) -> None:
    found = markov.fit(of(told), order)
    assert found.removal.between(-1e-12, 1 + 1e-12).all()
    assert found.totals().sum() == pytest.approx(sum(converted for _, converted, _ in told))
    assert found.totals().min() >= -1e-9


def test_channels_alike_have_effects_alike_and_one_that_never_converts_has_none() -> None:
    found = markov.fit(of([("a", 2, 1), ("b", 2, 1), ("c", 0, 4)]))
    assert found.removal.to_dict() == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})


def test_without_conversions_nothing_is_lost() -> None:
    assert markov.fit(of([("ab", 0, 3)])).removal.to_dict() == {"a": 0.0, "b": 0.0}
    assert markov.fit(of([("", 1, 3)])).totals().to_dict() == {}
    assert markov.fit(paths.of_texts([], [])).probability == 0.0


def test_journeys_that_met_nothing_count_for_the_probability_and_for_no_channel() -> None:
    found = markov.fit(of([("a", 1, 0), ("", 1, 2)]))
    assert (found.probability, found.removal.to_dict()) == (0.5, {"a": 0.5})


def test_a_conversion_is_divided_in_proportion_to_the_effects_on_its_way() -> None:
    found = markov.Markov(1, 0.5, 1.0, pd.Series({"a": 0.6, "b": 0.2, "c": 0.0}))
    assert markov.share(a_path(3, 2, 1, channels="aba"), found).tolist() == pytest.approx([3 / 7, 1 / 7, 3 / 7])
    assert markov.share(a_path(2, 1, channels="cd"), found).tolist() == [0.5, 0.5]
    shuffled = a_path(3, 2, 1, channels="aba").iloc[[2, 0, 1]]
    assert markov.share(shuffled, found).tolist() == pytest.approx([3 / 7, 3 / 7, 1 / 7])


def test_an_order_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ValueError, match="remembers 1 to 4 channels, not 5"):
        markov.fit(of([("a", 1, 0)]), 5)
    too_many = paths.Paths(tuple(map(str, range(100_000))), np.array([0], np.int32), np.array([0, 1]), np.ones(1), np.zeros(1))
    with pytest.raises(ValueError, match="too many for a chain of order 4"):
        markov.fit(too_many, 4)
