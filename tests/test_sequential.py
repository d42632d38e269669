"""Boundaries against published ones and against a judge that integrates; and what outcomes follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from whence.measures.sequential import FARTHEST, HARM, OPEN, PASS, Look, boundaries, outcome, spent


def test_the_boundaries_are_those_that_lan_and_demets_published() -> None:
    found = boundaries((0.2, 0.4, 0.6, 0.8, 1.0), 0.025)
    assert found == pytest.approx((4.8769, 3.3569, 2.6803, 2.2898, 2.0310), abs=2e-3)


@settings(max_examples=10)
@given(st.lists(st.integers(5, 100), min_size=1, max_size=3, unique=True), st.sampled_from([0.05, 0.01, 0.003]))
def test_no_more_than_the_level_is_ever_crossed_whenever_the_looks_come(hundredths: list[int], level: float) -> None:
    shares = np.array(sorted(hundredths)) / 100
    limits = np.array(boundaries(tuple(shares.tolist()), level))
    related = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    stays = multivariate_normal(np.zeros(len(shares)), related).cdf(limits, rng=np.random.default_rng(1))
    assert 1 - stays == pytest.approx(spent(float(shares[-1]), level), abs=2e-4)


def test_an_early_look_hardly_costs_anything() -> None:
    assert boundaries((1.0,), 0.05)[0] == pytest.approx(1.6449, abs=1e-3)
    assert boundaries((0.5, 1.0), 0.05)[1] < 1.70
    assert boundaries((0.001, 1.0), 0.05)[0] == FARTHEST


def test_a_handful_that_agrees_by_chance_is_no_harm() -> None:
    assert outcome([Look(0.002, FARTHEST)], 0.003) == OPEN


def test_looks_that_go_backwards_are_refused() -> None:
    with pytest.raises(ValueError, match="one after the other"):
        boundaries((0.5, 0.4), 0.05)


def test_a_harm_once_seen_stays_one() -> None:
    assert outcome([Look(0.5, 9.0)], 0.05) == HARM
    assert outcome([Look(0.5, 9.0), Look(1.0, 0.0)], 0.05) == HARM


def test_what_comes_after_all_of_the_planned_evidence_is_not_looked_at() -> None:
    seen = [Look(0.5, 0.0), Look(1.0, 0.0)]
    assert outcome([], 0.05) == outcome(seen[:1], 0.05) == OPEN
    assert outcome([*seen, Look(1.2, 30.0)], 0.05) == PASS


def test_a_last_look_that_comes_late_counts_as_the_last() -> None:
    assert outcome([Look(0.5, 0.0), Look(1.3, 1.0)], 0.05) == PASS
    assert outcome([Look(0.5, 0.0), Look(1.3, 2.0)], 0.05) == HARM
