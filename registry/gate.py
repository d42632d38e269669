"""Decides whether a candidate may become champion: scored rows and a policy in, a verdict in words out."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whence import measures
from whence.measures import Measure

POLICY = Path(__file__).with_name("policy.toml")
PROMOTE, REFUSE, NO_DECISION = "promote", "refuse", "no_decision"
PASS, FAIL, UNSURE = "pass", "fail", "unsure"
POWER = 1.96 + 0.84
"""Standard errors that a difference must span to be seen four times in five at the 5 % level."""
Floats = npt.NDArray[np.float64]


class PolicyError(ValueError):
    """The policy file says something that cannot be."""


@dataclass(frozen=True)
class Policy:
    """What a candidate must show; see policy.toml for what each number means."""

    baseline: str
    min_auc: float
    min_rows: int
    min_positives: int
    min_negatives: int
    min_persons: int
    max_bytes: int
    baseline_gain: float
    inferior_margin: float
    inferior_saving: float
    gains: tuple[str, ...]
    fresher_days: int
    calibration_point: tuple[float, float]
    calibration_interval: tuple[float, float]
    slice_margin: float
    slice_level: float
    slice_min_rows: int
    slice_min_positives: int


@dataclass(frozen=True)
class Evaluation:
    """One bundle's probabilities on held-out rows, with what the gate needs to know of each row."""

    bundle: str
    as_of: str
    """The last day of data that it may have seen."""
    labels: Floats
    """1 where it was so, 0 where not; ripe labels only."""
    probability: Floats
    baseline: Floats
    """The baseline's probability for the same rows."""
    persons: npt.NDArray[Any]
    """Whose row it is: rows of a person stand or fall together."""
    segments: npt.NDArray[Any] | None = None
    queries: npt.NDArray[Any] | None = None
    """Rows that compete, as the candidates of one signal."""
    size_bytes: int = 0


@dataclass(frozen=True)
class Check:
    """One thing that the gate looked at."""

    name: str
    outcome: str
    """pass, fail or unsure."""
    words: str


@dataclass(frozen=True)
class Verdict:
    """The decision, and why; `epoch` is the champion's that it was compared with, 0 for none."""

    decision: str
    """promote, refuse or no_decision."""
    reasons: tuple[str, ...]
    """In words, those that decided."""
    checks: tuple[Check, ...] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    bundle: str = ""
    champion: str = ""
    epoch: int = 0

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom; NaN becomes null."""
        numbers = {name: {k: _plain(v) for k, v in measure.as_dict().items()} for name, measure in self.measures.items()}
        return {**asdict(replace(self, measures={})), "measures": numbers}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Verdict:
        """The verdict that as_dict wrote."""
        numbers = {name: _measure_from(each) for name, each in given["measures"].items()}
        checks = tuple(Check(**each) for each in given["checks"])
        return cls(**{**given, "reasons": tuple(given["reasons"]), "checks": checks, "measures": numbers})

    @property
    def digest(self) -> str:
        """SHA-256 of its content, which the journal keeps."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def load_policy(model: str, path: Path = POLICY) -> Policy:
    """The policy of a model: [all], overridden by the model's own section. Raises PolicyError naming the key."""
    given = tomllib.loads(path.read_text())
    if model not in given:
        raise PolicyError(f"{path} has no section [{model}]. Add one with its baseline and min_auc.")
    merged = {**given.get("all", {}), **given[model]}
    names = {each.name for each in fields(Policy)}
    if wrong := sorted(names ^ set(merged)):
        raise PolicyError(f"{path}: '{wrong[0]}' is {'unknown' if wrong[0] in merged else 'missing'} for {model}.")
    if unknown := sorted(set(merged["gains"]) - {"fresher", "better_calibrated"}):
        raise PolicyError(f"{path}: there is no gain '{unknown[0]}'. Known: fresher, better_calibrated.")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in merged.items()}
    return Policy(**values)


