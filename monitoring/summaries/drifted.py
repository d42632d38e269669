"""A model's inputs and scores of a day against what it learned from: what is missing, what is new, what has moved further than on clean days."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring import checks
from monitoring.checks import Check
from monitoring.summaries.decisions import OWN, PROBABILITY, SUBJECT
from monitoring.summaries.distances import PSI, Distance, distances
from monitoring.summaries.verdicts import LEAST_ROWS, unseen_share
from whence.summaries import Summary, merge_all
from whence.summaries.frame import Summaries

LEAST_DAYS = 2
"""With fewer clean days nobody knows how far days lie from the reference by themselves."""
MARGIN = 1.25
"""A day has drifted when it is further away than the furthest clean day, times this."""


def input_checks(model: str, now: Summaries, then: Summaries) -> list[Check]:
    """Measures of each input: null, zero, infinite, unseen; `then` is what is known of it, and may be empty."""
    names = sorted((set(now) | set(then)) - set(OWN))
    rows = max(each.rows for each in now.values())
    gone = Summary(rows=rows, nulls=rows)
    found = [check for name in names for check in _input(model, name, now.get(name, gone), then.get(name))]
    nulls = [check.value for check in found if check.metric == "null_share" and check.value is not None]
    return [*found, checks.plain(model, "mean_null_share", "all", sum(nulls) / max(len(nulls), 1), rows)]


def drift_checks(model: str, now: Summaries, reference: Summaries | None, clean: Sequence[Summaries]) -> list[Check]:
    """The distance of each input and of the score from the reference, and the share of them that have drifted.

    `clean` are clean days; without a reference they are one together, each of them being held against the others. Clean days
    differ from the reference, too: it is of rows with labels, and a campaign's click rate is another one every day. A column
    has drifted when neither chance nor what clean days do explains how far it is. With fewer than LEAST_DAYS of them
    nothing is compared.
    """
    if len(clean) < LEAST_DAYS:
        return []
    whole = reference or merge_all(clean)
    usual = [(day, reference or merge_all(other for other in clean if other is not day)) for day in clean]
    rows, drifted = max(each.rows for each in now.values()), 0
    found = []
    for name in sorted((set(now) & set(whole)) - {SUBJECT, PROBABILITY}):
        today, days = _psi(name, now, whole), [far for day, then in usual if (far := _psi(name, day, then))]
        if today is None or len(days) < LEAST_DAYS:
            continue
        drifted += today.value >= max(today.threshold, MARGIN * max(day.value for day in days))
        found.append(checks.plain(model, "psi", name, today.value, rows))
    if found:
        found.append(checks.plain(model, "drifted_share", "inputs and score", drifted / len(found), rows))
    return found


def _input(model: str, name: str, now: Summary, then: Summary | None) -> list[Check]:
    found = [checks.share(model, "null_share", name, now.nulls + now.lacking, now.rows)]
    if not (now.is_words or (then is not None and then.is_words)):
        found.append(checks.share(model, "infinite_share", name, now.infinite, now.rows))
        found.append(checks.share(model, "zero_share", name, now.zeros, now.rows))
    elif then is not None and (unseen := unseen_share(now, then)) is not None:
        found.append(checks.share(model, "unseen_share", name, unseen * now.held, now.held))
    return found


def _psi(name: str, now: Summaries, then: Summaries) -> Distance | None:
    """The index, and what chance explains of it; rows of one subject move together and count once."""
    one, other = now.get(name), then.get(name)
    if one is None or other is None or min(one.held, other.held) < LEAST_ROWS:
        return None
    found = distances(one, other, (_subjects(now, one), _subjects(then, other)))
    return next((each for each in found if each.measure == PSI), None)


def _subjects(side: Summaries, column: Summary) -> float:
    return min(float(column.held), side[SUBJECT].distinct) if SUBJECT in side else float(column.held)
