import json

import numpy as np
import pytest

from whence.identity.records import boosted
from whence.identity.records.boosted import Boosted, BoostedError, Shape, TooFewLabels
from whence.identity.records.table import Evidence

SMALL = Shape(leaves=4, rounds=10, rate=0.3, in_leaf=3)


def some_pairs(n=400, seed=0):
    """Pairs of 200 people: the first signal speaks for one person, the second says nothing."""
    draw = np.random.default_rng(seed)
    people = draw.integers(0, 200, (n, 2))
    is_same = draw.random(n) < 0.4
    people[is_same, 1] = people[is_same, 0]
    labels = (people[:, 0] == people[:, 1]).astype(int)
    values = np.column_stack([labels * 1.5 + draw.normal(size=n), draw.normal(size=n)]).astype(np.float32)
    values[draw.random((n, 2)) < 0.1] = np.nan
    return Evidence(("title:likeness", "title:length"), values), labels, people


@pytest.fixture(scope="module")
def learned():
    return boosted.fit(*some_pairs(), seeds=(0,), shape=SMALL)


def test_more_of_a_signal_that_speaks_for_one_person_never_speaks_against_it(learned):
    ladder = Evidence(learned.names, np.column_stack([np.linspace(-3, 4, 50), np.zeros(50)]).astype(np.float32))
    log_odds = learned.log_odds(ladder)
    assert np.all(np.diff(log_odds) >= 0)
    assert log_odds[-1] > log_odds[0] + 2


def test_contributions_add_up_to_the_log_odds(learned):
    evidence, _, _ = some_pairs(seed=1)
    told = learned.contributions(evidence)
    assert told.shape == (400, 3)
    np.testing.assert_allclose(told.sum(axis=1), learned.log_odds(evidence), atol=1e-9)


def test_signals_may_come_in_another_order_but_not_be_missing(learned):
    evidence, _, _ = some_pairs(seed=1)
    turned = Evidence(evidence.names[::-1], evidence.values[:, ::-1])
    np.testing.assert_array_equal(learned.log_odds(turned), learned.log_odds(evidence))
    with pytest.raises(BoostedError, match="title:length"):
        learned.log_odds(Evidence(evidence.names[:1], evidence.values[:, :1]))


def test_the_same_scorer_comes_back_from_its_json(learned):
    evidence, _, _ = some_pairs(seed=1)
    again = Boosted.from_json(json.loads(json.dumps(learned.to_json())))
    np.testing.assert_array_equal(again.log_odds(evidence), learned.log_odds(evidence))


def test_a_scorer_that_was_changed_or_cut_off_is_refused_before_lightgbm_sees_it(learned):
    told = learned.to_json()
    for damaged in (told | {"models": [told["models"][0][:-40]]}, told | {"names": ["x", "y"]}, {}, {"kind": "boosted"}):
        with pytest.raises(BoostedError, match="digest"):
            Boosted.from_json(damaged)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.service)])
def test_neither_the_order_of_rows_nor_threads_change_the_answer(learned, threads):
    evidence, labels, people = some_pairs()
    mixed = np.random.default_rng(3).permutation(len(labels))
    shuffled = Evidence(evidence.names, evidence.values[mixed])
    again = boosted.fit(shuffled, labels[mixed], people[mixed], seeds=(0,), shape=SMALL, threads=threads)
    assert again.to_json() == learned.to_json()


def test_few_labels_are_refused_with_the_number_that_it_takes():
    evidence, labels, people = some_pairs()
    rows = np.concatenate([np.flatnonzero(labels)[:9], np.flatnonzero(labels == 0)])
    with pytest.raises(TooFewLabels, match="9 matching and"):
        boosted.fit(Evidence(evidence.names, evidence.values[rows]), labels[rows], people[rows])


def test_labels_that_are_not_one_for_each_pair_or_unsure_are_refused():
    evidence, labels, people = some_pairs()
    with pytest.raises(ValueError, match="one label a pair"):
        boosted.fit(evidence, labels[1:], people)
    with pytest.raises(ValueError, match="Leave unsure pairs out"):
        boosted.fit(evidence, labels * 0.5, people)


def test_tens_of_labels_are_enough_to_learn_something_careful():
    evidence, labels, people = some_pairs(60)
    scorer = boosted.fit(evidence, labels, people, seeds=(0,))
    unseen, truth, _ = some_pairs(seed=5)
    log_odds = scorer.log_odds(unseen)
    assert log_odds[truth == 1].mean() > log_odds[truth == 0].mean() + 0.5
    assert np.abs(log_odds).max() < 8


@pytest.mark.service
def test_probabilities_hold_on_people_that_were_not_learned_from():
    scorer = boosted.fit(*some_pairs(4_000), seeds=(0,), shape=Shape(7, 60, 0.1, 20))
    evidence, labels, _ = some_pairs(40_000, seed=9)
    probability = 1 / (1 + np.exp(-scorer.log_odds(evidence)))
    bins = np.digitize(probability, np.quantile(probability, np.linspace(0, 1, 11)[1:-1]))
    gaps = [abs(probability[bins == each].mean() - labels[bins == each].mean()) for each in range(10)]
    assert np.mean(gaps) < 0.03


@pytest.mark.service
def test_people_learned_from_do_not_flatter_the_calibration():
    """Labels that no signal explains: remembered pairs would look certain, and the calibrated answer must be the base rate."""
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(300), 4)
    labels = np.repeat(draw.random(300) < 0.5, 4).astype(int)
    noise = np.repeat(draw.normal(size=(300, 4)), 4, axis=0) + draw.normal(scale=0.01, size=(1200, 4))
    scorer = boosted.fit(Evidence(("a", "b", "c", "d"), noise.astype(np.float32)), labels, people, seeds=(0,))
    unseen = scorer.log_odds(Evidence(scorer.names, draw.normal(size=(500, 4)).astype(np.float32)))
    assert np.abs(unseen).max() < 1.0
