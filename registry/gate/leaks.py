"""Canaries for leaks: what looks too good to have been known, and rows that judge although they taught.

A leak is a feature that knows the label, or knows it a little too early; or a row, a person or a day on both sides of the
split. Each canary says what it saw, so that a person can find where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from registry.gate.evidence import Evaluation, Evidence, Floats
from registry.gate.verdict import FAIL, PASS, UNSURE, Check, words_of
from registry.policy import Policy
from whence.measures import Measure

HOURS_EARLY = (1.0, 6.0, 24.0)
"""A feature that looks so far ahead knows the conversions that come within that time, and no others."""
LEAST = 20
"""Positives that are needed on each side to say that a feature knows the early ones alone."""
GAP = 0.15
"""By how much the early ones must stand out."""


def canaries(candidate: Evaluation, evidence: Evidence, order: Measure, policy: Policy) -> Iterator[Check]:
    """All of them; one that fires refuses."""
    yield _too_good(order, policy)
    yield from _features(candidate, evidence, policy)
    yield _future(candidate, evidence)
    yield from _met_before(evidence, policy)


def _too_good(order: Measure, policy: Policy) -> Check:
    said = f"A positive scores above a negative with chance {words_of(order)}"
    if order.low > policy.leak_order:
        return Check(
            "leak: too good", FAIL, f"{said}: nothing that was known then is so sure. Look for the label among the inputs."
        )
    return Check("leak: too good", PASS, f"{said}, which may be.")


def _features(candidate: Evaluation, evidence: Evidence, policy: Policy) -> Iterator[Check]:
    y = candidate.labels
    if not 0 < y.sum() < len(y):
        yield Check("leak: a feature", UNSURE, "Without labels of both kinds nobody can tell what a feature knows.")
        return
    alone, early = [], []
    half = _halves(evidence.persons)
    for name, column in zip(evidence.names, evidence.features.T, strict=True):
        numbers = _rates(column, y, half) if name in evidence.categories else column
        told = separates(numbers, y)
        if told >= policy.leak_alone:
            alone.append(f"{name} alone tells positives from negatives with chance {told:.4f}")
        elif found := _early(numbers, y, evidence.delay_days, policy):
            early.append(f"{name} tells {found}")
    yield _feature_check("leak: a feature", alone, "is the label, or was made from it", evidence)
    yield _feature_check("leak: ahead of time", early, "was made from what came after the row", evidence)


def _feature_check(name: str, told: list[str], guilt: str, evidence: Evidence) -> Check:
    if told:
        return Check(name, FAIL, f"{'; '.join(told)}: such a feature {guilt}. Look at when its values were known.")
    return Check(name, PASS, f"None of {len(evidence.names)} inputs looks as if it {guilt}.")


def separates(column: Floats, labels: Floats) -> float:
    """The chance that a column, in its better direction, puts a positive before a negative; missing counts as either end.

    >>> separates(np.array([0.0, np.nan, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    1.0
    """
    kept = np.nan_to_num(column, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    ends = (kept, np.where(np.isnan(column), np.inf, kept)) if np.isnan(column).any() else (kept,)
    return max(max(auc, 1 - auc) for auc in (_auc(each, labels) for each in ends))


def _auc(values: Floats, labels: Floats) -> float:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    positives = labels.sum()
    negatives = len(labels) - positives
    return float((middle[place][labels > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _early(column: Floats, y: Floats, delay_days: Floats, policy: Policy) -> str:
    """Whether the positives that came within some hours stand out as no later ones do, in words."""
    is_negative = y == 0
    for hours in HOURS_EARLY:
        soon = (y > 0) & (delay_days <= hours / 24)
        late = (y > 0) & ~soon
        if min(soon.sum(), late.sum(), is_negative.sum()) < LEAST:
            continue
        of_soon, of_late = (separates(column[part | is_negative], y[part | is_negative]) for part in (soon, late))
        if of_soon >= policy.leak_early and of_soon - of_late >= GAP:
            return f"positives of the first {hours:g} hours from negatives with chance {of_soon:.4f}, and later ones with {of_late:.4f}"
    return ""


def _halves(persons: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return (persons % np.uint64(2)).astype(np.int64)


def _rates(codes: Floats, y: Floats, half: npt.NDArray[np.int64]) -> Floats:
    """Each row's share of positives among the rows of its category that are other people's."""
    _, place = np.unique(np.nan_to_num(codes, nan=-2.0), return_inverse=True)
    cell = 2 * place + half
    hits, rows = (np.bincount(cell, weight, 2 * (place.max() + 1)) for weight in (y, np.ones(len(y))))
    other = 2 * place + (1 - half)
    return np.asarray((hits[other] + y.mean()) / (rows[other] + 1))


def _future(candidate: Evaluation, evidence: Evidence) -> Check:
    if candidate.last_day is None:
        return Check("leak: future", UNSURE, "The candidate does not say up to which day it may know. Train it again.")
    end = np.datetime64(candidate.last_day, "us") + np.timedelta64(1, "D")
    seen = evidence.seen_at if evidence.learned is None else np.concatenate([evidence.seen_at, evidence.learned.seen_at])
    beyond = int((seen >= end).sum())
    if beyond:
        words = f"{beyond:,} rows were seen after the end of {candidate.as_of}, the last day that it may know."
        return Check("leak: future", FAIL, f"{words} Look at the clock of the source, and at the window of the training.")
    return Check("leak: future", PASS, f"No row was seen after the end of {candidate.as_of}.")


def _met_before(evidence: Evidence, policy: Policy) -> Iterator[Check]:
    learned = evidence.learned
    if learned is None:
        yield Check("leak: met before", UNSURE, "The report does not say what the candidate learned from. Train it again.")
        return
    told = []
    if rows := int(np.isin(evidence.rows, learned.rows).sum()):
        told.append(f"{rows:,} of {len(evidence.rows):,} held-out rows are rows that it learned from")
    alike = float(np.isin(evidence.content, learned.content).mean()) if len(evidence.content) else 0.0
    if alike > policy.most_met_before:
        told.append(f"{alike:.0%} of the held-out rows have the inputs and label of a row that it learned from")
    if evidence.is_by_person and (people := int(np.isin(np.unique(evidence.persons), learned.persons).sum())):
        told.append(f"{people:,} held-out people are people that it learned from, though they were to be kept apart")
    if told:
        yield Check("leak: met before", FAIL, f"{'; '.join(told)}. Train it again with the parts kept apart.")
    else:
        yield Check(
            "leak: met before", PASS, f"It met none of the held-out rows; {alike:.1%} look like one that it learned from."
        )
    if not evidence.is_by_person and len(evidence.seen_at) and len(learned.seen_at):
        overlap = int((learned.seen_at >= evidence.seen_at.min()).sum())
        words = f"It learned from {overlap:,} rows of the days that judge, and nothing but time keeps its rows apart"
        yield Check("leak: test period", FAIL if overlap else PASS, f"{words}.")
