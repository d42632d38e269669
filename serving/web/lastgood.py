"""What served last, on disk: where a service starts from when the journal cannot be read."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from registry.following import Standings
from serving.champion import Lineup
from whence.contracts.settings import Settings

log = logging.getLogger("serving.web.lastgood")


class Remembered(NamedTuple):
    """A bundle that served, and the epoch that put it there."""

    bundle: str
    epoch: int


@dataclass
class LastGood:
    """Asks the journal, and while it cannot be read, the record; its bundles are checked like any other before they serve."""

    path: Path
    look: Callable[[], Standings]
    failed: Callable[[], None] = lambda: None
    """Told of each look at the journal that failed."""
    _is_down: bool = False

    def __call__(self) -> Standings:
        """How the journal stands; while it cannot be read, who was champion."""
        try:
            found = self.look()
        except Exception as wrong:
            self.failed()
            if not self._is_down:
                log.error("The journal cannot be read, and what served last serves on: %s", wrong)
            self._is_down = True
            return Standings(self.read(), {}, None)
        self._is_down = False
        return found

    def note(self, lineup: Lineup) -> None:
        """Keep what serves now, beside what served last of models that are not there yet; a full disk costs the record alone."""
        was = self.read()
        now = was | {model: Remembered(champion.scorer.digest, champion.epoch) for model, champion in lineup.items()}
        if now == was:
            return
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w") as file:
                json.dump({model: each._asdict() for model, each in now.items()}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as wrong:
            log.error("What serves cannot be kept in %s: %s", self.path, wrong)
            draft.unlink(missing_ok=True)

    def read(self) -> dict[str, Remembered]:
        """The record; empty when there is none that can be read."""
        try:
            content = json.loads(self.path.read_text())
            return {str(model): Remembered(str(each["bundle"]), int(each["epoch"])) for model, each in content.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
            log.error("%s is no record of what served (%s); it is written anew at the next promotion.", self.path, wrong)
            return {}


def record(settings: Settings) -> Path:
    """Where the record lies."""
    return settings.home / "serving" / "lastgood.json"
