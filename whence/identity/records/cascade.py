"""Boosted trees in two steps: whole values settle most pairs, and texts are compared only for those that stay open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from whence.identity.records import boosted
from whence.identity.records.boosted import Boosted, BoostedError, Shape
from whence.identity.records.compare import RARITY, compare, rarity
from whence.identity.records.known import stands_for
from whence.identity.records.table import Evidence, Floats, Pairs, Records

WORTH_IT, ENOUGH = 100_000, 10_000
"""Pairs, and labelled pairs of either kind, from which two steps are faster than one and as good."""
LABELS = 150_000
"""Labelled pairs that a step learns from at most."""
SURE = float(np.log(0.99 / 0.01))
"""Log-odds at which whole values settle a pair."""
STEPS = 16.0
"""Likenesses are told apart to 1/16 and rarities to 1 nat, so that equal evidence is scored once."""
FIRST, SECOND = Shape(leaves=63, rounds=50, rate=0.15, in_leaf=30), Shape(leaves=63, rounds=40, rate=0.15, in_leaf=30)


class Labelled(NamedTuple):
    """Candidate pairs with a known answer."""

    rows: npt.NDArray[np.int64]
    """Their places among all pairs, rising."""
    same: Floats
    """1 for one person, 0 for two."""
    people: npt.NDArray[np.int64]
    """Shape (labelled, 2): the person of each record."""
    weights: Floats
    """How many candidate pairs each stands for."""


@dataclass(frozen=True)
class Cascade:
    """Two scorers, the second asked where the first is not sure; the same interface as every pair scorer."""

    first: Boosted
    """Takes whole values: equal or not, and how rare."""
    second: Boosted
    """Takes all signals, and has learned from open pairs alone."""

    def log_odds(self, evidence: Evidence) -> Floats:
        """Calibrated log-odds that the two records of each pair are one person, shape (pairs,)."""
        found = self.first.log_odds(rounded(evidence))
        is_open = np.abs(found) < SURE
        found[is_open] = self.second.log_odds(rounded(_of(evidence, is_open)))
        return found

    def contributions(self, evidence: Evidence) -> Floats:
        """What each signal adds, shape (pairs, signals + 1), in the order of the second step's signals, the base last."""
        evidence = rounded(evidence)
        is_open = np.abs(self.first.log_odds(evidence)) < SURE
        found = np.zeros((len(evidence.values), len(self.second.names) + 1))
        settled = np.zeros((int((~is_open).sum()), found.shape[1]))
        settled[:, [*(self.second.names.index(name) for name in self.first.names), -1]] = self.first.contributions(
            _of(evidence, ~is_open)
        )
        found[~is_open] = settled
        found[is_open] = self.second.contributions(_of(evidence, is_open))
        return found

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which the same scorer can be made again."""
        return {"kind": "cascade", "first": self.first.to_json(), "second": self.second.to_json()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Cascade:
        """The scorer of a dict that `to_json` made; raises BoostedError for another one."""
        if given.get("kind") != "cascade":
            raise BoostedError("This is no scorer in two steps. Train it again, or restore the file.")
        return cls(Boosted.from_json(given["first"]), Boosted.from_json(given["second"]))


@dataclass(frozen=True)
class Judged:
    """What the two steps made of all pairs."""

    scorer: Cascade
    evidence: Evidence
    """All signals; NaN in those of texts where whole values settled the pair."""
    log_odds: Floats
    compared: int
    """Pairs whose texts were compared."""


def is_worth_it(pairs: Pairs, same: Floats) -> bool:
    """Whether there are pairs enough to gain by two steps, and labels (1 for one person, 0 for two) enough for both."""
    return len(pairs.left) >= WORTH_IT and min(same.sum(), len(same) - same.sum()) >= ENOUGH


def fit(
    records: Records,
    pairs: Pairs,
    rows: npt.NDArray[np.int64],
    same: Floats,
    people: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    threads: int = 1,
) -> Judged:
    """Learn both steps from labelled pairs, and score all pairs.

    `rows` are the places of labelled pairs, `same` 1 for one person or 0 for two, `people` the person of each record.
    Raises TooFewLabels where either step would have fewer than ten pairs of either kind.
    """
    labelled = Labelled(rows, same, people, stands_for(records, same))
    draw = np.random.default_rng(seed)
    told = whole_values(records, pairs)
    first = _learned(told, _drawn(labelled, draw), FIRST, seed, threads)
    log_odds = _scored(first, told)
    is_open = np.abs(log_odds) < SURE
    texts = rounded(compare(records, Pairs(pairs.left[is_open], pairs.right[is_open])))
    place = np.cumsum(is_open) - 1
    kept = is_open[labelled.rows]
    still = Labelled(place[labelled.rows[kept]], labelled.same[kept], labelled.people[kept], labelled.weights[kept])
    second = _learned(texts, _drawn(still, draw), SECOND, seed, threads)
    log_odds[is_open] = _scored(second, texts)
    return Judged(Cascade(first, second), _spread(told, texts, is_open), log_odds, int(is_open.sum()))


def whole_values(records: Records, pairs: Pairs) -> Evidence:
    """The signals that need no texts, rounded: the rarity of each field, 0 where values differ, NaN where one is missing."""
    values = np.empty((len(pairs.left), len(records.columns)), dtype=np.float32)
    for place, column in enumerate(records.columns):
        ours, theirs = column.codes[pairs.left], column.codes[pairs.right]
        rare = np.append(np.floor(rarity(column)), np.float32(np.nan))  # the last for a missing value
        values[:, place] = np.where(ours == theirs, rare[ours], np.where((ours | theirs) < 0, np.float32(np.nan), np.float32(0)))
    return Evidence(tuple(f"{column.field.name}:{RARITY}" for column in records.columns), values)


def rounded(evidence: Evidence) -> Evidence:
    """The evidence in coarse steps, downwards, so that only equal values keep the likeness of 1.

    >>> rounded(Evidence(("a:likeness", "a:rarity"), np.array([[0.99, 7.9]], dtype=np.float32))).values.tolist()
    [[0.9375, 7.0]]
    """
    steps = np.array([1.0 if name.endswith(":rarity") else STEPS for name in evidence.names], dtype=np.float32)
    coarse = np.floor(evidence.values * steps)
    coarse /= steps
    return Evidence(evidence.names, coarse)


def distinct(rows: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The place of one of each kind of row, and for each row the number of its kind, by a 64-bit hash of its bits.

    >>> places, kind = distinct(np.array([[1, 2], [3, 4], [1, 2]], dtype=np.float32))
    >>> len(places), bool(kind[0] == kind[2])
    (2, True)
    """
    bits = np.ascontiguousarray(rows).view(np.uint32)
    hashed = np.zeros(len(rows), dtype=np.uint64)
    for column in range(rows.shape[1]):
        hashed = (hashed ^ bits[:, column]) * _MIX
        hashed ^= hashed >> np.uint64(29)
    order = np.argsort(hashed)
    starts = np.r_[True, hashed[order][1:] != hashed[order][:-1]][: len(order)]
    kind = np.empty(len(order), dtype=np.int64)
    kind[order] = np.cumsum(starts) - 1
    return order[starts], kind


