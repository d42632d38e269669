"""Cuts against brute force over all outcomes, the laws they keep, and the band that a person is asked about."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.identity.records.table import Floats, Pairs
from whence.identity.records.verdicts import (
    DIFFERENT,
    LARGE,
    SAME,
    UNSURE,
    Costs,
    Margin,
    calibration_margin,
    decide,
    expected_fbeta,
    expected_fbeta_cut,
    pair_cut,
)


def by_enumeration(p: list[float], beta: float) -> list[float]:
    """Expected F-beta of the top 0, 1, …, n, over all outcomes; nothing taken and nothing true counts 1."""
    ordered = sorted(p, reverse=True)
    expected = [0.0] * (len(p) + 1)
    for truth in product((0, 1), repeat=len(p)):
        chance = float(np.prod([x if t else 1 - x for x, t in zip(ordered, truth, strict=True)]))
        for j in range(len(p) + 1):
            below = j + beta**2 * sum(truth)
            expected[j] += chance * ((1 + beta**2) * sum(truth[:j]) / below if below else 1.0)
    return expected


def by_dynamic_programme(p: Floats, beta: float) -> Floats:
    """Expected F-beta of the top 1, …, n from the distributions of both sums, for groups too large to enumerate."""
    ordered = np.sort(p)[::-1]

    def counts(some: Floats) -> Floats:
        found = np.ones(1)
        for x in some:
            found = np.convolve(found, [1 - x, x])
        return found

    out = []
    for j in range(1, len(p) + 1):
        top, rest = counts(ordered[:j]), counts(ordered[j:])
        t, r = np.arange(len(top))[:, None], np.arange(len(rest))[None, :]
        out.append(float((top[:, None] * rest[None, :] * (1 + beta**2) * t / (j + beta**2 * (t + r))).sum()))
    return np.array(out)


probability = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0, 1))


@settings(max_examples=30, deadline=None)
@given(st.lists(probability, min_size=1, max_size=7), st.sampled_from([0.5, 1.0, 2.0, 0.7]))
def test_expected_fbeta_is_that_of_all_outcomes(p: list[float], beta: float) -> None:
    taken, none = expected_fbeta(p, np.zeros(len(p)), beta)
    truth = by_enumeration(p, beta)
    assert none[0] == pytest.approx(truth[0], abs=1e-9)
    assert np.sort(p)[::-1].tolist() == sorted(p, reverse=True)
    order = np.lexsort((-np.asarray(p),))
    assert taken[order] == pytest.approx(truth[1:], abs=1e-6 if beta == 0.7 else 1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(probability, min_size=1, max_size=7), st.sampled_from([0.5, 1.0, 2.0]))
def test_no_cut_has_a_greater_expected_fbeta(p: list[float], beta: float) -> None:
    mask = expected_fbeta_cut(p, np.zeros(len(p)), beta)
    truth = by_enumeration(p, beta)
    assert truth[int(mask.sum())] == pytest.approx(max(truth), abs=1e-8)
    assert not mask.any() or min(np.asarray(p)[mask]) >= max([x for x, m in zip(p, mask, strict=True) if not m], default=0)


@pytest.mark.parametrize("size", [15, 60, 150])
@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_larger_groups_agree_with_the_dynamic_programme(size: int, beta: float) -> None:
    p = np.random.default_rng(size).beta(0.2, 2, size)
    taken, _ = expected_fbeta(p, np.zeros(size), beta)
    assert np.sort(taken) == pytest.approx(np.sort(by_dynamic_programme(p, beta)), abs=1e-8)


def test_a_very_large_group_is_near_the_exact_answer() -> None:
    p = np.random.default_rng(1).beta(0.3, 1, LARGE + 1)
    near, _ = expected_fbeta(p, np.zeros(len(p)))
    exact, _ = expected_fbeta(p[:LARGE], np.zeros(LARGE))
    assert near.max() == pytest.approx(exact.max(), abs=0.01)


def test_groups_do_not_see_each_other() -> None:
    rng = np.random.default_rng(2)
    p, groups = rng.random(300), rng.integers(0, 40, 300)
    together = expected_fbeta_cut(p, groups, 0.5)
    for group in np.unique(groups):
        alone = expected_fbeta_cut(p[groups == group], np.zeros((groups == group).sum()), 0.5)
        assert (together[groups == group] == alone).all()


def test_precision_takes_fewer_than_recall() -> None:
    p, groups = np.random.default_rng(3).random(2000), np.arange(2000) // 8
    sizes = [int(expected_fbeta_cut(p, groups, beta).sum()) for beta in (0.5, 1.0, 2.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_a_lone_candidate_is_taken_when_it_is_likelier_than_not() -> None:
    assert expected_fbeta_cut([0.49, 0.51], [0, 1]).tolist() == [False, True]


def test_a_pair_is_linked_only_when_both_its_records_want_it() -> None:
    hub = Pairs(np.array([0, 1, 2], dtype=np.int32), np.array([3, 3, 3], dtype=np.int32))
    assert pair_cut(hub, np.array([0.95, 0.45, 0.3])).tolist() == [True, False, False]


def test_unsure_are_the_pairs_whose_verdict_would_flip() -> None:
    alone = Pairs(np.arange(0, 10, 2, dtype=np.int32), np.arange(1, 11, 2, dtype=np.int32))
    found = decide(alone, np.array([0.99, 0.6, 0.5, 0.4, 0.01]), margin=Margin(below=(0.5,), above=(0.5,)))
    assert found.codes.tolist() == [SAME, UNSURE, UNSURE, UNSURE, DIFFERENT]
    assert found.counts() == {"different": 1, "unsure": 3, "same": 1}


def test_without_a_margin_nothing_is_unsure() -> None:
    alone = Pairs(np.array([0, 2], dtype=np.int32), np.array([1, 3], dtype=np.int32))
    found = decide(alone, np.array([0.6, 0.4]), margin=Margin(below=(0.0,), above=(0.0,)))
    assert found.codes.tolist() == [SAME, DIFFERENT]


def test_costs_draw_the_band() -> None:
    alone = Pairs(np.array([0, 2, 4], dtype=np.int32), np.array([1, 3, 5], dtype=np.int32))
    found = decide(alone, np.array([0.95, 0.85, 0.1]), costs=Costs(false_merge=10, false_split=5, look=1))
    assert found.codes.tolist() == [SAME, UNSURE, DIFFERENT]
    assert Costs(false_merge=1, false_split=1, look=1).band() == (0.5, 0.5)
    with pytest.raises(ValueError, match="above 0"):
        Costs(look=0).band()


def test_the_order_of_pairs_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    left = rng.integers(0, 50, 200).astype(np.int32)
    pairs, p = Pairs(left, (left + rng.integers(1, 50, 200)).astype(np.int32)), rng.random(200)
    mixed = rng.permutation(200)
    again = decide(Pairs(pairs.left[mixed], pairs.right[mixed]), p[mixed])
    assert (again.codes == decide(pairs, p).codes[mixed]).all()


@pytest.mark.service
def test_more_labels_leave_less_in_doubt() -> None:
    rng = np.random.default_rng(5)
    raw = rng.normal(0, 2, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-raw))
    few = calibration_margin(raw[:100], labels[:100], np.arange(100))
    many = calibration_margin(raw, labels, np.arange(4000))
    assert max(many.below) < max(few.below)
    assert max(many.above) < 0.5


def test_impossible_questions_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="Beta is above 0"):
        expected_fbeta_cut([0.5], [0], beta=0)
    with pytest.raises(ValueError, match="Candidate 1 has no probability"):
        expected_fbeta_cut([0.5, 1.5], [0, 0])
    with pytest.raises(ValueError, match="Candidate 0 has no probability"):
        expected_fbeta_cut([float("nan")], [0])
    with pytest.raises(ValueError, match="2 probabilities and 1 groups"):
        expected_fbeta_cut([0.5, 0.5], [0])


def test_no_candidates_are_no_verdicts() -> None:
    nothing = np.zeros(0, dtype=np.int32)
    assert decide(Pairs(nothing, nothing), np.zeros(0)).counts() == {"different": 0, "unsure": 0, "same": 0}


def test_leaving_the_unlikely_out_of_the_search_changes_no_cut() -> None:
    rng = np.random.default_rng(6)
    for beta in (0.5, 1.0, 2.0):
        p, groups = rng.beta(0.1, 2, 4000), np.repeat(np.arange(100), 40)
        mask = expected_fbeta_cut(p, groups, beta)
        taken, none = expected_fbeta(p, groups, beta)
        for group in range(100):
            rows = groups == group
            best = max(taken[rows].max(), none[group])
            cut = rows & mask
            at = taken[cut][p[cut].argmin()] if cut.any() else none[group]
            assert at == pytest.approx(best, abs=1e-6)
