"""Tells people what was found, once: by a webhook and by e-mail, again only when it gets worse or goes on, and when it is over."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whence.contracts.settings import Settings
    from whence.contracts.times import Window


class AlertError(RuntimeError):
    """A message did not get through, or the settings name no way for it; what was found is in the tables all the same."""


@dataclass(frozen=True)
class SendReport:
    """What was told."""

    told: tuple[str, ...]
    """What is new, worse, going on or over, in words."""
    channels: tuple[str, ...]
    """Which ways it went; empty where the settings name none, or there was nothing to tell."""

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return asdict(self)


def send(settings: Settings, window: Window, now: datetime) -> SendReport:
    """Tell what the findings of the window, and of some days before it, say that nobody was told yet: one message a channel.

    What was sent is written down in home/alerts, so that a run again, two at once and a run after a kill tell nothing twice; a
    kill between sending and writing repeats a message with the same id. Raises AlertError when a channel does not take it: the
    others have theirs, and the next call tries again.
    """
    from monitoring.alerts import sending

    return sending.send_findings(settings, window, now)


def test(settings: Settings, now: datetime) -> SendReport:
    """Send a message that says that it is a test, by every channel. Raises AlertError where there is none, or one fails."""
    from monitoring.alerts import sending

    return sending.send_test(settings, now)


def late(context: dict[str, Any]) -> None:
    """Tell that a DAG's run is late: the callback of its deadline, with what Airflow knows of the run."""
    from datetime import UTC

    from monitoring.alerts import sending
    from whence.contracts.settings import load

    sending.send_late(load(), context, datetime.now(UTC))
