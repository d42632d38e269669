"""Whether a recalibration may follow the champion: the same trees and order, and a better level for sure, on later rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from registry.gate import quality, slices, soundness
from registry.gate.evidence import Evaluation, Evidence
from registry.gate.verdict import FAIL, PASS, PROMOTE, UNSURE, Check, Verdict, decide, rows_for, words_of
from registry.policy import Policy
from whence.measures import Measure

SLACK = 1e-9
"""By how much a probability may be below the one of a row that the champion puts lower: floats are not exact."""


def judge(candidate: Evaluation, champion: Evaluation, policy: Policy, evidence: Evidence, *, has_same_trees: bool) -> Verdict:
    """Promote, refuse, or say that the rows cannot decide; both sides are of the same rows, later than what was fitted to.

    `has_same_trees` says whether the candidate's trees are the champion's, byte for byte. Of the policy count what it asks of
    rows, data and slices, and `recalibration_closes`.
    """
    verdict = decide(tuple(soundness.unfit(candidate, champion, policy)) if len(candidate.labels) else ())
    if verdict.decision == PROMOTE:
        verdict = _measured(candidate, champion, policy, evidence, has_same_trees=has_same_trees)
    return replace(verdict, bundle=candidate.bundle, champion=champion.bundle)


def _measured(
    candidate: Evaluation, champion: Evaluation, policy: Policy, evidence: Evidence, *, has_same_trees: bool
) -> Verdict:
    if lacking := tuple(quality.enough(candidate, policy)):
        return decide(lacking)
    taken = quality.measure(candidate, champion)
    cut = slices.tested(candidate, champion.probability, policy)
    checks = [
        _trees(champion, has_same_trees=has_same_trees),
        _order(candidate, champion),
        _later(evidence),
        soundness.data(candidate, evidence, policy),
        soundness.duplicates(candidate, evidence),
        soundness.ripeness(candidate, champion),
        _loss(candidate, champion, taken),
        _level(taken, policy),
        *slices.checks(cut, "the champion", replace(policy, must_judge=())),
    ]
    return replace(decide(tuple(checks)), measures=taken, slices=cut, curve=quality.curve(candidate))


def _trees(champion: Evaluation, *, has_same_trees: bool) -> Check:
    if has_same_trees:
        return Check("trees", PASS, f"Its trees are those of the champion {champion.bundle[:12]}, byte for byte.")
    words = f"Its trees are not those of the champion {champion.bundle[:12]}, which is another one by now. Recalibrate that one."
    return Check("trees", FAIL, words)


def _order(candidate: Evaluation, champion: Evaluation) -> Check:
    order = np.lexsort((candidate.probability, champion.probability))
    turned = int((np.diff(candidate.probability[order]) < -SLACK).sum())
    if turned:
        words = f"{turned:,} neighbours of {len(order):,} rows change places: a recalibration moves the level and no row past another."
        return Check("order", FAIL, words)
    return Check("order", PASS, f"None of {len(order):,} rows changes its place.")


def _later(evidence: Evidence) -> Check:
    learned = evidence.learned
    if learned is None or not len(learned.seen_at):
        return Check("later rows", UNSURE, "The report does not say what it was calibrated on. Recalibrate again.")
    early = int((evidence.seen_at < learned.seen_at.max()).sum())
    if early:
        words = f"{early:,} rows that judge are older than the newest one that it was calibrated on. Recalibrate again."
        return Check("later rows", FAIL, words)
    return Check("later rows", PASS, "Every row that judges is later than those that it was calibrated on.")


def _loss(candidate: Evaluation, champion: Evaluation, taken: Mapping[str, Measure]) -> Check:
    saved = taken["saved_over_champion"]
    said = f"With its own calibrator the champion {champion.bundle[:12]} loses {words_of(saved)} nats a row more"
    if saved.low > 0:
        return Check("champion", PASS, f"{said}: the new level is better for sure.")
    if saved.value <= 0:
        return Check("champion", FAIL, f"{said}: the new level is no better on later rows. The old one stands.")
    rows = rows_for(saved, saved.value, len(candidate.labels))
    return Check("champion", UNSURE, f"{said}, which may be chance; about {rows:,} rows would decide.", rows)


def _level(taken: Mapping[str, Measure], policy: Policy) -> Check:
    old, new = taken["champion_observed_over_expected"], taken["observed_over_expected"]
    before, after = (abs(math.log(max(each.value, 1e-9))) for each in (old, new))
    closed = 1 - after / before if before else 0.0
    said = f"For each positive foretold {words_of(new)} came, and {words_of(old)} with the champion's own calibrator"
    if closed >= policy.recalibration_closes:
        return Check("calibration", PASS, f"{said}: {closed:.0%} of the gap is closed.")
    least = f"{policy.recalibration_closes:.0%} is the least"
    return Check("calibration", FAIL, f"{said}: {max(closed, 0):.0%} of the gap is closed, and {least}.")
