"""Which series of a day are off: far enough to matter, and further than chance explains over the whole grid of the day."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from monitoring.checks import Check
from monitoring.findings import chance, drifting, norms
from monitoring.findings.rules import RULES, Rule
from monitoring.findings.told import CALM, Finding
from whence.contracts.tables import TABLES

Key = tuple[str, str, str]
SLOW = 0.6
"""On the second of three days a change counts from this share of the distance on that it needs on the first."""
SURE = 5.0
"""With too few clean days to know their spread, a gross change must be so many standard errors off."""
RARE = 0.001
"""However few series there are, chance must explain one less often than this."""
STILL = 0.02
"""What was found stays found while chance explains the day's distance less often than this: no grid is looked through for it."""
AT_ONCE = math.log(1.3)
"""A factor whose whole interval is further off than this needs no second day."""
LASTS_UNTIL = 14
"""A series that has been off for so many days is as it is now: these days are its norm."""


@dataclass(frozen=True)
class Ripe:
    """Whose decisions a day's ripe labels are about."""

    bundle: str
    span_days: int = 1
    """How many days' decisions go together."""
    trees: str = ""
    """Names its trees, which a recalibration shares with the bundle before; empty where nobody knows."""

    @property
    def learned(self) -> str:
        """What tells one trained model from another, whatever its calibrator."""
        return self.trees or self.bundle


@dataclass(frozen=True)
class Past:
    """A day before: its measures and what was found in it."""

    day: str
    checks: Sequence[Check]
    findings: Sequence[Finding] = ()
    bundles: Mapping[str, str] = field(default_factory=dict)
    """For each model the bundle that decided most on the day."""
    ripe: Mapping[str, Ripe] = field(default_factory=dict)
    """For each model whose decisions the day's quality is about; `MODEL METRIC` where a measure has others."""


@dataclass(frozen=True)
class Today:
    """The day that is judged."""

    day: date
    checks: Sequence[Check]
    bundles: Mapping[str, str] = field(default_factory=dict)
    ripe: Mapping[str, Ripe] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A series that is off, and how sure that is."""

    check: Check
    rule: Rule
    expected: float
    distance: float
    """On the rule's scale, with its sign: positive is more than expected."""
    harm: float
    """The distance on the side that hurts."""
    sigmas: float | None
    """The distance in standard errors; None where a rule alone decides."""
    p: float | None
    """The chance of as much on clean days; None where a rule alone decides."""
    days: int
    """Clean days behind the expectation; 0 where a rule alone decides."""
    how: str
    """What made it sure: at once, two of three days, days together, by rule, or still."""

    @property
    def key(self) -> Key:
        """The series."""
        return self.check.key

    @property
    def is_gross(self) -> bool:
        """So far off that it is acted on at once."""
        return self.rule.gross is not None and self.harm >= self.rule.gross


@dataclass(frozen=True)
class _Looked:
    """A series that was compared with its clean days."""

    check: Check
    rule: Rule
    found: norms.Norm
    distance: float
    harm: float
    sigmas: float


def marks(today: Today, past: Sequence[Past], clean: Sequence[Past]) -> list[Mark]:
    """The series of the day that are off; `past` are all days before, oldest first, `clean` those that tell what is normal."""
    rules = [(check, rule) for check in today.checks if (rule := _rule(check))]
    clean_series, all_series = _series(clean), _series(past)
    held = {key for each in past[-1:] for finding in each.findings for key in told_series(finding)}
    looked = [
        each
        for check, rule in rules
        if rule.scale in ("share", "ratio") and (each := _look(rule, today.day, check, clean_series, all_series))
    ]
    by_rule = [mark for check, rule in rules if rule.scale == "level" and (mark := _by_rule(rule, check))]
    together = [
        mark
        for check, rule in rules
        if rule.scale == "factor" and (mark := _together(rule, check, _ripe_days(check, today, past), check.key in held))
    ]
    return [*_beyond_chance(looked, all_series, held, today.day), *by_rule, *together]


def told_series(finding: Finding) -> list[Key]:
    """The series that stand behind a finding that is not calm."""
    if finding.level == CALM:
        return []
    listed = finding.facts.get("series", [])
    return [(each["model"], each["metric"], each["segment"]) for each in listed] or [
        (finding.model, finding.metric, finding.segment)
    ]


def _rule(check: Check) -> Rule | None:
    rule = RULES.get(check.metric)
    if rule is None or check.value is None or not math.isfinite(check.value) or (rule.only and check.segment not in rule.only):
        return None
    return rule


def _series(days: Sequence[Past]) -> dict[Key, list[tuple[date, Check, bool]]]:
    """Each series' days: its day, its check, and whether it was off then."""
    found: dict[Key, list[tuple[date, Check, bool]]] = {}
    for day in days:
        off = {key for finding in day.findings for key in told_series(finding)}
        for check in day.checks:
            found.setdefault(check.key, []).append((date.fromisoformat(day.day), check, check.key in off))
    return found


def _look(
    rule: Rule,
    today: date,
    check: Check,
    clean: Mapping[Key, Sequence[tuple[date, Check, bool]]],
    every: Mapping[Key, Sequence[tuple[date, Check, bool]]],
) -> _Looked | None:
    before = _norm_days(rule, clean.get(check.key, []), every.get(check.key, []))
    found = norms.norm(rule, today, check.n, before)
    if found is None or (rule.scale == "ratio" and found.expected <= 0):
        return None
    distance = norms.on_scale(rule, check.value or 0.0, check.n) - found.middle
    harm = {"up": distance, "down": -distance, "both": abs(distance)}[rule.harm]
    sigmas = harm / max(norms.error(rule, check, found, [each for _, each in before]), 1e-12)
    return _Looked(check, rule, found, distance, harm, sigmas)