def judge(candidate: Evaluation, champion: Evaluation | None, policy: Policy) -> Verdict:
    """Promote, refuse, or say that the rows cannot decide.

    `champion` holds the champion's probabilities on the candidate's own rows. One failed check refuses; else one
    unsure check leaves it open; else it is promoted. Raises ValueError when the two are not of the same rows.
    """
    if champion is not None and not np.array_equal(candidate.labels, champion.labels):
        raise ValueError("Candidate and champion were scored on different rows. Score both on the candidate's test rows.")
    checks = list(_unfit(candidate, champion, policy))
    taken: dict[str, Measure] = {}
    if not checks:
        taken = _measure(candidate, champion)
        checks = [*_evidence(candidate, taken, policy), *_against_champion(candidate, champion, taken, policy)]
    verdict = _decide(tuple(checks))
    return replace(verdict, measures=taken, bundle=candidate.bundle, champion=champion.bundle if champion else "")


def _decide(checks: tuple[Check, ...]) -> Verdict:
    for outcome, decision in ((FAIL, REFUSE), (UNSURE, NO_DECISION)):
        if reasons := tuple(check.words for check in checks if check.outcome == outcome):
            return Verdict(decision, reasons, checks)
    return Verdict(PROMOTE, tuple(check.words for check in checks), checks)


def _unfit(candidate: Evaluation, champion: Evaluation | None, policy: Policy) -> Iterator[Check]:
    """What makes it pointless to measure anything."""
    if candidate.size_bytes > policy.max_bytes:
        yield Check("size", FAIL, f"The bundle takes {candidate.size_bytes:,} bytes, and {policy.max_bytes:,} are allowed.")
    if not np.isin(candidate.labels, (0.0, 1.0)).all():
        yield Check("labels", FAIL, "Some held-out labels are neither 0 nor 1.")
    p = candidate.probability
    if not (np.isfinite(p) & (p > 0) & (p < 1)).all():
        yield Check(
            "probabilities", FAIL, f"{int((~(np.isfinite(p) & (p > 0) & (p < 1))).sum())} probabilities lie outside 0 to 1."
        )
    elif len(p) and float(np.ptp(p)) < 1e-9:
        yield Check("constant", FAIL, f"It says {p[0]:.4f} for every row: it has learnt nothing.")
    if champion is not None and champion.bundle == candidate.bundle:
        yield Check("same", FAIL, "It is the champion already, byte for byte.")
    elif champion is not None and champion.as_of > candidate.as_of:
        yield Check(
            "older",
            FAIL,
            f"The champion has seen data up to {champion.as_of}, and so these rows; the candidate only up to {candidate.as_of}. "
            f"Train one as of {champion.as_of} or later.",
        )


def _measure(candidate: Evaluation, champion: Evaluation | None) -> dict[str, Measure]:
    y, p, who = candidate.labels, candidate.probability, candidate.persons
    loss = measures.log_losses(y, p)
    taken = {
        "log_loss": measures.mean(loss, who),
        "brier": measures.brier(y, p, who),
        "observed_over_expected": measures.observed_over_expected(y, p, who),
        "calibration_error": measures.calibration_error(y, p, who),
        "roc_auc": measures.roc_auc(y, p, who),
        "baseline_log_loss": measures.log_loss(y, candidate.baseline, who),
        "saved_over_baseline": measures.paired_difference(measures.log_losses(y, candidate.baseline), loss, who),
    }
    if candidate.queries is not None and y.any():
        taken["ndcg_at_5"] = measures.ndcg_at(5, y, p, candidate.queries, who)
    if champion is not None:
        taken["champion_log_loss"] = measures.log_loss(y, champion.probability, who)
        taken["champion_observed_over_expected"] = measures.observed_over_expected(y, champion.probability, who)
        taken["saved_over_champion"] = measures.paired_difference(measures.log_losses(y, champion.probability), loss, who)
    return taken


