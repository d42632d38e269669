"""A pair beside its rivals: what the other candidates of both its records say, and a second model that learns from it.

It is transductive: a pair's probability depends on which other records are in the table, and another table gives another.

Paper: D. Wolpert, Stacked generalization, Neural Networks 5 (1992), for learning from scores of people not learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix

from whence.identity.records import boosted
from whence.identity.records.boosted import FEWEST, FOLDS, LARGE, Boosted, BoostedError, Shape, TooFewLabels, scatter
from whence.identity.records.known import Known, labelled, stands_for
from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import MISSING, Evidence, Floats, Pairs, Records

Ints = npt.NDArray[np.int64]

FIELD = "other candidates"
"""What stands before the colon in the names of these signals, so that together they are one step of an explanation."""
OWN = f"{FIELD}:own_log_odds"
SHAPE = Shape(leaves=7, rounds=80, rate=0.08, in_leaf=10)
"""Few signals, and all of one score: small trees learn what they have to say."""
ELSEWHERE = 1 << 40
"""Added to the number of a person, so that these fifths are none of those that the scorer itself is calibrated on."""
MEANS = (
    "Context was used: a pair's probability depends on the other candidates of both records, so that the same pair "
    "has another in another table (transductive)."
)


class ContextError(ValueError):
    """Too few labels to learn what rivals mean."""


class Alone(NamedTuple):
    """All pairs as a scorer that looks at each by itself has them."""

    evidence: Evidence
    scorer: PairScorer
    log_odds: Floats


Score = Callable[[Records, Known], Alone | None]
"""Learns from the labels of these records and from what was said, and scores all pairs; nothing where labels are too few."""


@dataclass(frozen=True)
class InContext:
    """A scorer of pairs alone, and a second one that looks at its answers for all candidates of both records."""

    alone: PairScorer
    beside: Boosted
    """Takes the log-odds of the pair alone, and the signals of `competing`."""

    def log_odds(self, evidence: Evidence) -> Floats:
        """Calibrated log-odds of each pair, shape (pairs,); by the pair alone where the evidence tells of no rivals."""
        return self.beside.log_odds(evidence) if OWN in evidence.names else self.alone.log_odds(evidence)

    def contributions(self, evidence: Evidence) -> Floats:
        """What each signal adds, shape (pairs, signals + 1), the base last: fields as for the pair alone, then its rivals.

        The log-odds of the pair alone are counted field by field; under their own name is what else the rivals make of them.
        """
        if OWN not in evidence.names:
            return self.alone.contributions(evidence)
        first = evidence.names.index(OWN)
        alone = self.alone.contributions(Evidence(evidence.names[:first], evidence.values[:, :first]))
        rivals = self.beside.contributions(evidence)[:, 1:-1]
        rest = self.beside.log_odds(evidence) - alone.sum(axis=1) - rivals.sum(axis=1)
        return np.column_stack([alone[:, :-1], rest, rivals, alone[:, -1]])

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which the same scorer can be made again."""
        return {"kind": "in_context", "alone": self.alone.to_json(), "beside": self.beside.to_json()}

    @classmethod
    def from_json(cls, given: dict[str, Any], alone: PairScorer) -> InContext:
        """The scorer of a dict that `to_json` made, and of the scorer of pairs alone in it; BoostedError for another one."""
        if given.get("kind") != "in_context":
            raise BoostedError("This is no scorer in context. Train it again, or restore the file.")
        return cls(alone, Boosted.from_json(given["beside"]))


