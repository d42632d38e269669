"""From findings to messages to channels, each with its own record: what one was told another may still have to be told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitoring.alerts import AlertError, SendReport, channels, episodes, record
from monitoring.alerts.channels import Channel, Message
from monitoring.alerts.episodes import News, Told
from monitoring.findings import LEVELS, ROLLBACK, STOP, URGENCY, by_day
from whence.contracts.times import Window, utc
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

LOOK_BACK_DAYS = 7
"""Days before the window: what could not be sent then is sent now."""
MOST_TOLD = 30
"""Lines of a message; more are counted."""
LATE, TEST = "late", "test"


def send_findings(settings: Settings, window: Window, now: datetime) -> SendReport:
    """See monitoring.alerts.send."""
    asked = settings.monitoring.alerts
    if asked.least not in LEVELS[1:]:
        raise AlertError(f"monitoring.alerts.least cannot be '{asked.least}'. It may be {', '.join(LEVELS[1:])}.")
    reach = Window(window.back(len(window.days) + LOOK_BACK_DAYS).first, window.last)
    days = by_day(Lake.of(settings).read("findings", reach))

    def news(told: dict[str, Told]) -> list[News]:
        return episodes.news(days, told, asked.least, asked.again_days)

    return _by_every_channel(settings, news, now)


def send_test(settings: Settings, now: datetime) -> SendReport:
    """See monitoring.alerts.test."""
    if not channels.of(settings):
        raise AlertError("Nobody would be told: set webhook or mail_to under [monitoring.alerts] in the settings.")
    at = utc(now).isoformat(timespec="microseconds")
    item = News(f"test/{at}", at[:10], TEST, "warn", "whence", "This is a test: alerts of this installation arrive here.")
    return _by_every_channel(settings, lambda told: [item], now)


def send_late(settings: Settings, context: dict[str, Any], now: datetime) -> SendReport:
    """See monitoring.alerts.late."""
    run, deadline = context["dag_run"], str(context["deadline"]["deadline_time"])
    dag, key = str(run["dag_id"]), str(run.get("partition_key") or run.get("dag_run_id") or run.get("run_id"))
    words = f"the run of {dag} for {key} has not succeeded by {deadline[:16].replace('T', ' ')} UTC. `whence status`, and the run's page in Airflow."
    item = News(f"late/{dag}/{key}/{deadline}", deadline[:10], LATE, "warn", dag, words, "late_run")

    def news(told: dict[str, Told]) -> list[News]:
        return [] if item.episode in told else [item]

    return _by_every_channel(settings, news, now)


def _by_every_channel(settings: Settings, news: Callable[[dict[str, Told]], list[News]], now: datetime) -> SendReport:
    """One message a channel about what is news there; one that fails keeps no other from its own."""
    told: dict[str, None] = {}
    took, failed = [], []
    ways = channels.of(settings)
    if not ways:
        return SendReport((), ())
    with record.opened(settings.home / "alerts") as file:
        for way in ways:
            items = news(episodes.from_records(record.read(file, way.name)))
            if not items:
                continue
            message = message_of(settings, way, items)
            try:
                way.deliver(message, utc(now))
            except AlertError as wrong:
                failed.append(str(wrong))
                continue
            at = utc(now).isoformat()
            record.add(file, {"id": message.id, "channel": way.name, "at": at, "items": [asdict(item) for item in items]})
            took.append(way.name)
            told |= dict.fromkeys(item.words for item in items)
    if failed:
        raise AlertError(" ".join(failed))
    return SendReport(tuple(told), tuple(took))


def message_of(settings: Settings, way: Channel, items: Sequence[News]) -> Message:
    """The news by day, the most urgent first, with what a person is asked to do, and where to read more."""
    content = json.dumps([way.name, [asdict(item) for item in items]], sort_keys=True)
    worst = max(items, key=lambda item: URGENCY[item.level])
    days = sorted({item.day for item in items})
    when = days[0] if len(days) == 1 else f"{days[0]}..{days[-1]}"
    head = f"whence {when}: {_counts(items)}"
    lines = [head]
    for day in days:
        told = sorted((item for item in items if item.day == day), key=lambda item: -URGENCY[item.level])
        lines += ["", day, *(f"• {_line(settings, item)}" for item in told)]
    if len(lines) > MOST_TOLD:
        lines = [*lines[:MOST_TOLD], f"… and {len(lines) - MOST_TOLD} lines more"]
    lines += ["", f"Today's state: http://127.0.0.1:{settings.ports.front}, on the machine of the platform"]
    subject = f"[whence] {worst.level}: {_counts(items)}, {when}"
    return Message(
        hashlib.sha256(content.encode()).hexdigest()[:32], subject, "\n".join(lines), tuple(asdict(item) for item in items)
    )


def _line(settings: Settings, item: News) -> str:
    more = [f"Runbook: docs/runbooks.md#{item.runbook}"] if item.runbook else []
    if item.kind != episodes.OVER and item.level == ROLLBACK and settings.monitoring.rollback == "person":
        more.append(f"You are asked: whence rollback {item.model} --reason WHY")
    if item.kind != episodes.OVER and item.level == STOP:
        more.append(f"The day is held: whence release {item.day} --reason WHY lets it go")
    return " ".join([item.words.removeprefix(f"{item.day} "), *(f"[{each}]" for each in more)])


def _counts(items: Sequence[News]) -> str:
    kinds = [item.kind for item in items]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
