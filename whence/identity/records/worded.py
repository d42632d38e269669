"""Learned from labels with all that words can tell: the trees, the lexicon beside them, and how common each word is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from whence.identity.records import boosted, lexicon, wording
from whence.identity.records.boosted import Boosted, BoostedError
from whence.identity.records.compare import LETTERS, LIKENESS, compare
from whence.identity.records.known import stands_for
from whence.identity.records.lexicon import Lexicon
from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import Evidence, Floats, Pairs, Records
from whence.identity.records.wording import Alone, Wording

Ints = npt.NDArray[np.int64]

WORDY = "text"
"""The kind of field whose words are worth a closer look."""
CLOSELY = 20_000
"""Pairs whose words are looked at one by one, at some 2,000 a CPU second; the most alike where there are more."""
FEW = 100_000
"""Records from which reading every word of every record costs more than a user would wait for."""
BAG = 1


@runtime_checkable
class Looks(Protocol):
    """A scorer that finds its evidence by itself."""

    def look(self, records: Records, pairs: Pairs) -> Evidence:
        """The evidence of some pairs."""
        ...


@dataclass(frozen=True)
class Worded:
    """Boosted trees over all signals of words; the same interface as every pair scorer, for evidence that `look` found."""

    trees: Boosted
    lexicon: Lexicon
    wordings: Mapping[str, Wording]
    """How common words were, by field, among the records that it learned from."""

    def log_odds(self, evidence: Evidence) -> Floats:
        """Calibrated log-odds that the two records of each pair are one person, shape (pairs,)."""
        return self.trees.log_odds(evidence)

    def contributions(self, evidence: Evidence) -> Floats:
        """What each signal adds to the log-odds, shape (pairs, signals + 1); rows add up to `log_odds`."""
        return self.trees.contributions(evidence)

    def look(self, records: Records, pairs: Pairs) -> Evidence:
        """All signals of some pairs, whose words are looked at one by one however many they are."""
        told = compare(records, pairs, self.wordings)
        return _beside(told, *_closer(records, pairs, np.arange(len(pairs.left)), self.wordings), self.lexicon)

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which the same scorer can be made again."""
        words = {name: each.to_json() for name, each in self.wordings.items()}
        return {"kind": "worded", "trees": self.trees.to_json(), "lexicon": self.lexicon.to_json(), "wordings": words}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Worded:
        """The scorer of a dict that `to_json` made; raises BoostedError for another one."""
        if given.get("kind") != "worded":
            raise BoostedError("This is no scorer of words. Train it again, or restore the file.")
        words = {str(name): Wording.from_json(each) for name, each in given["wordings"].items()}
        return cls(Boosted.from_json(given["trees"]), Lexicon.from_json(given["lexicon"]), words)


def look(scorer: PairScorer, records: Records, pairs: Pairs, wordings: Mapping[str, Wording] | None = None) -> Evidence:
    """The evidence that a scorer takes; `wordings` are those of `compare`, for a scorer that has none of its own.

    A scorer in context answers for a pair alone where nothing is told of its rivals, so it takes what the scorer within takes.
    """
    within = getattr(scorer, "alone", scorer)
    return within.look(records, pairs) if isinstance(within, Looks) else compare(records, pairs, wordings)


def is_worth_it(records: Records) -> bool:
    """Whether there are texts, of records few enough to read them all."""
    return len(records) < FEW and any(column.field.kind == WORDY for column in records.columns)


def fit(
    records: Records,
    pairs: Pairs,
    told: Evidence,
    rows: Ints,
    same: Floats,
    people: Ints,
    *,
    seed: int = 0,
    threads: int = 1,
) -> tuple[Worded, Evidence]:
    """A scorer learned from labelled pairs, and the evidence of all pairs with the signals of words.

    `told` is what `compare` found for all pairs; `rows`, `same` and `people` are those of `known.labelled`. The words of at
    most CLOSELY pairs are looked at one by one: which ones, labels have no say in. Raises TooFewLabels as `boosted.fit` does.
    """
    wordings = wording.statistics(records)
    near = alike(told)
    looked = _closer(records, pairs, near, wordings)
    place = np.full(len(pairs.left), -1)
    place[near] = np.arange(len(near))
    shown = place[rows] >= 0
    words, alone = looked
    learned = _rows(_joined(told, words, near), place[rows[shown]])
    lone = Alone(alone.names, alone.rows[place[rows[shown]]])
    if not 0 < same[shown].sum() < shown.sum():
        raise boosted.TooFewLabels("The labelled pairs that are alike are all of one kind. Label pairs of both kinds.")
    lexis, unseen = lexicon.learn(learned, lone, same[shown], people[shown], seed=seed)
    evidence = _beside(told, words, alone, lexis, near)
    known = _rows(evidence, rows)
    known.values[shown] = unseen.values
    seeds = range(BAG * seed, BAG * seed + BAG)
    trees = boosted.fit(known, same, people, weights=stands_for(records, same), seeds=seeds, threads=threads)
    return Worded(trees, lexis, wordings), evidence


def alike(told: Evidence) -> Ints:
    """The places of the CLOSELY pairs whose fields are the most alike, rising; all where there are no more."""
    if len(told.values) <= CLOSELY:
        return np.arange(len(told.values))
    columns = [at for at, name in enumerate(told.names) if name.rsplit(":", 1)[-1] in (LIKENESS, LETTERS)]
    likeness = told.values[:, columns].astype(np.float64)
    known = ~np.isnan(likeness)
    mean = np.where(known, likeness, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.sort(np.argsort(-mean, kind="stable")[:CLOSELY])


def _closer(records: Records, pairs: Pairs, rows: Ints, wordings: Mapping[str, Wording]) -> tuple[Evidence, Alone]:
    found = wording.describe(records, Pairs(pairs.left[rows], pairs.right[rows]), wordings)
    return found.evidence, found.alone


def _joined(told: Evidence, words: Evidence, rows: Ints | None = None) -> Evidence:
    """Both kinds of signals, each name once, of the pairs whose words were looked at."""
    new = [at for at, name in enumerate(words.names) if name not in set(told.names)]
    ours = told.values if rows is None else told.values[rows]
    return Evidence(told.names + tuple(words.names[at] for at in new), np.column_stack([ours, words.values[:, new]]))


def _beside(told: Evidence, words: Evidence, alone: Alone, lexis: Lexicon, rows: Ints | None = None) -> Evidence:
    """All signals of all pairs; those of words are NaN where words were not looked at."""
    found = lexis.add(_joined(told, words, rows), alone)
    if rows is None or len(rows) == len(told.values):
        return found
    values = np.full((len(told.values), len(found.names)), np.nan, dtype=np.float32)
    values[:, : len(told.names)] = told.values
    values[rows] = found.values
    return Evidence(found.names, values)


def _rows(evidence: Evidence, rows: Ints) -> Evidence:
    return Evidence(evidence.names, evidence.values[rows])
