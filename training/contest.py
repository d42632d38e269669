"""What a model must earn: a calibrator with more parameters, or learning to rank, against the plain one, on rows of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from training.learner import BINARY, NO_QUERY, PLACES, RANKER, Learner, raw
from whence import measures
from whence.calibration import Calibrator, Fields, fit
from whence.contracts.models import FeatureSchema
from whence.measures import Measure

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Names = npt.NDArray[Any]

SELF_TRUST = 100.0
"""Positives' worth of trust in the model's own level when it is calibrated by a line: a binary model says probabilities
already, and some hundred positives of a few people would move them more by chance than for good."""
CONTEST_FROM = 300
"""People with a positive from which calibrators are compared; below, Platt's two numbers are all that they can carry …"""
STEPS_FROM = 1000
"""… and from which those with many parameters take part."""
FOLDS = 3
MOST_ROWS = 60_000
"""A contest of calibrators looks at whole people up to so many rows."""
LEAST_QUERIES = 300
"""Queries that have a positive and a negative, in the part that is learned from, for a contest of objectives …"""
LEAST_JUDGES = 100
"""… and in the part that judges."""
SEED = 11


@dataclass(frozen=True)
class Contest:
    """Who won, why in words, and the differences that decided."""

    winner: str
    words: str
    numbers: Mapping[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranked:
    """A ranker that has been judged beside the plain model."""

    contest: Contest
    rounds: int
    scores: Floats
    """Raw scores of the rows that were learned from, each by a booster that met nobody of its query or person."""

    @property
    def has_won(self) -> bool:
        """Whether ranking has earned its place."""
        return self.contest.winner == RANKER


def calibrators(scores: Floats, labels: Floats, persons: Names, fields: Fields) -> Contest:
    """The kind of calibrator for these held-out rows: the simplest, unless a later one loses less for sure.

    Each is fitted to two thirds of the people and judged on the rest, three times; the losses are paired by person.
    """
    people = len(set(persons[labels > 0]))
    if people < CONTEST_FROM:
        return Contest("platt", f"platt: {people} people with a positive are too few to compare calibrators")
    kinds = ["platt", "beta"] + (["isotonic", "venn_abers"] if people >= STEPS_FROM else [])
    kinds += ["monotone_gbdt"] if people >= STEPS_FROM and fields.columns else []
    rows = _some_people(persons)
    scores, labels, persons, fields = scores[rows], labels[rows], persons[rows], fields.take(rows)
    losses = {kind: measures.log_losses(labels, held_out(kind, scores, labels, persons, fields)) for kind in kinds}
    winner, numbers, words = kinds[0], {}, []
    for kind in kinds[1:]:
        saved = measures.paired_difference(losses[winner], losses[kind], persons)
        numbers[f"calibrator_contest_{kind}_saved"] = saved
        is_better = saved.low > 0
        words.append(f"{kind} {'saves' if is_better else 'does not for sure save'} log-loss over {winner} ({saved})")
        winner = kind if is_better else winner
    return Contest(winner, f"{winner}: " + "; ".join(words), numbers)


def calibrated(kind: str, scores: Floats, labels: Floats, persons: Names, fields: Fields | None) -> Calibrator:
    """A calibrator of held-out labels; a line also learns from what the model itself says, which counts SELF_TRUST positives.

    A person's labels are no independent news: together the labels count as many positives as there are people with one.
    """
    if kind not in ("platt", "beta"):
        return fit(kind, scores, labels, fields=fields)
    said = expit(scores)
    news = np.full(len(scores), len(set(persons[labels > 0])) / labels.sum())
    trust = np.full(len(scores), SELF_TRUST / said.sum())
    return fit(kind, np.append(scores, scores), np.append(labels, said), np.append(news, trust))


def held_out(kind: str, scores: Floats, labels: Floats, persons: Names, fields: Fields) -> Floats:
    """Each row's probability by a calibrator of this kind that met nothing of its person."""

    def one(learned: Bools, judged: Bools) -> Floats:
        taught = np.flatnonzero(learned)
        made = calibrated(kind, scores[taught], labels[taught], persons[taught], fields.take(taught))
        return made.apply(scores[judged], fields.matrix[judged])

    return crossed(persons, one)


def objectives(
    learner: Learner, learns: Bools, judges: Bools, truth: Floats, persons: Names, plain: Floats, columns: tuple[str, ...]
) -> Ranked | None:
    """Learning to rank against the plain model, on the judging rows; None where too few rows compete.

    The ranker's calibrator is fitted to scores by boosters that met nothing of the row's query: to the rows that are learned
    from, and to two thirds of the judging people, judged on the rest. `plain` are the plain model's held-out probabilities
    of the judging rows. The ranker wins when it is better for sure in log-loss or NDCG, and no worse in the other.
    """
    has_query = learner.queries != NO_QUERY
    learns, judges = learns & has_query, judges & has_query
    if (
        _telling(learner.queries, learner.label, learns) < LEAST_QUERIES
        or _telling(learner.queries, truth, judges) < LEAST_JUDGES
    ):
        return None
    ranker = learner.ranker
    booster, rounds = ranker.stopped(learns, judges, truth)
    scores = ranker.crossed(learns, rounds, learner.queries, FOLDS, SEED)
    scores[judges] = raw(booster, learner.matrix[judges])
    said = _ranked_out(scores, np.where(judges, truth, learner.label), learns, judges, persons, fields_of(learner, columns))
    y, who, query = truth[judges], persons[judges], learner.queries[judges]
    saved = measures.paired_difference(measures.log_losses(y, plain), measures.log_losses(y, said), who)
    gained = measures.ndcg_difference(PLACES, y, said, plain, query, who)
    has_won = (saved.low > 0 and gained.value >= 0) or (gained.low > 0 and saved.value >= 0)
    words = f"log-loss saved {saved}, NDCG at {PLACES} gained {gained}, on {int(judges.sum())} rows of others"
    numbers = {"objective_contest_log_loss_saved": saved, "objective_contest_ndcg_gained": gained}
    verdict = "lambdarank has earned its place" if has_won else "binary stays: lambdarank is not better for sure"
    return Ranked(Contest(RANKER if has_won else BINARY, f"{verdict}; {words}", numbers), rounds, scores)


def ranked_calibrator(
    learner: Learner, scores: Floats, labels: Floats, learns: Bools, held: Bools, columns: tuple[str, ...]
) -> Calibrator:
    """The calibrator of a ranker from held-out scores: of what was learned from, by cross-fitting, and of held-out rows."""
    rows = (learns | held) & ~np.isnan(scores)
    return fit("monotone_gbdt", scores[rows], labels[rows], fields=fields_of(learner, columns).take(np.flatnonzero(rows)))


def fields_of(learner: Learner, columns: tuple[str, ...]) -> Fields:
    """The matrix as fields, of which a calibrator may look at `columns`; its rows are kept together by query."""
    alone = np.arange(len(learner.queries)) + learner.queries.max(initial=0) + 1
    groups = np.where(learner.queries == NO_QUERY, alone, learner.queries)
    return Fields(learner.matrix, learner.schema, columns, groups)


def columns_for(schema: FeatureSchema, matrix: Floats, queries: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """What a calibrator may look at: the categories, and the numbers that all rows of a query have in common."""
    competing = queries != NO_QUERY
    if not competing.any():
        return tuple(schema.categories)
    order = np.argsort(queries[competing], kind="stable")
    query, rows = queries[competing][order], matrix[competing][order]
    is_same_query = query[1:] == query[:-1]
    differs = (rows[1:] != rows[:-1]) & ~(np.isnan(rows[1:]) & np.isnan(rows[:-1]))
    is_common = ~(differs & is_same_query[:, None]).any(axis=0)
    return (*(name for place, name in enumerate(schema.numbers) if is_common[place]), *schema.categories)


def _ranked_out(scores: Floats, labels: Floats, learns: Bools, judges: Bools, persons: Names, fields: Fields) -> Floats:
    """The judging rows' probabilities, each by a calibrator that met nothing of its person."""
    taught, asked = np.flatnonzero(learns & ~np.isnan(scores)), np.flatnonzero(judges)

    def one(learned: Bools, judged: Bools) -> Floats:
        rows = np.append(taught, asked[learned])
        made = fit("monotone_gbdt", scores[rows], labels[rows], fields=fields.take(rows))
        return made.apply(scores[asked[judged]], fields.matrix[asked[judged]])

    return crossed(persons[asked], one)


def crossed(persons: Names, one: Callable[[Bools, Bools], Floats]) -> Floats:
    """Each row's value by `one`, which is given the rows to learn from and those to judge; nobody is among both."""
    codes = np.unique(persons.astype(str), return_inverse=True)[1]
    fold = np.random.default_rng(SEED).permutation(int(codes.max()) + 1)[codes] % FOLDS
    said = np.empty(len(persons))
    for each in range(FOLDS):
        said[fold == each] = one(fold != each, fold == each)
    return said


def _some_people(persons: Names) -> npt.NDArray[np.intp]:
    """The rows of as many whole people, drawn by lot, as have at most MOST_ROWS."""
    codes = np.unique(persons.astype(str), return_inverse=True)[1]
    place = np.random.default_rng(SEED).permutation(int(codes.max()) + 1)
    rows = np.cumsum(np.bincount(place[codes]))
    return np.flatnonzero(rows[place[codes]] <= MOST_ROWS)


def _telling(queries: npt.NDArray[np.int64], labels: Floats, rows: Bools) -> int:
    """Queries in which an order can be right or wrong."""
    told, of = np.unique(queries[rows], return_inverse=True)
    positive = np.bincount(of, labels[rows] > 0, len(told))
    return int(((positive > 0) & (positive < np.bincount(of, minlength=len(told)))).sum())
