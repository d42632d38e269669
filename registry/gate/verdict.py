"""What the gate says: a decision, each thing it looked at in words, and the numbers that a page is drawn from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from whence.measures import Measure

PROMOTE, REFUSE, NO_DECISION = "promote", "refuse", "no_decision"
PASS, FAIL, UNSURE, SMALL = "pass", "fail", "unsure", "too small"
POWER = 1.96 + 1.28
"""Standard errors that a difference must span to be seen nine times in ten at the 5 % level."""
TELLING = ("champion", "baseline", "calibration", "slices")
"""Of all that let a candidate pass, what a person wants to hear."""
SPAN = 2 * 1.96
"""A 95 % interval is so many standard errors wide."""


@dataclass(frozen=True)
class Check:
    """One thing that the gate looked at."""

    name: str
    outcome: str
    """pass, fail, unsure, or too small: named, and no pass, but the policy does not insist on it."""
    words: str
    rows_needed: int = 0
    """When unsure: about how many held-out rows would decide; 0 when rows alone would not."""


@dataclass(frozen=True)
class Tested:
    """A slice of the rows, compared with the champion, or with the baseline where there is none."""

    name: str
    rows: int
    positives: int
    saved: Measure
    """Nats a row."""
    loss: float
    """The other's log loss here …"""
    margin: float
    """… and the share of it that may be lost."""
    chance: float
    """Of a difference so bad if the slice lost no more than the margin."""
    outcome: str


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
    slices: tuple[Tested, ...] = ()
    curve: tuple[tuple[float, Measure], ...] = ()
    """Said and seen, for groups of rows of about the same probability."""
    margin: float = 0.0
    """Nats a row that a candidate may lose to the champion, and that are worth finding."""
    basis: Mapping[str, Any] = field(default_factory=dict)
    """By which policy, whose, and from which data."""

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom; NaN becomes null."""
        plain = asdict(replace(self, measures={}, slices=(), curve=(), basis={}))
        numbers = {name: _measure_as_dict(each) for name, each in self.measures.items()}
        slices = [{**asdict(each), "saved": _measure_as_dict(each.saved), "chance": _plain(each.chance)} for each in self.slices]
        curve = [[said, _measure_as_dict(seen)] for said, seen in self.curve]
        return {**plain, "measures": numbers, "slices": slices, "curve": curve, "basis": dict(self.basis)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Verdict:
        """The verdict that as_dict wrote."""
        made = {
            "reasons": tuple(given["reasons"]),
            "checks": tuple(Check(**each) for each in given["checks"]),
            "measures": {name: _measure_from(each) for name, each in given["measures"].items()},
            "slices": tuple(_tested_from(each) for each in given.get("slices", ())),
            "curve": tuple((said, _measure_from(seen)) for said, seen in given.get("curve", ())),
        }
        return cls(**{**given, **made})

    @property
    def digest(self) -> str:
        """SHA-256 of its content, which the journal keeps."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def rows_needed(self) -> int:
        """About how many held-out rows would decide what these could not; 0 when more rows are not what is missing."""
        return max((check.rows_needed for check in self.checks if check.outcome == UNSURE), default=0)

    def named(self, outcome: str) -> tuple[str, ...]:
        """The names of the checks that came out so."""
        return tuple(check.name for check in self.checks if check.outcome == outcome)


def decide(checks: tuple[Check, ...]) -> Verdict:
    """One failed check refuses; else one unsure check leaves it open; else it is promoted, for what tells most."""
    for outcome, decision in ((FAIL, REFUSE), (UNSURE, NO_DECISION)):
        if reasons := tuple(check.words for check in checks if check.outcome == outcome):
            return Verdict(decision, reasons, checks)
    told = tuple(check.words for name in TELLING for check in checks if check.name == name)
    return Verdict(PROMOTE, told or tuple(check.words for check in checks), checks)


def words_of(measure: Measure) -> str:
    """A measure in a sentence."""
    return f"{measure.value:.4f} (95 %: {measure.low:.4f} to {measure.high:.4f})"


def error_of(measure: Measure) -> float:
    """Its standard error, from its interval."""
    return (measure.high - measure.low) / SPAN


def rows_for(measure: Measure, effect: float, rows: int) -> int:
    """How many rows would show an effect of that size, if `rows` gave this interval; 0 when nobody can say."""
    error = error_of(measure)
    if not (math.isfinite(error) and abs(effect) > 0):
        return 0
    return max(math.ceil(rows * (POWER * error / effect) ** 2), rows + 1)


def _measure_as_dict(measure: Measure) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in measure.as_dict().items()}


def _measure_from(given: Mapping[str, Any]) -> Measure:
    value, low, high = (math.nan if given[part] is None else float(given[part]) for part in ("value", "low", "high"))
    return Measure(value, low, high, int(given["n"]))


def _tested_from(given: Mapping[str, Any]) -> Tested:
    chance = math.nan if given["chance"] is None else given["chance"]
    return Tested(**{**given, "saved": _measure_from(given["saved"]), "chance": chance})


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None
