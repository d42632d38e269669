from dataclasses import replace

import numpy as np
import pytest

from whence.identity.records import cascade, fields
from whence.identity.records.boosted import BoostedError, TooFewLabels
from whence.identity.records.cascade import Cascade, Judged
from whence.identity.records.compare import compare
from whence.identity.records.keys import Key, Part
from whence.identity.records.known import labelled
from whence.identity.records.retrieve import Plan, retrieve, truth
from whence.identity.records.table import Evidence, Field, Fields, Pairs, Records
from whence.world.registers import register

KINDS = {"given_name": "given_name", "surname": "surname", "dob": "date", "email": "email", "postcode": "postcode"}
FIELDS = Fields(tuple(Field(name, kind) for name, kind in KINDS.items()), id="unique_id", label="person")
PLAN = Plan(tuple(Key((Part(each),)) for each in ("given_name", "dob", "email", "postcode")), cap=200)


def learned(records: Records) -> tuple[Records, Pairs, Judged]:
    """The records with labels of some of the people alone, their candidates, and what two steps make of them."""
    assert records.labels is not None
    some = replace(records, labels=np.where(records.labels % 5 < 3, records.labels, -1).astype(np.int32))
    pairs = retrieve(some, PLAN).pairs
    return some, pairs, cascade.fit(some, pairs, *labelled(some, pairs, {}))


ALL = fields.prepare(register(4_000, seed=5), FIELDS)


@pytest.fixture(scope="module")
def found() -> tuple[Records, Pairs, Judged]:
    return learned(ALL)


def is_one_person(pairs: Pairs) -> np.ndarray:
    assert ALL.labels is not None
    return ALL.labels[pairs.left] == ALL.labels[pairs.right]


@pytest.mark.service
def test_most_texts_are_never_compared_and_hardly_a_pair_is_lost(found: tuple[Records, Pairs, Judged]) -> None:
    _, pairs, judged = found
    same = is_one_person(pairs)
    assert judged.compared < len(pairs.left) / 2
    assert (judged.log_odds[same] > 0).mean() > 0.9
    assert (judged.log_odds[~same] > 0).mean() < 0.01
    assert same.sum() > 0.9 * len(truth(ALL).left)


@pytest.mark.service
def test_as_many_pairs_are_of_one_person_as_the_probabilities_say_though_only_some_people_are_labelled(
    found: tuple[Records, Pairs, Judged],
) -> None:
    _, pairs, judged = found
    said = float((1 / (1 + np.exp(-judged.log_odds))).sum())
    assert said == pytest.approx(is_one_person(pairs).sum(), rel=0.06)


@pytest.mark.service
def test_full_evidence_of_a_pair_gets_the_score_that_it_got_among_all(found: tuple[Records, Pairs, Judged]) -> None:
    records, pairs, judged = found
    some = Pairs(pairs.left[:500], pairs.right[:500])
    np.testing.assert_array_equal(judged.scorer.log_odds(compare(records, some)), judged.log_odds[:500])


@pytest.mark.service
def test_contributions_add_up_and_a_scorer_read_back_gives_the_same_answers(found: tuple[Records, Pairs, Judged]) -> None:
    records, pairs, judged = found
    evidence = compare(records, Pairs(pairs.left[::400], pairs.right[::400]))
    scores = judged.scorer.log_odds(evidence)
    np.testing.assert_allclose(judged.scorer.contributions(evidence).sum(axis=1), scores)
    np.testing.assert_array_equal(Cascade.from_json(judged.scorer.to_json()).log_odds(evidence), scores)
    with pytest.raises(BoostedError, match="Train it again"):
        Cascade.from_json({"kind": "boosted"})


@pytest.mark.service
def test_the_order_of_rows_changes_nothing(found: tuple[Records, Pairs, Judged]) -> None:
    table = register(4_000, seed=5)
    shuffled = table.take(np.random.default_rng(1).permutation(4_000))
    np.testing.assert_array_equal(learned(fields.prepare(shuffled, FIELDS))[2].log_odds, found[2].log_odds)


def test_without_labels_of_both_kinds_nothing_is_learned() -> None:
    pairs = retrieve(ALL, PLAN).pairs
    nothing = np.empty(0, dtype=np.int64)
    with pytest.raises(TooFewLabels):
        cascade.fit(ALL, pairs, nothing, nothing.astype(float), np.empty((0, 2), dtype=np.int64))


def test_two_steps_are_for_many_pairs_with_many_labels() -> None:
    many = Pairs(np.zeros(cascade.WORTH_IT, np.int32), np.ones(cascade.WORTH_IT, np.int32))
    labels = np.repeat([0.0, 1.0], cascade.ENOUGH)
    assert cascade.is_worth_it(many, labels)
    assert not cascade.is_worth_it(many, labels[1:])
    assert not cascade.is_worth_it(Pairs(many.left[1:], many.right[1:]), labels)


def test_whole_values_are_the_rarity_of_full_evidence_in_coarse_steps() -> None:
    pairs = retrieve(ALL, PLAN).pairs
    pairs = Pairs(pairs.left[:300], pairs.right[:300])
    told, full = cascade.whole_values(ALL, pairs), cascade.rounded(compare(ALL, pairs))
    at = [full.names.index(name) for name in told.names]
    np.testing.assert_array_equal(told.values, full.values[:, at])


def test_only_equal_values_keep_the_likeness_of_one() -> None:
    given = Evidence(("a:likeness", "a:rarity"), np.array([[1.0, 5.5], [0.999, 0.0], [np.nan, np.nan]], dtype=np.float32))
    np.testing.assert_array_equal(cascade.rounded(given).values, [[1.0, 5.0], [0.9375, 0.0], [np.nan, np.nan]])


def test_kinds_of_rows_are_those_that_numpy_finds() -> None:
    rows = np.random.default_rng(0).integers(0, 4, (500, 3)).astype(np.float32)
    rows[::7, 1] = np.nan
    places, kind = cascade.distinct(rows)
    np.testing.assert_array_equal(rows[places][kind], rows)
    assert len(places) == len(np.unique(np.nan_to_num(rows, nan=-1), axis=0))
    assert len(cascade.distinct(rows[:0])[1]) == 0