def _evidence(candidate: Evaluation, taken: Mapping[str, Measure], policy: Policy) -> Iterator[Check]:
    yield from _enough(candidate, policy)
    yield _order(taken["roc_auc"], policy)
    yield _beats_baseline(taken, policy)
    yield _calibrated(taken["observed_over_expected"], policy)


def _enough(candidate: Evaluation, policy: Policy) -> Iterator[Check]:
    """A check only where something is lacking."""
    rows = len(candidate.labels)
    positives = int(candidate.labels.sum())
    counts = (
        ("rows", rows, policy.min_rows),
        ("positives", positives, policy.min_positives),
        ("negatives", rows - positives, policy.min_negatives),
        ("persons", len(np.unique(candidate.persons.astype(str))), policy.min_persons),
    )
    for name, came, needed in counts:
        if came < needed:
            more = f"about {math.ceil(rows * needed / came):,} rows would have them" if came else "none came yet"
            yield Check(f"enough {name}", UNSURE, f"{came:,} {name} are held out, and {needed:,} are needed; {more}.")


def _order(auc: Measure, policy: Policy) -> Check:
    said = f"A positive scores above a negative with chance {_words(auc)}; the policy asks for {policy.min_auc:g}"
    if auc.low >= policy.min_auc:
        return Check("order", PASS, f"{said}.")
    if auc.high < policy.min_auc:
        return Check(
            "order", FAIL, f"{said}, and it stays below for sure: a model of shuffled labels or of noise looks like this."
        )
    return Check("order", UNSURE, f"{said}, and these rows do not show it for sure; {_more(auc, auc.value - policy.min_auc)}.")


def _beats_baseline(taken: Mapping[str, Measure], policy: Policy) -> Check:
    saved, loss = taken["saved_over_baseline"], taken["baseline_log_loss"].value
    worth = policy.baseline_gain * loss
    said = f"Against {policy.baseline} it saves {_words(saved)} nats a row, of {loss:.4f}; {worth:.4f} is the least that counts"
    if saved.low > 0 and saved.value >= worth:
        return Check("baseline", PASS, f"{said}: beaten for sure.")
    if saved.high < worth:
        return Check("baseline", FAIL, f"{said}, and it does not reach that: the baseline stands.")
    return Check("baseline", UNSURE, f"{said}: these rows do not decide; {_more(saved, worth)}.")


def _calibrated(ratio: Measure, policy: Policy) -> Check:
    (low, high), (widest, highest) = policy.calibration_point, policy.calibration_interval
    said = f"For each positive foretold {_words(ratio)} came; {low:g} to {high:g} is allowed"
    if low <= ratio.value <= high and widest <= ratio.low and ratio.high <= highest:
        return Check("calibration", PASS, f"{said}.")
    if ratio.low > high or ratio.high < low:
        return Check("calibration", FAIL, f"{said}: its probabilities are wrong in level.")
    room = min(abs(math.log(bound)) for bound in policy.calibration_point)
    return Check(
        "calibration", UNSURE, f"{said}, and its interval may reach from {widest:g} to {highest:g}; {_more(ratio, room)}."
    )


def _against_champion(
    candidate: Evaluation, champion: Evaluation | None, taken: Mapping[str, Measure], policy: Policy
) -> Iterator[Check]:
    if champion is None:
        yield Check("champion", PASS, "There is no champion yet.")
        yield _slices(candidate, candidate.baseline, policy.baseline, policy)
        return
    yield _beats_champion(candidate, champion, taken, policy)
    yield _slices(candidate, champion.probability, "the champion", policy)


