"""How the scoring service answered: counts by day, route and status, which its processes leave in the home for whoever asks later."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

Counts = Mapping[tuple[str, str], int]
"""Answers by route and status."""
log = logging.getLogger("whence.answer_counts")


@dataclass
class Keeper:
    """Keeps one process's counts in `folder`/day=…/<process>.json; a kill loses what came since the last `keep`."""

    folder: Path
    counted: Callable[[], Counts]
    """All answers until now."""
    _process: str = field(default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(3)}")
    _day: date | None = None
    _of_day: Counter[tuple[str, str]] = field(default_factory=Counter)
    _kept: Counter[tuple[str, str]] = field(default_factory=Counter)

    def keep(self, today: date) -> None:
        """Count what is new to `today`, and write the day's counts as a whole, if there is any. Raises OSError where the disk does."""
        now = Counter(self.counted())
        new = now - self._kept
        if not new:
            return
        of_day = self._of_day + new if today == self._day else new
        path = self.folder / f"day={today}" / f"{self._process}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("w") as file:
            json.dump([[*key, count] for key, count in sorted(of_day.items())], file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        self._day, self._of_day, self._kept = today, of_day, now


def read(folder: Path, day: date) -> Counts:
    """The day's answers of all processes; a file that somebody damaged is logged, and left out."""
    found = Counter[tuple[str, str]]()
    for path in sorted((folder / f"day={day}").glob("*.json")):
        try:
            found.update({(route, status): count for route, status, count in json.loads(path.read_text())})
        except (ValueError, TypeError) as damaged:
            log.warning("%s holds no counts of answers, and is left out: %s", path, damaged)
    return found
