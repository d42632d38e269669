"""Sixty days on which nothing happens: how often does the watcher cry wolf, over how many series?"""

from __future__ import annotations

import time
from statistics import median

from infra.bench_monitoring import worlds
from infra.benching import Row, verdict
from monitoring.findings import CALM, OPEN
from monitoring.findings.rules import RULES
from monitoring.watching import Watched, watch_day

SEED, PEOPLE = 7, 3000
HISTORY, DAYS = 14, 60
"""Days before the models are trained, and days after, which count."""
LEAST_SERIES = 500


def measure(runs: int) -> list[Row]:
    """Live the days, watch each as the DAG does, and count the alerts: findings that are new on a day."""
    settings = worlds.a_world(worlds.FOLDER / f"clean-{SEED}", seed=SEED, people=PEOPLE, days=HISTORY + DAYS)
    worlds.live(settings, HISTORY + DAYS, HISTORY)
    worlds.watched_anew(settings)
    started, cpu = time.monotonic(), time.process_time()
    days = [watch_day(settings, worlds.on(number)) for number in range(HISTORY + DAYS)]
    spent = (time.process_time() - cpu) / len(days)
    counted = days[HISTORY:]
    alerts = [told for day in counted for told in _new(day)]
    print(
        "\n".join(f"  {told}" for told in alerts) or "  no alert", f"({time.monotonic() - started:.0f} s of watching)", flush=True
    )
    return _rows(counted, alerts, spent)


def _new(day: Watched) -> list[str]:
    """The day's alerts: findings that were not open the day before."""
    fresh = [each for each in day.findings if each.level != CALM and each.status == OPEN and each.since == day.day]
    return [f"{day.day} {each.level}: {each.cause or each.metric}: {each.model}: {each.reason}" for each in fresh]


def _rows(days: list[Watched], alerts: list[str], spent: float) -> list[Row]:
    from scipy.stats import chi2

    weeks = len(days) / 7
    low = float(chi2.ppf(0.025, 2 * len(alerts))) / 2 / weeks if alerts else 0.0
    high = float(chi2.ppf(0.975, 2 * (len(alerts) + 1))) / 2 / weeks
    measured = [sum(check.value is not None for check in day.checks) for day in days]
    judged = [sum(check.value is not None and check.metric in RULES for check in day.checks) for day in days]
    each_week = len(alerts) / weeks
    world = f"the world, {PEOPLE:,} people, {len(days)} clean days"
    return [
        Row(
            f"{world}: false alerts a week",
            f"{each_week:.2f}",
            f"[{low:.2f}, {high:.2f}]",
            "≤ 1",
            verdict(met=each_week <= 1),
            f"{len(alerts)} in all: {'; '.join(told.split(':')[0] + ':' + told.split(':')[1] for told in alerts) or 'none'}",
        ),
        Row(
            f"{world}: series a day",
            f"{median(measured):,.0f}",
            f"{min(measured):,} to {max(measured):,}",
            f"≥ {LEAST_SERIES}",
            verdict(met=median(measured) >= LEAST_SERIES),
            f"{median(judged):,.0f} of them are judged; the others are drawn",
        ),
        Row(f"{world}: watching a day", f"{spent:.1f} CPU s", note="all measures, drift by Evidently, judging, reports"),
    ]