def _beats_champion(candidate: Evaluation, champion: Evaluation, taken: Mapping[str, Measure], policy: Policy) -> Check:
    saved, loss = taken["saved_over_champion"], taken["champion_log_loss"].value
    margin = max(policy.inferior_margin * loss, policy.inferior_saving * (taken["baseline_log_loss"].value - loss))
    said = f"Against the champion {champion.bundle[:12]} it saves {_words(saved)} nats a row, of {loss:.4f}"
    if saved.low > 0:
        return Check("champion", PASS, f"{said}: better for sure.")
    if saved.high < 0:
        return Check("champion", FAIL, f"{said}: worse for sure.")
    if saved.low > -margin:
        if gained := _gains(candidate, champion, taken, policy):
            return Check("champion", PASS, f"{said}: not worse by more than {margin:.4f}, and {gained}.")
        if saved.high < margin:
            return Check("champion", FAIL, f"{said}: the same within {margin:.4f}, and neither {' nor '.join(policy.gains)}.")
    return Check("champion", UNSURE, f"{said}: these rows do not decide within {margin:.4f}; {_more(saved, margin)}.")


def _gains(candidate: Evaluation, champion: Evaluation, taken: Mapping[str, Measure], policy: Policy) -> str:
    known = candidate.as_of and champion.as_of
    days = (date.fromisoformat(candidate.as_of) - date.fromisoformat(champion.as_of)).days if known else 0
    if "fresher" in policy.gains and days >= policy.fresher_days:
        return f"fresher by {days} day{'s' if days > 1 else ''} of data"
    old, new = taken["champion_observed_over_expected"], taken["observed_over_expected"]
    was_off = old.low > 1 or old.high < 1
    if "better_calibrated" in policy.gains and was_off and new.low <= 1 <= new.high:
        return f"better calibrated: {_words(new)} came for each foretold, and {_words(old)} with the champion"
    return ""


def _slices(candidate: Evaluation, other: Floats, name: str, policy: Policy) -> Check:
    """No segment may lose for sure, counted together by Holm's rule."""
    tested = sorted(_slice_tests(candidate, other, policy))
    for place, (chance, segment, saved) in enumerate(tested):
        if chance > policy.slice_level / (len(tested) - place):
            break
        return Check(
            "segments",
            FAIL,
            f"In segment {segment} it saves {_words(saved)} nats a row against {name}: worse by more than "
            f"{policy.slice_margin:.0%} for sure, among {len(tested)} segments.",
        )
    return Check(
        "segments", PASS, f"None of {len(tested)} segments is worse than {name} by more than {policy.slice_margin:.0%} for sure."
    )


def _slice_tests(candidate: Evaluation, other: Floats, policy: Policy) -> Iterator[tuple[float, str, Measure]]:
    """(chance of such a loss if there were none beyond the margin, segment, what it saves) for each big segment."""
    if candidate.segments is None:
        return
    segments = candidate.segments.astype(str)
    for segment in np.unique(segments):
        here = segments == segment
        y = candidate.labels[here]
        if len(y) < policy.slice_min_rows or y.sum() < policy.slice_min_positives:
            continue
        theirs = measures.log_losses(y, other[here])
        saved = measures.paired_difference(theirs, measures.log_losses(y, candidate.probability[here]), candidate.persons[here])
        beyond = saved.value + policy.slice_margin * float(theirs.mean())
        error = (saved.high - saved.low) / 3.92
        chance = 0.5 * math.erfc(-beyond / (error * math.sqrt(2))) if error > 0 else float(beyond >= 0)
        yield chance, str(segment), saved


def _more(measure: Measure, effect: float) -> str:
    """How many rows would show an effect of that size."""
    if not (math.isfinite(measure.high - measure.low) and abs(effect) > 0):
        return "more rows are needed"
    error = (measure.high - measure.low) / 3.92
    return f"about {max(math.ceil(measure.n * (POWER * error / effect) ** 2), measure.n + 1):,} rows would"


def _words(measure: Measure) -> str:
    return f"{measure.value:.4f} (95 %: {measure.low:.4f} to {measure.high:.4f})"


def _measure_from(given: Mapping[str, Any]) -> Measure:
    value, low, high = (math.nan if given[part] is None else float(given[part]) for part in ("value", "low", "high"))
    return Measure(value, low, high, int(given["n"]))


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None
