"""Keeps MLflow's aliases at the journal's champions: `python -m registry.follow`, one small process beside the platform.

A new row is followed within a second; an alias that somebody moved by hand is found, told and put right within 15, and a
journal that somebody changed is found and told, and followed no more.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

from registry.alarms import TAMPERED, Alarm, Alarms
from registry.aliases import AliasError, Change, reconcile
from registry.journal import Journal, Tampered
from registry.rows import stamp
from whence.contracts.settings import Settings, load

EVERY_SECONDS = 15.0
GLANCE_SECONDS = 1.0
log = logging.getLogger("registry.follow")


@dataclass
class Watch:
    """Looks at the aliases when the journal has a new row, and every now and then besides."""

    settings: Settings
    clock: Callable[[], float] = time.monotonic
    _seen: int = -1
    _looked: float = float("-inf")
    _is_down: bool = False
    _is_lost: bool = False

    def look(self, now: datetime) -> None:
        """Glance; what keeps the journal from being followed is said once, until it can be again."""
        try:
            self.glance(now)
        except Exception:
            if not self._is_lost:
                log.exception("The journal cannot be followed; it is asked again each second.")
            self._is_lost = True
        else:
            if self._is_lost:
                log.info("The journal can be followed again.")
            self._is_lost = False

    def glance(self, now: datetime) -> list[Change]:
        """Put the aliases right when it is time to; while MLflow is down, that is said once."""
        epoch = Journal.of(self.settings).epoch()
        if epoch == self._seen and self.clock() - self._looked < EVERY_SECONDS:
            return []
        self._looked = self.clock()
        try:
            Journal.of(self.settings).verify()
            Alarms.of(self.settings).settle([], (TAMPERED,), now)
            found = reconcile(self.settings, now)
        except Tampered as forged:
            found = [Change("", TAMPERED, str(forged), epoch)]
            Alarms.of(self.settings).settle([Alarm(stamp(now), "", TAMPERED, epoch, str(forged))], (TAMPERED,), now)
        except AliasError as down:
            if not self._is_down:
                log.warning("The aliases stay as they are: %s", down)
            self._is_down = True
            return []
        self._seen, self._is_down = epoch, False
        for change in found:
            log.log(logging.ERROR if change.is_alarm else logging.INFO, "%s", change.words)
        return found


def main() -> None:
    """Watch until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop, watch = Event(), Watch(load())
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not stop.wait(GLANCE_SECONDS):
        watch.look(datetime.now(UTC))


if __name__ == "__main__":
    main()
