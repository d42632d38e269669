"""From measures to words: is the day calm, what is wrong with it, how urgent is that, and is yesterday's harm gone? All on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monitoring.findings import causes, chance, levels, money, norms
from monitoring.findings.causes import Group
from monitoring.findings.marks import Mark, Past, Today, marks
from monitoring.findings.rules import ADVICE, FEATURE_RULES
from monitoring.findings.told import CALM, CLOSED, OPEN, RETRAIN, STOP, URGENCY, Finding
from whence.contracts.events import EVENTS
from whence.contracts.tables import TABLES

SHOWN = 3
"""Series that a finding names in its words; all are in its evidence."""


def judge(today: Today, past: Sequence[Past]) -> list[Finding]:
    """Findings of a day, the worst first: what is open, what has closed, and a calm row for each subject that is calm.

    `past` are days before, oldest first; which of them count as clean is `clean_days`' answer.
    """
    clean = clean_days(past, today.bundles)
    grouped = causes.groups(marks(today, past, clean))
    found = [_finding(group, today, past, [each for each in grouped if each is not group]) for group in grouped]
    closed = [_closed(before) for before in _open(past) if not any(_is_same(before, now) for now in found)]
    troubled = {finding.model for finding in [*found, *closed]}
    calm = [_calm(model, today, len(clean)) for model in sorted({check.model for check in today.checks} - troubled)]
    return sorted([*found, *closed, *calm], key=lambda f: (-URGENCY[f.level], f.model, f.metric, f.segment))


def clean_days(past: Sequence[Past], bundles: Mapping[str, str]) -> list[Past]:
    """The days that tell what is normal.

    A day that asked for retraining is no norm, until a new champion has learned from it: then the
    norm starts with the first such day, for that is the world the champion knows. A day whose credit
    cannot be trusted never is.
    """
    alarms = [day for day in past if _is_alarm(day)]
    learnable = [day for day in alarms if not _has(day, STOP)]
    answered = [day for day in learnable if any(day.bundles.get(model, now) != now for model, now in bundles.items())]
    if answered:
        first = min(day.day for day in _run(past, answered[-1].day))
        return [day for day in past if day.day >= first and (day not in alarms or day in answered)]
    return [day for day in past if day not in alarms]


def _is_alarm(day: Past) -> bool:
    return _has(day, RETRAIN) or _has(day, STOP)


def _has(day: Past, level: str) -> bool:
    return any(finding.level == level for finding in day.findings)


def _run(past: Sequence[Past], last: str) -> list[Past]:
    """The unbroken run of alarmed days that ends with `last`."""
    run: list[Past] = []
    for day in reversed([day for day in past if day.day <= last]):
        if not _is_alarm(day):
            break
        run.append(day)
    return run


def _finding(group: Group, today: Today, past: Sequence[Past], others: Sequence[Group]) -> Finding:
    lead = group.lead
    cause = causes.REGRESSION if levels.is_regression(group, today, past, others) else group.cause
    micros, currency = money.at_stake(group.led, today.checks, past)
    level = levels.level(group, today, past, money.share(group.led, today.checks, past), others)
    drafted = Finding(
        *(lead.check.model, level, lead.check.metric, lead.check.segment, ""),
        cause=cause,
        money_micros=micros,
        currency=currency,
        runbook=cause or lead.check.metric,
        evidence=json.dumps(_evidence(group), sort_keys=True),
        since=str(today.day),
        status=OPEN,
    )
    before = next((each for each in _open(past) if _is_same(each, drafted)), drafted)
    return _with(drafted, since=before.since or drafted.since, reason=_reason(group, drafted, before.since))


def _with(finding: Finding, **changes: str) -> Finding:
    return Finding(**{**vars(finding), **changes})


def _open(past: Sequence[Past]) -> list[Finding]:
    """What was open at the end of the last watched day."""
    return [finding for finding in past[-1].findings if finding.level != CALM] if past else []


def _is_same(before: Finding, now: Finding) -> bool:
    """Two days' findings are one episode: of one cause, or of one measure, where no cause is known."""
    is_same_series = (before.model, before.metric, before.segment) == (now.model, now.metric, now.segment)
    is_same_cause = bool(now.cause) and before.cause == now.cause and _about(before) == _about(now)
    return is_same_series or is_same_cause or (not now.cause and (before.model, before.metric) == (now.model, now.metric))


