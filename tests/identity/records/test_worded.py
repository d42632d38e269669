import json
from types import SimpleNamespace

import numpy as np
import pytest

from whence.identity.records import worded
from whence.identity.records.boosted import BoostedError, TooFewLabels
from whence.identity.records.compare import compare
from whence.identity.records.known import labelled
from whence.identity.records.saved import SCORERS
from whence.identity.records.table import Column, Field, Pairs, Records
from whence.identity.records.worded import Worded

MAKERS, COLOURS = ("acme", "bolt", "cord", "dyno"), ("black", "white")


def a_shop(things=40):
    """Each thing twice in black, once in white; which are one thing is the label."""
    titles, things_of = [], []
    for number in range(things):
        maker = MAKERS[number % len(MAKERS)]
        for spelling in (
            f"{maker} kettle k{number:03d} black",
            f"{maker} black kettle k{number:03d} new",
            f"{maker} kettle k{number:03d} white",
        ):
            titles.append(spelling)
            things_of.append(2 * number + spelling.endswith("white"))
    values = tuple(sorted(titles))
    codes = np.array([values.index(title) for title in titles], dtype=np.int32)
    column = Column(Field("title", "text"), codes, values)
    ids = tuple(f"r{place:04d}" for place in range(len(titles)))
    records = Records(ids, (column,), labels=np.array(things_of, dtype=np.int32))
    left = np.repeat(np.arange(0, len(titles), 3), 2) + np.tile([0, 0], things)
    right = np.repeat(np.arange(0, len(titles), 3), 2) + np.tile([1, 2], things)
    return records, Pairs(left.astype(np.int32), right.astype(np.int32))


@pytest.fixture(scope="module")
def learned():
    records, pairs = a_shop()
    told = compare(records, pairs)
    return records, pairs, *worded.fit(records, pairs, told, *labelled(records, pairs, {}))


@pytest.mark.service
def test_words_that_make_another_thing_are_learned(learned):
    _, _, scorer, evidence = learned
    odds = scorer.log_odds(evidence)
    assert odds[0::2].min() > 0 > odds[1::2].max()
    assert np.allclose(scorer.contributions(evidence).sum(axis=1), odds)


@pytest.mark.service
def test_a_scorer_read_back_sees_the_same_in_the_same_pairs(learned):
    records, pairs, scorer, evidence = learned
    told = json.loads(json.dumps(scorer.to_json()))
    again = SCORERS[told["kind"]](told)
    found = worded.look(again, records, pairs)
    assert found.names == evidence.names
    assert (again.log_odds(found) == scorer.log_odds(evidence)).all()
    assert worded.look(SimpleNamespace(alone=again), records, pairs).names == found.names


@pytest.mark.service
def test_only_the_most_alike_are_looked_at_where_there_are_too_many(learned, monkeypatch):
    records, pairs, *_ = learned
    monkeypatch.setattr(worded, "CLOSELY", 60)
    _, evidence = worded.fit(records, pairs, compare(records, pairs), *labelled(records, pairs, {}))
    assert (~np.isnan(evidence.values[:, -1])).sum() == 60
    assert not np.isnan(evidence.values[:, 0]).any()


def test_a_table_without_texts_is_not_read_word_by_word():
    assert worded.is_worth_it(a_shop(1)[0])
    assert not worded.is_worth_it(Records(("a",), ()))


def test_too_few_labels_and_other_scorers_are_refused():
    records, pairs = a_shop(3)
    with pytest.raises(TooFewLabels):
        worded.fit(records, pairs, compare(records, pairs), *labelled(records, pairs, {}))
    with pytest.raises(BoostedError):
        Worded.from_json({"kind": "boosted"})
