"""From a table to people, in memory: retrieve, compare, score, calibrate, cluster, with a report of each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from whence.identity.records import boosted, fellegi_sunter
from whence.identity.records.compare import compare
from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import MISSING, Evidence, Fields, Floats, Pairs, Records

CHANCE_PAIRS = 200_000
"""Pairs drawn at random, to see how often strangers agree."""


@dataclass(frozen=True)
class Options:
    """What a user may want otherwise."""

    beta: float = 1.0
    """Below 1, wrong links weigh more than missed ones."""
    budget: int = 20
    """Candidates per record that retrieval aims at."""
    threads: int = 1
    seed: int = 0
    cut: float = 0.5
    """The least probability of a pair that may link two records on its own."""


@dataclass(frozen=True)
class Step:
    """What one step took and made."""

    name: str
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolved:
    """The people found, and all that led to them."""

    records: Records
    pairs: Pairs
    evidence: Evidence
    scorer: PairScorer
    log_odds: Floats
    probabilities: Floats
    people: npt.NDArray[np.int64]
    """For each record the number of its person, from 0, in the order of the records."""
    steps: tuple[Step, ...]
    basis: str
    """What the probabilities rest on, in a sentence."""


def resolve(table: pa.Table, fields: Fields | None = None, options: Options = Options()) -> Resolved:
    """The person of each row; what the columns are is guessed where `fields` does not say.

    With labels (`fields.label`) boosted trees learn from them; without, Fellegi and Sunter's model is fitted to all pairs.
    """
    from whence.identity.records import fields as columns
    from whence.identity.records import retrieve

    watch = _Watch()
    with watch("prepare") as facts:
        chosen = columns.guess(table) if fields is None else fields
        records = columns.prepare(table, chosen)
        facts |= {"records": len(records), "fields": {each.field.name: each.field.kind for each in records.columns}}
    with watch("retrieve") as facts:
        found = retrieve.retrieve(records, retrieve.suggest(records, retrieve.Budget(options.budget)))
        pairs = found.pairs
        facts |= {"pairs": len(pairs.left)}
    return _judged(records, pairs, options, watch)


def resolve_pairs(records: Records, pairs: Pairs, options: Options = Options()) -> Resolved:
    """The same from candidate pairs that were found before."""
    return _judged(records, pairs, options, _Watch())


def _judged(records: Records, pairs: Pairs, options: Options, watch: _Watch) -> Resolved:
    with watch("compare"):
        evidence = compare(records, pairs)
    with watch("score"):
        scorer, basis = _scorer(records, pairs, evidence, options)
        log_odds = scorer.log_odds(evidence)
    with watch("cluster") as facts:
        people = _clustered(records, pairs, log_odds, options)
        facts |= {"people": len(np.unique(people))}
    return Resolved(records, pairs, evidence, scorer, log_odds, expit(log_odds), people, tuple(watch.steps), basis)


def _scorer(records: Records, pairs: Pairs, evidence: Evidence, options: Options) -> tuple[PairScorer, str]:
    labelled = _labelled(records, pairs)
    if labelled is not None:
        rows, same, people = labelled
        try:
            learned = boosted.fit(
                Evidence(evidence.names, evidence.values[rows]), same, people, seeds=(options.seed,), threads=options.threads
            )
        except boosted.TooFewLabels:
            pass
        else:
            return learned, f"{len(same)} labelled pairs; calibrated on people that were not learned from."
    scorer = fellegi_sunter.fit(evidence, compare(records, chance_pairs(records, options.seed)))
    return scorer, "No labels: a model of agreement fitted to all pairs, whose probabilities nothing has confirmed."


def _labelled(records: Records, pairs: Pairs) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]] | None:
    """The candidate pairs whose records both have a label, whether it is the same, and both people."""
    if records.labels is None:
        return None
    ours, theirs = records.labels[pairs.left], records.labels[pairs.right]
    rows = np.flatnonzero((ours != MISSING) & (theirs != MISSING))
    people = np.column_stack([ours[rows], theirs[rows]]).astype(np.int64)
    return rows, (ours[rows] == theirs[rows]).astype(np.float64), people


def chance_pairs(records: Records, seed: int = 0, count: int = CHANCE_PAIRS) -> Pairs:
    """Pairs of different records drawn at random; of different sources where a source holds no person twice."""
    n = len(records)
    if n < 2:
        return Pairs(np.empty(0, np.int32), np.empty(0, np.int32))
    drawn = np.random.default_rng(seed).integers(0, n, (2, count)).astype(np.int32)
    left, right = drawn.min(axis=0), drawn.max(axis=0)
    kept = left < right
    if records.unique_sources and records.source is not None:
        kept &= records.source[left] != records.source[right]
    return Pairs(left[kept], right[kept])


def _clustered(records: Records, pairs: Pairs, log_odds: Floats, options: Options) -> npt.NDArray[np.int64]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    linked = expit(log_odds) >= options.cut
    n = len(records)
    graph = coo_matrix((np.ones(int(linked.sum())), (pairs.left[linked], pairs.right[linked])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


class _Watch:
    """Notes what each step took."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[dict[str, Any]]:
        started, facts = time.process_time(), dict[str, Any]()
        yield facts
        self.steps.append(Step(name, time.process_time() - started, facts))