def fit(
    records: Records, pairs: Pairs, known: Known, alone: Alone | None, score: Score, *, seed: int = 0, threads: int = 1
) -> tuple[Evidence, InContext]:
    """All pairs with what their rivals say, and a scorer of both.

    `alone` is what `score` makes of all labels. What rivals mean is learned from labelled pairs of people whom `score` was not shown, with their rivals scored by the
    same model; and calibrated on pairs none of whose people either step has learned from.
    Raises ContextError where labels are too few for that.
    """
    rows, same, people = _enough(records, pairs, known)
    shifted = people + ELSEWHERE
    folds = scatter(shifted, FOLDS)
    held = [] if alone is None else list(_held_out(records, pairs, known, score, rows, same, folds))
    if alone is None or not held:
        raise ContextError("What rivals mean cannot be learned: label pairs of more people, or leave --context out.")
    told = beside(pairs, len(records), alone.log_odds)
    try:
        chosen = np.concatenate([each for each, _ in held])
        second = boosted.fit(
            Evidence(told.names, np.concatenate([signals for _, signals in held])),
            same[chosen],
            shifted[chosen] if len(held) > 1 else people[chosen],
            weights=_weights(records, same, chosen),
            seeds=(seed,),
            threads=threads,
            shape=SHAPE,
        )
    except TooFewLabels as wrong:
        raise ContextError(f"What rivals mean cannot be learned: {wrong} Or leave --context out.") from None
    names = alone.evidence.names + told.names
    return Evidence(names, np.column_stack([alone.evidence.values, told.values])), InContext(alone.scorer, second)


def require(records: Records, pairs: Pairs, known: Known) -> None:
    """Raises ContextError where labels are too few for `fit`, before anything is scored."""
    _enough(records, pairs, known)


def _enough(records: Records, pairs: Pairs, known: Known) -> tuple[Ints, Floats, Ints]:
    rows, same, people = labelled(records, pairs, known)
    if not _is_enough(same):
        raise ContextError(
            f"Context is learned from labels: {int(same.sum()):,} pairs of one person and {int((1 - same).sum()):,} of two are "
            f"labelled, and it takes at least {FEWEST} of each, of several people. Give --labels, or leave --context out."
        )
    return rows, same, people


def _is_enough(same: Floats) -> bool:
    return bool(min(same.sum(), len(same) - same.sum()) >= FEWEST)


def _held_out(
    records: Records, pairs: Pairs, known: Known, score: Score, rows: Ints, same: Floats, folds: Ints
) -> Iterator[tuple[Ints, npt.NDArray[np.float32]]]:
    """For each fifth of the people (one alone where labels are many) its labelled pairs, by place, and their signals."""
    for fold in range(FOLDS if len(rows) < LARGE else 1):
        inner = np.flatnonzero((folds == fold).all(axis=1))
        if not len(inner) or not _is_enough(same[(folds != fold).all(axis=1)]):
            continue
        is_held = np.zeros(len(records), dtype=bool)
        for side, ends in enumerate(pairs):
            is_held[ends[rows[folds[:, side] == fold]]] = True
        found = score(*_without(records, known, is_held))
        if found is not None:
            near = is_held[pairs.left] | is_held[pairs.right]
            told = beside(Pairs(pairs.left[near], pairs.right[near]), len(records), found.log_odds[near])
            yield inner, told.values[(np.cumsum(near) - 1)[rows[inner]]]


def _without(records: Records, known: Known, is_held: npt.NDArray[np.bool_]) -> tuple[Records, Known]:
    """The same records, where nobody knows who these are."""
    names = {records.ids[at] for at in np.flatnonzero(is_held)}
    said = {pair: same for pair, same in known.items() if not names & set(pair)}
    if records.labels is None:
        return records, said
    return replace(records, labels=np.where(is_held, MISSING, records.labels).astype(np.int32)), said


def _weights(records: Records, same: Floats, chosen: Ints) -> Floats:
    """How many candidate pairs each chosen one stands for: two people are rarely of one fifth."""
    weights = stands_for(records, same)
    found = weights[chosen]
    for kind in (0.0, 1.0):
        found[same[chosen] == kind] *= weights[same == kind].sum() / max(found[same[chosen] == kind].sum(), 1e-9)
    return found


def beside(pairs: Pairs, n: int, log_odds: Floats) -> Evidence:
    """What a second scorer looks at: the log-odds of each pair alone, and how it stands among its rivals."""
    told = competing(pairs, log_odds, n)
    return Evidence((OWN, *told.names), np.column_stack([log_odds.astype(np.float32), told.values]))