def _norm_days(
    rule: Rule, clean: Sequence[tuple[date, Check, bool]], every: Sequence[tuple[date, Check, bool]]
) -> list[tuple[date, Check]]:
    """The days that tell a series' norm: clean ones on which it was not off, or the last ones, once it was off on all of them."""
    last = every[-LASTS_UNTIL:]
    if len(last) == LASTS_UNTIL and all(is_off for _, _, is_off in last):
        return [(day, check) for day, check, _ in last]
    serving = [each for each in clean if not each[2] and not (rule.serves and not each[1].value)]
    return [(day, check) for day, check, _ in serving]


def _beyond_chance(
    looked: Sequence[_Looked], every: Mapping[Key, Sequence[tuple[date, Check, bool]]], held: set[Key], today: date
) -> list[Mark]:
    tails = {
        about: chance.tail(float(u) for each in looked if _is_table(each.check) == about for u in each.found.usual)
        for about in (True, False)
    }
    now = [tails[_is_table(each.check)].p(each.sigmas) for each in looked]
    slow = [
        chance.two_of_three([*_chances(each, every.get(each.check.key, []), tails[_is_table(each.check)], today), p])
        for each, p in zip(looked, now, strict=True)
    ]
    least = min(chance.bar([min(1.0, 2 * min(pair)) for pair in zip(now, slow, strict=True)]) / 2, RARE)
    return [
        _mark(each, min(p, p_slow), how)
        for each, p, p_slow in zip(looked, now, slow, strict=True)
        if (how := _how(each, p, p_slow, least, each.check.key in held))
    ]


def _mark(each: _Looked, p: float, how: str) -> Mark:
    days = each.found.days
    known = p if days >= norms.FEW else None
    return Mark(each.check, each.rule, each.found.expected, each.distance, each.harm, each.sigmas, known, days, how)


def _how(each: _Looked, p: float, p_slow: float, least: float, is_held: bool) -> str:
    """What makes it sure that the series is off, given the chance that the day's grid leaves it; empty when nothing does."""
    rule, harm = each.rule, each.harm
    if each.found.days < norms.FEW:
        is_gross = harm >= (rule.warn if rule.gross is None else rule.gross)
        return "at once" if is_gross and each.sigmas >= SURE else ""
    if p <= least and harm >= rule.warn:
        return "at once"
    if p_slow <= least and harm >= SLOW * rule.warn:
        return "two of three days"
    return "still" if is_held and harm >= SLOW * rule.warn and p <= STILL else ""


def _chances(each: _Looked, days: Sequence[tuple[date, Check, bool]], tail: chance.Tail, today: date) -> list[float]:
    """The chances of the two days before, on the same norm and the same side; a day without a value is like any other."""
    found = []
    for day, check, _ in days[-2:]:
        if (
            check.value is None
            or not math.isfinite(check.value)
            or (today - day).days > 2
            or (each.rule.serves and not check.value)
        ):
            continue
        distance = norms.on_scale(each.rule, check.value, check.n) - each.found.middle
        is_same = distance * each.distance > 0
        error = norms.error(each.rule, check, each.found, [check])
        found.append(tail.p(abs(distance) / max(error, 1e-12)) if is_same else 1.0)
    return found


def _by_rule(rule: Rule, check: Check) -> Mark | None:
    """A value that needs no history."""
    distance = (check.value or 0.0) - rule.target
    harm = {"up": distance, "down": -distance, "both": abs(distance)}[rule.harm]
    idle = SURE * 24 / max(check.n, 1) if check.metric == "hours_since_last" else 0.0  # few rows leave long gaps by themselves
    if harm < max(rule.warn, idle):
        return None
    return Mark(check, rule, rule.target, distance, harm, None, None, 0, "by rule")


def ripe_of(ripe: Mapping[str, Ripe], check: Check) -> Ripe:
    """Whose decisions a measure of quality is about."""
    return ripe.get(f"{check.model} {check.metric}") or ripe.get(check.model, Ripe(""))


def _ripe_days(check: Check, today: Today, past: Sequence[Past]) -> list[Check]:
    """The same measure of days before, of the same bundle's decisions, none counted twice."""
    ripe = ripe_of(today.ripe, check)
    days = [each for each in past if ripe_of(each.ripe, check) == ripe]
    apart = [each for each in days if (today.day - date.fromisoformat(each.day)).days % ripe.span_days == 0]
    return [found for each in apart for found in each.checks if found.key == check.key]


def _together(rule: Rule, check: Check, days: Sequence[Check], is_held: bool) -> Mark | None:
    """A factor that must be the target: what today says for sure, or what days say together."""
    if check.low is None or check.high is None or not 0 <= check.low <= check.high:
        return None
    nearest = math.log(max(min(max(rule.target, check.low), check.high), 1e-3) / rule.target)
    if abs(nearest) >= AT_ONCE:
        return Mark(check, rule, rule.target, nearest, abs(nearest), None, None, 0, "at once")
    found = drifting.gathered([*days, check])
    if found is None or abs(found.distance) < rule.warn or not (found.is_enough or (is_held and found.evidence > 0)):
        return None
    return Mark(
        check, rule, rule.target, found.distance, abs(found.distance), abs(found.sigmas), None, 0, _together_words(found.days)
    )


def _together_words(days: int) -> str:
    return f"{days} days together" if days > 1 else "at once"


def _is_table(check: Check) -> bool:
    return check.model in TABLES
