"""From measures to words: is the day calm, does it want a look, or do the models want retraining? All on paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from monitoring.checks import Z95, Check
from monitoring.findings.rules import FEATURE_RULES, RULES, Rule
from monitoring.findings.told import CALM, OPEN, RETRAIN, URGENCY, WARN, Finding
from whence.contracts.tables import TABLES

DAYS = 14
"""Clean days that an expectation is taken from, the latest ones."""
FEW = 3
"""With fewer days than this the day-to-day spread is unknown, and only gross changes are told."""
LEAST = 2
"""With fewer days than this nothing is expected yet."""
SURE = 5.0
"""How many standard errors a value must be off: some two hundred series are judged every day."""
LASTING = 3
"""A lasting change: this many days in a row at `warn` make a `retrain`."""


@dataclass(frozen=True)
class Past:
    """A day before: its measures and what was found in it."""

    day: str
    checks: Sequence[Check]
    findings: Sequence[Finding]
    bundles: Mapping[str, str]
    """For each model the bundle that decided most on the day."""


def judge(today: Sequence[Check], past: Sequence[Past], bundles: Mapping[str, str]) -> list[Finding]:
    """Findings of a day, the worst first, with one calm row for each subject that has nothing worse.

    `past` are days before, oldest first; which of them count as clean is `clean_days`' answer.
    """
    clean = clean_days(past, bundles)[-DAYS:]
    series: dict[tuple[str, str, str], list[Check]] = {}
    for day in clean:
        for check in day.checks:
            series.setdefault(check.key, []).append(check)
    found = [finding for check in today if (finding := _judge(check, series.get(check.key, []), past))]
    troubled = {finding.model for finding in found}
    for model in sorted({check.model for check in today} - troubled):
        measures = sum(check.model == model for check in today)
        told = f"{measures} measures agree" if measures > 1 else "1 measure agrees"
        found.append(Finding(model, CALM, "all", "all", f"{told} with {_days(len(clean))} before."))
    return sorted(found, key=lambda f: (-URGENCY[f.level], f.model, f.metric, f.segment))


def clean_days(past: Sequence[Past], bundles: Mapping[str, str]) -> list[Past]:
    """The days that tell what is normal.

    A day that asked for retraining is no norm, until a new champion has learned from it: then the
    norm starts with the first such day, for that is the world the champion knows.
    """
    alarms = [day for day in past if any(finding.level == RETRAIN for finding in day.findings)]
    answered = [day for day in alarms if any(day.bundles.get(model, now) != now for model, now in bundles.items())]
    if answered:
        first = min(day.day for day in _run(past, answered[-1].day))
        return [day for day in past if day.day >= first and (day not in alarms or day in answered)]
    return [day for day in past if day not in alarms]


def _run(past: Sequence[Past], last: str) -> list[Past]:
    """The unbroken run of alarmed days that ends with `last`."""
    run: list[Past] = []
    for day in reversed([day for day in past if day.day <= last]):
        if not any(finding.level == RETRAIN for finding in day.findings):
            break
        run.append(day)
    return run


def _judge(check: Check, before: Sequence[Check], past: Sequence[Past]) -> Finding | None:
    rule = RULES.get(check.metric)
    if rule is None or check.value is None or not math.isfinite(check.value) or (rule.only and check.segment not in rule.only):
        return None
    gap = _gap(rule, check, before)
    if gap is None:
        return None
    distance, error, expected, days = gap
    harm = {"up": distance, "down": -distance, "both": abs(distance)}[rule.harm]
    if harm < max(rule.warn, SURE * error):
        return None
    is_gross = rule.gross is not None and harm >= rule.gross
    if not is_gross and 0 < days < FEW:
        return None
    is_lasting = rule.lasts and _warned_days(check, past) >= LASTING - 1
    level = rule.acts if is_gross or is_lasting else WARN
    words = _reason(rule, check, expected, days, is_lasting and not is_gross)
    return Finding(check.model, level, check.metric, check.segment, words, status=OPEN)


def _gap(rule: Rule, check: Check, before: Sequence[Check]) -> tuple[float, float, float, int] | None:
    """How far off the value is, with its standard error, the expected value, and the days behind that; None if unknown."""
    assert check.value is not None
    if rule.scale == "level":
        idle = 24 / max(check.n, 1) if check.metric == "hours_since_last" else 0.0  # few rows leave long gaps by themselves
        return check.value - rule.target, idle, rule.target, 0
    if rule.scale == "factor":
        return _factor(rule, check)
    values = [earlier.value for earlier in before if earlier.value is not None]
    if len(values) < LEAST:
        return None
    expected = median(values)
    if rule.scale == "ratio" and expected <= 0:
        return None
    if rule.scale == "ratio":
        distance = math.log(max(check.value, 0.5 / max(check.n, 1)) / max(expected, 1e-9))
        spreads = [math.log(max(value, 1e-9) / max(expected, 1e-9)) for value in values]
    else:
        distance, spreads = check.value - expected, [value - expected for value in values]
    spread = max(1.4826 * median(abs(each) for each in spreads), rule.floor)
    return distance, math.hypot(spread, _noise(rule, check, expected, before)), expected, len(values)


def _factor(rule: Rule, check: Check) -> tuple[float, float, float, int] | None:
    """The distance of the interval's nearer end from the target: what is off for sure, however few rows there are."""
    if check.low is None or check.high is None or not check.low <= check.high:
        return None
    nearest = min(max(rule.target, check.low), check.high)
    return math.log(max(nearest, 1e-3) / rule.target), 0.0, rule.target, 0


