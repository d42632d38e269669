"""Decides whether a candidate may become champion: scored rows, evidence and a policy in, a verdict in words out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from registry.gate import leaks, quality, slices, soundness
from registry.gate.evidence import Evaluation, Evidence, Finding, Learned, Retrieved
from registry.gate.verdict import FAIL, NO_DECISION, PASS, PROMOTE, REFUSE, SMALL, UNSURE, Check, Tested, Verdict, decide
from registry.policy import Policy
from whence.measures import Measure

__all__ = [
    "FAIL",
    "NO_DECISION",
    "PASS",
    "PROMOTE",
    "REFUSE",
    "SMALL",
    "UNSURE",
    "Check",
    "Evaluation",
    "Evidence",
    "Finding",
    "Learned",
    "Retrieved",
    "Tested",
    "Verdict",
    "decide",
    "judge",
]


def judge(candidate: Evaluation, champion: Evaluation | None, policy: Policy, evidence: Evidence) -> Verdict:
    """Promote, refuse, or say that the rows cannot decide.

    `champion` holds the champion's probabilities on the candidate's own rows. One failed check refuses; else one unsure
    check leaves it open; else it is promoted. Raises ValueError when the two are not of the same rows.
    """
    if champion is not None and not np.array_equal(candidate.labels, champion.labels):
        raise ValueError("Candidate and champion were scored on different rows. Score both on the candidate's test rows.")
    if len(candidate.labels):
        verdict = decide(tuple(soundness.unfit(candidate, champion, policy)))
        if verdict.decision == PROMOTE:
            verdict = _measured(candidate, champion, policy, evidence)
    else:
        verdict = decide(tuple(quality.enough(candidate, policy)))
    return replace(verdict, bundle=candidate.bundle, champion=champion.bundle if champion else "")


def _measured(candidate: Evaluation, champion: Evaluation | None, policy: Policy, evidence: Evidence) -> Verdict:
    taken = quality.measure(candidate, champion)
    other, named = (champion.probability, "the champion") if champion else (candidate.baseline, policy.baseline)
    cut = slices.tested(candidate, other, policy)
    checks = [
        *soundness.costs(candidate, policy),
        *_data(candidate, champion, policy, evidence),
        *leaks.canaries(candidate, evidence, taken["roc_auc"], policy),
        *quality.enough(candidate, policy),
        soundness.honest_baseline(candidate, policy),
        quality.beats_baseline(taken, candidate, policy),
        *quality.calibrated(taken, candidate, policy),
        *_order(candidate, champion, policy, evidence, taken),
        *slices.checks(cut, named, policy),
    ]
    margin = quality.margin_of(taken, policy) if champion else 0.0
    return replace(decide(tuple(checks)), measures=taken, slices=cut, curve=quality.curve(candidate), margin=margin)


def _data(candidate: Evaluation, champion: Evaluation | None, policy: Policy, evidence: Evidence) -> Iterator[Check]:
    yield soundness.data(candidate, evidence, policy)
    yield from soundness.inputs(evidence, policy)
    yield soundness.duplicates(candidate, evidence)
    yield soundness.ripeness(candidate, champion)
    yield soundness.fresh_data(candidate, evidence, policy)


def _order(
    candidate: Evaluation, champion: Evaluation | None, policy: Policy, evidence: Evidence, taken: Mapping[str, Measure]
) -> Iterator[Check]:
    if champion is None:
        yield Check("champion", PASS, "There is no champion yet.")
    else:
        yield quality.beats_champion(candidate, champion, taken, policy)
    yield from quality.keeps_order(taken, policy)
    yield from quality.recalls(candidate, champion, evidence, policy)
