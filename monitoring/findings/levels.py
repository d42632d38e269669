"""How urgent is it: look at it, recalibrate, retrain, roll back, or publish nothing of the day?"""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.checks import Check
from monitoring.findings import causes
from monitoring.findings.causes import Group
from monitoring.findings.marks import Key, Past, Today, ripe_of, told_series
from monitoring.findings.told import RECALIBRATE, ROLLBACK, STOP, URGENCY, WARN
from whence.contracts.models import MODELS

STOPS = (causes.MISSING_DAY, causes.UNITS, causes.OVER_MERGE)
"""With these the day's credit is wrong, or of half the events."""
MUCH = 0.05
"""A part that carries less than this share of a table's money does not stop the others from being published."""
LASTING = 2
"""Of three days, with today."""
TRIAL_DAYS = 3
"""A champion is compared with the one before on so many first days with labels."""


def level(group: Group, today: Today, past: Sequence[Past], share: float, others: Sequence[Group]) -> str:
    """The level of a finding; `share` is the share of its table's money that is at stake, `others` the day's other findings."""
    if group.cause in STOPS:
        return STOP
    if group.cause in (causes.OUTAGE, causes.DUPLICATES):
        return STOP if share >= MUCH else WARN
    if group.cause == causes.FLOOD:
        return WARN  # nobody wants models that have learned from bots
    if is_regression(group, today, past, others):
        return ROLLBACK
    if group.cause == causes.PRIOR:
        is_ripe = any(mark.check.metric != causes.EARLY for mark in group.led)
        return RECALIBRATE if is_ripe else WARN
    return max((_of_mark(mark.key, mark.rule.acts, mark.is_gross, mark.rule.lasts, past) for mark in group.led), key=_urgency)


def is_regression(group: Group, today: Today, past: Sequence[Past], others: Sequence[Group]) -> bool:
    """A new champion is worse than the one before, and nothing else has changed."""
    model = group.lead.check.model
    if model not in MODELS or group.lead.check.metric not in (*causes.LEVELLED, "roc_auc"):
        return False
    return is_new(group.lead.check, today, past) and not any(each.is_about_data for each in others)


def is_new(check: Check, today: Today, past: Sequence[Past]) -> bool:
    """Today's labels are among the first of a champion that followed another one; one that was recalibrated is the same."""
    mine = ripe_of(today.ripe, check).learned
    bundles = [bundle for day in past if (bundle := ripe_of(day.ripe, check).learned)]
    return bool(mine) and bundles.count(mine) < TRIAL_DAYS and any(bundle != mine for bundle in bundles)


def _of_mark(key: Key, acts: str, is_gross: bool, lasts: bool, past: Sequence[Past]) -> str:
    if is_gross:
        return acts
    return acts if lasts and _days_off(key, past) >= LASTING - 1 else WARN


def _days_off(key: Key, past: Sequence[Past]) -> int:
    """On how many of the two days before the same series was found off."""
    return sum(any(key in told_series(finding) for finding in day.findings) for day in past[-2:])


def _urgency(name: str) -> int:
    return URGENCY[name]
