"""What makes it pointless to measure a candidate, and what it may cost to serve."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from registry.gate.evidence import Evaluation, Evidence
from registry.gate.verdict import FAIL, PASS, UNSURE, Check
from registry.policy import Policy
from whence import measures

SLACK_DAYS = 5.1e-5
"""A bundle says to four decimals after how many days its labels are ripe; this is half of the last one, some four seconds."""
HONEST = 0.05
"""A baseline that loses this share more than one constant would is no opponent."""


def unfit(candidate: Evaluation, champion: Evaluation | None, policy: Policy) -> Iterator[Check]:
    """Answers that are none, or that are the champion's own."""
    if not np.isin(candidate.labels, (0.0, 1.0)).all():
        yield Check("labels", FAIL, "Some held-out labels are neither 0 nor 1.")
    if candidate.unscored:
        words = f"{candidate.unscored:,} of {len(candidate.labels):,} rows score as no number, which calibration would hide."
        yield Check("scores", FAIL, f"{words} A leaf of the model is broken. Retrain it.")
    p = candidate.probability
    if wrong := int((~(np.isfinite(p) & (p > 0) & (p < 1))).sum()):
        yield Check("probabilities", FAIL, f"{wrong} probabilities lie outside 0 to 1.")
    elif len(p):
        yield from _varied(p, policy)
    if champion is not None and champion.bundle == candidate.bundle:
        yield Check("same", FAIL, "It is the champion already, byte for byte.")
    elif champion is not None and champion.as_of > candidate.as_of:
        yield Check(
            "older",
            FAIL,
            f"The champion has seen data up to {champion.as_of}, and so these rows; the candidate only up to {candidate.as_of}. "
            f"Train one as of {champion.as_of} or later.",
        )


def costs(candidate: Evaluation, policy: Policy) -> Iterator[Check]:
    """What it takes to hold and to ask it."""
    said = f"The bundle takes {candidate.size_bytes:,} bytes, and {policy.max_bytes:,} are allowed."
    yield Check("size", FAIL if candidate.size_bytes > policy.max_bytes else PASS, said)
    said = f"A row takes {candidate.cpu_us:.2f} µs of CPU to score, and {policy.max_cpu_us:g} are allowed."
    yield Check("latency", FAIL if candidate.cpu_us > policy.max_cpu_us else PASS, said)


def ripeness(candidate: Evaluation, champion: Evaluation | None) -> Check:
    """Whether every label had its time, and the same time on both sides."""
    ages = candidate.label_age_days
    if ages is None:
        return Check("maturity", UNSURE, "The report does not say how old each label is. Train the candidate again.")
    if champion is not None and not _same(ages, champion.label_age_days):
        return Check(
            "maturity", FAIL, "Candidate and champion were judged by labels of different age. Score both on the same rows."
        )
    unripe = ages < candidate.ripens_after_days - SLACK_DAYS
    if unripe.any():
        positive = candidate.labels > 0
        return Check(
            "maturity",
            FAIL,
            f"{int(unripe.sum()):,} of {len(ages):,} labels are younger than the {candidate.ripens_after_days:.2f} days after "
            f"which they hardly change ({int((unripe & positive).sum()):,} of them positive, "
            f"{int((unripe & ~positive).sum()):,} negative): they would be counted as they are not. Hold out ripe rows alone.",
        )
    ripe = len(ages) - int(unripe.sum())
    return Check(
        "maturity",
        PASS,
        f"{ripe:,} of {len(ages):,} labels are older than the {candidate.ripens_after_days:.2f} days after which they hardly "
        "change; both sides are judged by the same labels.",
    )


def honest_baseline(candidate: Evaluation, policy: Policy) -> Check:
    """A baseline that was made to lose proves nothing: one constant must not beat it."""
    y = candidate.labels
    if not len(y) or not 0 < y.mean() < 1:
        return Check("baseline is honest", UNSURE, "Without labels of both kinds nobody can tell what the baseline is worth.")
    constant = measures.log_losses(y, np.full(len(y), y.mean()))
    lost = measures.paired_difference(measures.log_losses(y, candidate.baseline), constant, candidate.persons)
    if lost.low > HONEST * constant.mean():
        return Check(
            "baseline is honest",
            FAIL,
            f"{policy.baseline.capitalize()} loses {lost.value:.4f} nats a row more than one constant would, for sure: "
            "beating it shows nothing. Look at how the baseline's column was made.",
        )
    return Check("baseline is honest", PASS, f"{policy.baseline.capitalize()} is a fair opponent: no constant beats it for sure.")