_MIX = np.uint64(0x9E3779B97F4A7C15)


def _of(evidence: Evidence, rows: npt.NDArray[Any]) -> Evidence:
    return Evidence(evidence.names, evidence.values[rows])


def _drawn(labelled: Labelled, draw: np.random.Generator) -> Labelled:
    """At most LABELS of the labelled pairs."""
    if len(labelled.rows) <= LABELS:
        return labelled
    kept = np.sort(draw.choice(len(labelled.rows), LABELS, replace=False))
    return Labelled(labelled.rows[kept], labelled.same[kept], labelled.people[kept], labelled.weights[kept])


def _learned(evidence: Evidence, labelled: Labelled, shape: Shape, seed: int, threads: int) -> Boosted:
    rows = _of(evidence, labelled.rows)
    return boosted.fit(
        rows,
        labelled.same,
        labelled.people,
        weights=labelled.weights,
        seeds=(seed,),
        is_monotone=False,
        threads=threads,
        shape=shape,
    )


def _scored(scorer: Boosted, evidence: Evidence) -> Floats:
    places, kind = distinct(evidence.values)
    return scorer.log_odds(_of(evidence, places))[kind]


def _spread(told: Evidence, texts: Evidence, is_open: npt.NDArray[np.bool_]) -> Evidence:
    """All signals of all pairs, from what the two steps looked at."""
    values = np.full((len(told.values), len(texts.names)), np.nan, dtype=np.float32)
    values[is_open] = texts.values
    for at, name in enumerate(told.names):
        values[:, texts.names.index(name)] = told.values[:, at]
    return Evidence(texts.names, values)
