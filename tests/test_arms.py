"""Two arms side by side: what is sure, what is luck, and what one loud person cannot do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from whence.measures.arms import CHALLENGER, GROUPS, exactly, failures, level, loss, shift


def arms(champion: float, challenger: float) -> np.ndarray:
    return np.array([np.full(GROUPS, champion), np.full(GROUPS, challenger)])


@pytest.mark.parametrize("bad", [(3, 9), (0, 4), (40, 55), (7, 2)], ids=str)
def test_few_failures_are_judged_exactly(bad: tuple[int, int]) -> None:
    judge = binomtest(bad[1], sum(bad), 300 / 1300, alternative="greater").pvalue
    assert exactly(bad, (1000, 300)) == pytest.approx(norm.isf(judge), abs=1e-6)


def test_failures_of_one_person_alone_are_no_harm_to_all() -> None:
    loud, spread = arms(1.0, 1.0), arms(1.0, 1.0)
    loud[CHALLENGER, 5] += 60
    spread[CHALLENGER] += 60 / GROUPS
    assert exactly(loud.sum(axis=1), (3200, 3200)) == pytest.approx(exactly(spread.sum(axis=1), (3200, 3200)))
    assert failures(loud, arms(100, 100)) < 1.5 < 4 < failures(spread, arms(100, 100))


def test_nothing_is_sure_before_both_have_answered() -> None:
    assert failures(arms(0, 0), arms(10, 0)) == 0.0
    assert shift(np.stack([np.ones((GROUPS, 3)), np.zeros((GROUPS, 3))]), 0.25) == 0.0


def test_few_rows_are_no_shift() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        few = rng.multinomial(12, np.full(10, 0.1), (2, GROUPS))
        assert shift(few, 0.25) < 1.0


def test_a_constant_score_is_a_shift() -> None:
    spread, constant = np.full((GROUPS, 10), 1), np.tile([10] + [0] * 9, (GROUPS, 1))
    assert shift(np.stack([spread, constant]), 0.25) > 5


def test_paired_probabilities_tell_apart_what_noise_of_labels_would_hide() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.05, 0.4, 600)
    labels, people = (rng.random(600) < p).astype(float), np.arange(600) // 2
    assert abs(loss(labels, p, p, people, 0.0)) == 0.0
    assert loss(labels, p, np.clip(1.6 * p, 0, 0.99), people, 0.01) > 2.5
    assert loss(labels, np.clip(1.6 * p, 0, 0.99), p, people, 0.01) < -2.5


def test_a_level_off_by_more_than_the_champions_is_harm_in_both_directions() -> None:
    rng = np.random.default_rng(4)
    p = rng.uniform(0.1, 0.4, 3000)
    labels, people = (rng.random(3000) < p).astype(float), np.arange(3000)
    assert level(labels, p, p * 1.5, people, 1.1) > 4
    assert level(labels, p, p / 1.5, people, 1.1) > 4
    assert level(labels, p / 1.5, p * 1.5, people, 1.1) < 2
    assert level(labels, p, p * 1.05, people, 1.1) < 0


def test_a_person_with_a_thousand_rows_is_one_witness() -> None:
    people = np.array([0] * 1000 + list(range(1, 101)))
    labels = np.array([1.0] * 1000 + [0.0, 1.0] * 50)
    champion, challenger = np.full(1100, 0.5), np.array([0.2] * 1000 + [0.5] * 100)
    assert loss(labels, champion, challenger, people, 0.0) < 1.5
    assert loss(labels, champion, challenger, np.arange(1100), 0.0) > 30