def inputs(evidence: Evidence, policy: Policy) -> Iterator[Check]:
    """What the model is fed on held-out rows, by column: infinite, all missing, or mostly unseen."""
    told = []
    for name, column in zip(evidence.names, evidence.features.T, strict=True):
        if name in evidence.categories:
            held = column[np.isfinite(column)]
            unseen = float((held < 0).mean()) if len(held) else 0.0
            if unseen > policy.most_unseen:
                told.append(f"{unseen:.0%} of the values of {name} were never seen in training")
        elif np.isinf(column).any():
            told.append(f"{int(np.isinf(column).sum()):,} values of {name} are infinite")
    if told:
        words = f"{'; '.join(told)}. At most {policy.most_unseen:.0%} may be unseen. Find the mapping or transform that changed."
        yield Check("inputs", FAIL, words)
    else:
        yield Check("inputs", PASS, f"All {len(evidence.names)} inputs look as they did in training.")


def data(candidate: Evaluation, evidence: Evidence, policy: Policy) -> Check:
    """What monitoring found in the data that it learned from."""
    if evidence.findings is None:
        words = f"Nobody has checked the data of {candidate.as_of}. Run `whence watch {candidate.as_of}`, and judge again."
        return Check("data", UNSURE, words)
    blocking = [each for each in evidence.findings if each.metric in policy.blockers and each.level != "calm"]
    if blocking:
        told = "; ".join(f"{each.model}: {each.reason}" for each in blocking[:3])
        more = f"; and {len(blocking) - 3} more" if len(blocking) > 3 else ""
        return Check("data", FAIL, f"The data of {candidate.as_of} is not sound: {told}{more}")
    loud = [each for each in evidence.findings if each.level != "calm"]
    seen = f"{len(loud)} findings, none of a kind that spoils a training" if loud else "nothing was found"
    return Check("data", PASS, f"The data of {candidate.as_of} was checked: {seen}.")


def duplicates(candidate: Evaluation, evidence: Evidence) -> Check:
    """Rows that are there twice make an interval look narrower than it is."""
    twice = len(evidence.rows) - len(np.unique(evidence.rows))
    if twice:
        words = f"{twice:,} of {len(evidence.rows):,} held-out rows are there more than once: they fake rows that nobody has."
        return Check("duplicates", FAIL, f"{words} Make the held-out rows again.")
    return Check("duplicates", PASS, f"All {len(candidate.labels):,} held-out rows are different ones.")


def fresh_data(candidate: Evaluation, evidence: Evidence, policy: Policy) -> Check:
    """Whether what it learned from reaches up to its day."""
    if evidence.learned is None or not len(evidence.learned.rows) or candidate.last_day is None:
        return Check("freshness", UNSURE, "The report does not say what the candidate learned from. Train it again.")
    newest = (
        max(evidence.learned.seen_at.max(), evidence.seen_at.max()) if len(evidence.seen_at) else evidence.learned.seen_at.max()
    )
    end = np.datetime64(candidate.last_day, "us") + np.timedelta64(1, "D")
    behind = float((end - newest) / np.timedelta64(1, "D"))
    allowed = policy.most_stale_days + candidate.ripens_after_days
    said = f"Its newest row was seen {behind:.1f} days before the end of {candidate.as_of}, and {allowed:.1f} are allowed"
    return Check(
        "freshness", FAIL if behind > allowed else PASS, f"{said}: {'it is stale' if behind > allowed else 'it is fresh'}."
    )


def _varied(p: np.ndarray, policy: Policy) -> Iterator[Check]:
    values = len(np.unique(p))
    if float(np.ptp(p)) < 1e-9:
        yield Check("constant", FAIL, f"It says {p[0]:.4f} for every row: it has learnt nothing.")
    elif values < min(policy.least_values, len(p)):
        yield Check(
            "coarse",
            FAIL,
            f"It says only {values} different probabilities for {len(p):,} rows, and {policy.least_values} are asked for: "
            "the model was cut short, or its scores were rounded.",
        )


def _same(mine: np.ndarray, theirs: np.ndarray | None) -> bool:
    return theirs is not None and len(mine) == len(theirs) and bool(np.allclose(mine, theirs, atol=SLACK_DAYS))
