import json

import numpy as np

from whence.identity.records import lexicon, wording
from whence.identity.records.lexicon import Lexicon
from whence.identity.records.table import Evidence
from whence.identity.records.wording import Texts, fit


def colour_pairs(n=300, seed=0):
    """Pairs that differ in a colour are two products; those that differ in `new` are one."""
    draw = np.random.default_rng(seed)
    values = ("lamp black", "lamp black new", "lamp white")
    texts = Texts(values, fit(values))
    is_same = draw.random(n) < 0.5
    alone = wording.alone("title", texts, np.zeros(n, dtype=np.int32), np.where(is_same, 1, 2).astype(np.int32))
    return Evidence(("noise",), draw.normal(size=(n, 1)).astype(np.float32)), alone, is_same.astype(float)


def test_labels_teach_which_words_matter():
    evidence, alone, labels = colour_pairs()
    words, told = lexicon.learn(evidence, alone, labels, np.arange(len(labels)))
    assert words.words["title:new"][0] > 0 > words.words["title:white"][0]
    assert told.names == ("noise", *lexicon.SIGNALS)
    assert told.values[labels == 1, 1].min() > told.values[labels == 0, 1].max()


def test_a_pair_is_told_nothing_by_its_own_label():
    """One word that only one pair has: its weight is learned from that pair, and must not come back to it."""
    evidence, alone, labels = colour_pairs()
    draw = np.random.default_rng(1)
    noise = (draw.random(len(labels)) < 0.5).astype(float)
    _, told = lexicon.learn(evidence, wording.Alone((), alone.rows[:, :0]), noise, np.arange(len(labels)))
    assert abs(np.corrcoef(told.values[:, 2], noise)[0, 1]) < 0.2


def test_the_same_lexicon_comes_back_from_its_json():
    evidence, alone, labels = colour_pairs()
    words, _ = lexicon.learn(evidence, alone, labels, np.arange(len(labels)))
    again = Lexicon.from_json(json.loads(json.dumps(words.to_json())))
    np.testing.assert_array_equal(again.add(evidence, alone).values, words.add(evidence, alone).values)
