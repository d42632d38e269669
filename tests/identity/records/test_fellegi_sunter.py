import json

import numpy as np
import pytest

from whence.identity.records import fellegi_sunter
from whence.identity.records.fellegi_sunter import FellegiSunter
from whence.identity.records.table import Evidence

NAMES = ("a:likeness", "a:rarity", "b:likeness", "b:rarity", "c:likeness", "c:rarity")


def some_pairs(n=4000, share=0.3, seed=0):
    """Pairs of which a share are matches: those agree in nine of ten fields, the others in one of twenty."""
    draw = np.random.default_rng(seed)
    is_match = draw.random(n) < share
    values = np.zeros((n, 6), dtype=np.float32)
    for field in range(3):
        agrees = draw.random(n) < np.where(is_match, 0.9, 0.05)
        values[:, 2 * field] = np.where(agrees, 1.0, draw.uniform(0, 0.8, n))
        values[:, 2 * field + 1] = np.where(agrees, 6.5, 0.0)
        values[draw.random(n) < 0.1, 2 * field : 2 * field + 2] = np.nan
    return Evidence(NAMES, values), is_match


def test_the_share_of_matches_is_found_without_labels():
    evidence, is_match = some_pairs()
    chance = 1 / (1 + np.exp(-fellegi_sunter.fit(evidence).log_odds(evidence)))
    assert chance.mean() == pytest.approx(is_match.mean(), abs=0.03)
    assert chance[is_match].mean() > 0.9 > 0.1 > chance[~is_match].mean()


def test_strangers_that_agree_as_often_take_the_weight_off_a_field():
    evidence, _ = some_pairs()
    chance = Evidence(NAMES, np.tile(np.array([1, 6.5, 0.1, 0, 0.1, 0], dtype=np.float32), (500, 1)))
    scorer = fellegi_sunter.fit_to_all(evidence, chance, 1e6, np.eye(3, dtype=np.bool_))
    a_alone = Evidence(NAMES, np.array([[1, 6.5, np.nan, np.nan, np.nan, np.nan]], dtype=np.float32))
    b_alone = Evidence(NAMES, np.array([[np.nan, np.nan, 1, 6.5, np.nan, np.nan]], dtype=np.float32))
    assert scorer.log_odds(a_alone)[0] < scorer.base + 3 < scorer.base + 6 < scorer.log_odds(b_alone)[0]


def test_fields_that_say_the_same_count_as_one_together():
    evidence, _ = some_pairs()
    twice = Evidence((*NAMES, "town:likeness", "town:rarity"), np.column_stack([evidence.values, evidence.values[:, :2]]))
    strangers = np.random.default_rng(2).uniform(0, 0.4, (500, 4)).astype(np.float32)
    chance = Evidence(twice.names, np.repeat(strangers, 2, axis=1) * np.tile([1, 0], 4))
    apart, implied = np.eye(4, dtype=np.bool_), np.eye(4, dtype=np.bool_)
    implied[0, 3] = implied[3, 0] = True
    both = Evidence(twice.names, np.array([[1, 6.5, np.nan, np.nan, np.nan, np.nan, 1, 6.5]], dtype=np.float32))
    counted_twice, counted_once = (fellegi_sunter.fit_to_all(twice, chance, 1e6, said) for said in (apart, implied))
    assert counted_once.log_odds(both)[0] - counted_once.base < 0.7 * (counted_twice.log_odds(both)[0] - counted_twice.base)


def test_more_likeness_never_counts_less_and_a_missing_value_counts_nothing():
    evidence, _ = some_pairs()
    scorer = fellegi_sunter.fit(evidence)
    ladder = np.tile(np.array([[0.5, 0, 0.5, 0, 0.5, 0]], dtype=np.float32), (50, 1))
    ladder[:, 0] = np.linspace(0, 1, 50)
    assert np.all(np.diff(scorer.log_odds(Evidence(NAMES, ladder))) >= 0)
    assert scorer.log_odds(Evidence(NAMES, np.full((1, 6), np.nan, dtype=np.float32)))[0] == pytest.approx(scorer.base)


def test_contributions_add_up_and_the_same_scorer_comes_back_from_json():
    evidence, _ = some_pairs(n=500)
    scorer = fellegi_sunter.fit(evidence)
    np.testing.assert_allclose(scorer.contributions(evidence).sum(axis=1), scorer.log_odds(evidence))
    again = FellegiSunter.from_json(json.loads(json.dumps(scorer.to_json())))
    np.testing.assert_array_equal(again.log_odds(evidence), scorer.log_odds(evidence))


def test_no_pairs_and_no_fields_are_no_error():
    assert len(fellegi_sunter.fit(Evidence(NAMES, np.empty((0, 6), np.float32))).weights) == 3
    assert fellegi_sunter.fit(Evidence((), np.empty((3, 0), np.float32))).weights == ()
