"""From measures to findings: is the day calm, what is wrong, how urgent is it, what is behind it, and what does it cost?"""

from monitoring.findings.judging import clean_days, judge
from monitoring.findings.marks import Past, Ripe, Today
from monitoring.findings.told import (
    CALM,
    CLOSED,
    LEVELS,
    OPEN,
    RECALIBRATE,
    RETRAIN,
    ROLLBACK,
    STOP,
    URGENCY,
    WARN,
    Finding,
    by_day,
    to_arrow,
)

__all__ = [
    "CALM",
    "CLOSED",
    "LEVELS",
    "OPEN",
    "RECALIBRATE",
    "RETRAIN",
    "ROLLBACK",
    "STOP",
    "URGENCY",
    "WARN",
    "Finding",
    "Past",
    "Ripe",
    "Today",
    "by_day",
    "clean_days",
    "judge",
    "to_arrow",
]