def _noise(rule: Rule, check: Check, expected: float, before: Sequence[Check]) -> float:
    """The standard error that a day of so few rows has by itself, on the rule's scale."""
    n = max(check.n, 1)
    if check.metric in ("rows", "decisions"):
        return 1 / math.sqrt(max(expected, 1.0))
    if rule.scale == "share" and 0 <= expected <= 1 and 0 <= (check.value or 0) <= 1:
        p = (expected * n + 1) / (n + 2)  # never 0: one odd row of ten is no 10 % for sure
        return math.sqrt(p * (1 - p) / n)
    # few rows tell little of their own spread, so that of earlier days is believed when it is larger
    spread = median([_spread(earlier) for earlier in before if earlier.n > 1] or [0.0])
    error = max(_spread(check), spread) / math.sqrt(n)
    return error / max(abs(check.value or 0.0), 1e-9) if rule.scale == "ratio" else error


def _spread(check: Check) -> float:
    """The standard deviation of the rows behind a mean, from its interval."""
    if check.low is None or check.high is None:
        return 0.0
    return (check.high - check.low) / 2 / Z95 * math.sqrt(max(check.n, 1))


def _warned_days(check: Check, past: Sequence[Past]) -> int:
    """How many days in a row before today the same measure was off."""
    run = 0
    for day in reversed(past):
        if not any((f.model, f.metric, f.segment) == check.key and f.level != CALM for f in day.findings):
            break
        run += 1
    return run


def _reason(rule: Rule, check: Check, expected: float, days: int, lasting: bool) -> str:
    came = f"{_number(check.value)}{_interval(check)} of {check.n:,} rows"
    told = f"as on {_days(days)}" if days else "by rule"
    more = f" It has lasted {LASTING} days." if lasting else ""
    where = "" if check.segment == "all" else f" of {check.segment}"
    return f"{check.metric}{where}: expected about {_number(expected)} ({told}), and {came} came.{more} {_advice(rule, check)}"


def _advice(rule: Rule, check: Check) -> str:
    is_table = check.model in TABLES
    return rule.advice if is_table else FEATURE_RULES.get(check.metric, rule.advice)


def _interval(check: Check) -> str:
    return f" [{_number(check.low)}, {_number(check.high)}]" if check.low is not None and check.high is not None else ""


def _number(value: float | None) -> str:
    if value is None:
        return "nothing"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _days(count: int) -> str:
    return f"{count} clean day" + ("" if count == 1 else "s")