def competing(pairs: Pairs, log_odds: Floats, n: int) -> Evidence:
    """How each pair stands among all candidates of its left and of its right record, of `n` records.

    For both sides: how many candidates lie above it, how far it is ahead of the best and of the second best other one
    (NaN where there is none), and how many others there are; then the lesser lead of both sides, and whether no other
    candidate of either record is as good. Any score will do that is higher for better pairs and never NaN.

    >>> pairs = Pairs(np.array([0, 0, 1], dtype=np.int32), np.array([2, 3, 3], dtype=np.int32))
    >>> told = competing(pairs, np.array([4.0, 1.0, 3.0]), 4)
    >>> {name.partition(":")[2]: column.tolist() for name, column in zip(told.names, told.values.T)}["margin"]
    [3.0, -3.0, 2.0]
    """
    sides = ("left", "right")
    rank, ahead, further, others = _standing(pairs, np.asarray(log_odds, dtype=np.float32), n)
    margin = np.fmin(ahead[0], ahead[1])
    told: dict[str, npt.NDArray[Any]] = {}
    for side, name in enumerate(sides):
        told |= {
            f"{name}_rank": rank[side],
            f"{name}_ahead": ahead[side],
            f"{name}_ahead_of_second": further[side],
            f"{name}_others": others[side],
        }
    told |= {"margin": margin, "is_mutual_best": ~(margin <= 0)}
    values = np.empty((len(pairs.left), len(told)), dtype=np.float32)
    for place, column in enumerate(told.values()):
        values[:, place] = column
    return Evidence(tuple(f"{FIELD}:{name}" for name in told), values)


def _standing(pairs: Pairs, score: npt.NDArray[np.float32], n: int) -> tuple[Any, Any, Any, Any]:
    """For both ends of each pair, shape (2, pairs): rank, leads over the best and second best other, number of others."""
    m = len(score)
    order = np.argsort(-score).astype(np.int32)  # equals in any order: nothing below tells them apart
    ends = np.empty(2 * m, dtype=np.int32)
    ends[0::2], ends[1::2] = pairs.left[order], pairs.right[order]
    grouped = coo_matrix((np.ones(2 * m, dtype=np.int8), (ends, np.arange(2 * m, dtype=np.int32))), shape=(n, 2 * m)).tocsr()
    starts, at = grouped.indptr, grouped.indices  # of each record its ends, the best first
    sizes = np.diff(starts)
    first = np.repeat(starts[:-1], sizes)
    here = np.arange(2 * m, dtype=np.int32) - first
    place = at >> 1
    sorted_score = score[order][place]
    is_new = np.append(True, sorted_score[1:] != sorted_score[:-1])[: 2 * m] | (here == 0)
    rank = np.maximum.accumulate(np.where(is_new, np.arange(2 * m, dtype=np.int32), 0)) - first
    best, second, third = (_nth(sorted_score, starts, place) for place in range(3))
    rival = np.where(here == 0, np.repeat(second, sizes), np.repeat(best, sizes))
    next_rival = np.where(here <= 1, np.repeat(third, sizes), np.repeat(second, sizes))
    where = (at & 1) * m + order[place]
    return tuple(
        _placed(values, where, m)
        for values in (rank, sorted_score - rival, sorted_score - next_rival, np.repeat(sizes, sizes) - 1)
    )  # type: ignore[return-value]


def _nth(score: npt.NDArray[np.float32], starts: npt.NDArray[np.int32], place: int) -> npt.NDArray[np.float32]:
    """The score at this place of each record's candidates, NaN where it has fewer."""
    at = starts[:-1] + place
    found = np.full(len(at), np.float32(np.nan))
    there = at < starts[1:]
    found[there] = score[at[there]]
    return found


def _placed(values: npt.NDArray[Any], where: npt.NDArray[np.int32], m: int) -> npt.NDArray[np.float32]:
    found = np.empty(2 * m, dtype=np.float32)
    found[where] = values
    return found.reshape(2, m)