def _about(finding: Finding) -> str:
    """What comes in is one subject, for a cause may show in this table today and in that tomorrow; each model is one."""
    return "data" if finding.model in EVENTS else finding.model


def _closed(before: Finding) -> Finding:
    told = before.cause or before.metric
    words = f"{told} is over: what was off since {before.since or 'the day before'} agrees with clean days again."
    return _with(before, level=CALM, status=CLOSED, reason=words)


def _calm(model: str, today: Today, clean: int) -> Finding:
    measures = sum(check.model == model for check in today.checks)
    told = f"{measures} measures" if measures > 1 else "1 measure"
    if not clean:
        return Finding(model, CALM, "all", "all", f"{told} taken; no clean day is there yet to compare with.")
    return Finding(model, CALM, "all", "all", f"{told} agree{'s' * (measures == 1)} with {_days(min(clean, norms.DAYS))} before.")


def _evidence(group: Group) -> dict[str, Any]:
    """What a person needs to check the finding, as plain values; the first series is the one that it is told by."""
    return {"rate": chance.RATE, "series": [_series(mark) for mark in group.marks]}


def _series(mark: Mark) -> dict[str, Any]:
    check = mark.check
    told = {
        "expected": mark.expected,
        "came": check.value,
        "low": check.low,
        "high": check.high,
        "sigmas": mark.sigmas,
        "p": mark.p,
    }
    rounded = {name: None if value is None else float(f"{value:.6g}") for name, value in told.items()}
    named = {"model": check.model, "metric": check.metric, "segment": check.segment}
    return {**named, **rounded, "n": check.n, "days": mark.days, "how": mark.how}


def _reason(group: Group, finding: Finding, since: str) -> str:
    lead = group.lead
    where = "" if lead.check.segment == "all" else f" of {lead.check.segment}"
    came = f"{_number(lead.check.value)}{_interval(lead)} of {lead.check.n:,} rows"
    told = f"as on {_days(lead.days)}" if lead.days else "by rule"
    more = _others(group.marks)
    lasted = f" It has lasted since {since}." if since and since != finding.since else ""
    stake = f" About {finding.money_micros / 1e6:,.0f} {finding.currency} a day rest on it." if finding.money_micros else ""
    advice = ADVICE.get(finding.cause) or _advice(lead)
    named = f"{finding.cause.replace('_', ' ')}: " if finding.cause else ""
    return (
        f"{named}{lead.check.metric}{where}: expected about {_number(lead.expected)} ({told}), and {came} came"
        f"{f' ({lead.how})' if lead.how != 'at once' and lead.days else ''}.{more}{lasted}{stake} {advice}"
    )


def _others(found: Sequence[Mark]) -> str:
    rest = found[1:]
    if not rest:
        return ""
    names = list(dict.fromkeys(f"{mark.check.model} {mark.check.metric}" for mark in rest))
    more = ", …" if len(names) > SHOWN else ""
    return f" {len(rest)} more series are off with it: {', '.join(names[:SHOWN])}{more}."


def _advice(mark: Mark) -> str:
    is_table = mark.check.model in TABLES
    return mark.rule.advice if is_table else FEATURE_RULES.get(mark.check.metric, mark.rule.advice)


def _interval(mark: Mark) -> str:
    low, high = mark.check.low, mark.check.high
    return f" [{_number(low)}, {_number(high)}]" if low is not None and high is not None else ""


def _number(value: float | None) -> str:
    if value is None:
        return "nothing"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _days(count: int) -> str:
    return f"{count} clean day" + ("" if count == 1 else "s")
