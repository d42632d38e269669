"""No slice of the rows may lose for sure, all of them counted together by Holm's rule; what is too small to say is named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from registry.gate.evidence import Evaluation, Floats
from registry.gate.verdict import FAIL, PASS, POWER, SMALL, UNSURE, Check, Tested, error_of, words_of
from registry.policy import Policy
from whence import measures


def tested(candidate: Evaluation, other: Floats, policy: Policy) -> tuple[Tested, ...]:
    """Each slice with its outcome, in the order of columns and names."""
    found = [_test(candidate, other, name, here, policy) for name, here in _parts(candidate, policy)]
    judged = sorted((each.chance, at) for at, each in enumerate(found) if each.outcome != SMALL)
    for place, (chance, at) in enumerate(judged):
        if chance > policy.slice_level / (len(judged) - place):
            break
        found[at] = replace(found[at], outcome=FAIL)
    return tuple(found)


def checks(found: Sequence[Tested], other: str, policy: Policy) -> Iterator[Check]:
    """One check for all that can be judged, one for those that are too small, and one for each that must be judged and cannot be."""
    judged = [each for each in found if each.outcome != SMALL]
    worse = [each for each in judged if each.outcome == FAIL]
    for each in worse:
        words = (
            f"In {each.name} it saves {words_of(each.saved)} nats a row against {other}: worse by more than "
            f"{policy.slice_margin:.0%} of its {each.loss:.4f} for sure, among {len(judged)} slices."
        )
        yield Check(f"slice {each.name}", FAIL, words)
    if judged and not worse:
        words = f"None of {len(judged)} slices is worse than {other} by more than {policy.slice_margin:.0%} for sure."
        yield Check("slices", PASS, words)
    small = [each for each in found if each.outcome == SMALL]
    for each in small:
        if each.name in policy.must_judge:
            needed = _needed(each, policy)
            words = (
                f"{each.name} is too small to say: {each.rows:,} rows with {each.positives:,} positives"
                f"{f'; about {needed:,} rows of it would do' if needed else ''}."
            )
            share = sum(one.rows for one in found if _column(one) == _column(each)) / max(each.rows, 1)
            yield Check(f"slice {each.name}", UNSURE, words, math.ceil(needed * share))
    if others := [each for each in small if each.name not in policy.must_judge]:
        yield Check("small slices", SMALL, _small(others, len(found)))
    for name in sorted(set(policy.must_judge) - {each.name for each in found}):
        words = f"The policy asks for a judgement on {name}, and not one held-out row is of it. Train on days that have some."
        yield Check(f"slice {name}", UNSURE, words)


def _small(small: Sequence[Tested], among: int) -> str:
    """That some slices are too small, by the largest of them; the verdict's `slices` name all."""
    largest = max(small, key=lambda each: each.rows)
    number = "1 is" if len(small) == 1 else f"{len(small)} are"
    return (
        f"Of {among} slices {number} too small to say, and no pass; the largest is {largest.name}: {largest.rows:,} rows with "
        f"{largest.positives:,} positives."
    )


def _column(each: Tested) -> str:
    return each.name.partition("=")[0]


def _parts(candidate: Evaluation, policy: Policy) -> Iterator[tuple[str, np.ndarray]]:
    for column in policy.slices:
        values = candidate.slices[column].astype(str) if column in candidate.slices else np.empty(0, dtype=str)
        for value in np.unique(values):
            yield f"{column}={value}", values == value


def _test(candidate: Evaluation, other: Floats, name: str, here: np.ndarray, policy: Policy) -> Tested:
    """The chance of such a loss if there were none beyond the margin; too small when a great harm could hide in it."""
    y = candidate.labels[here]
    theirs = measures.log_losses(y, other[here])
    saved = measures.paired_difference(theirs, measures.log_losses(y, candidate.probability[here]), candidate.persons[here])
    loss, error = float(theirs.mean()), error_of(saved)
    beyond = saved.value + policy.slice_margin * loss
    chance = 0.5 * math.erfc(-beyond / (error * math.sqrt(2))) if error > 0 else float(beyond >= 0)
    is_few = len(y) < policy.slice_min_rows or y.sum() < policy.slice_min_positives
    is_blind = not math.isfinite(error) or error * POWER > policy.slice_sees * loss
    # a harm that is seen for sure is seen, however few the rows; only its absence needs many
    is_harmed = not is_few and chance < policy.slice_level / 20
    outcome = SMALL if is_few or (is_blind and not is_harmed) else PASS
    return Tested(name, len(y), int(y.sum()), saved, loss, policy.slice_margin, chance, outcome)


def _needed(each: Tested, policy: Policy) -> int:
    """Rows of the slice that would do."""
    by_rows = policy.slice_min_rows
    by_positives = math.ceil(each.rows * policy.slice_min_positives / each.positives) if each.positives else 0
    error = error_of(each.saved)
    sees = policy.slice_sees * each.loss
    by_power = math.ceil(each.rows * (POWER * error / sees) ** 2) if math.isfinite(error) and sees > 0 else 0
    return max(by_rows, by_positives, by_power)
