"""Moves rollouts on: reads the evidence, decides on paper, and writes the journal's next row, in every process at once.

The journal lets one row follow another once: of several processes that decide the same, one is heard.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from registry.journal import Conflict, Journal
from registry.rollouts import WATCH, Rollout, Step, proceed
from registry.succession import ABORT
from serving.champion import Follower
from serving.rollouts import lines
from serving.rollouts.rollout import OF_LABELS, Evidence, next_step
from serving.rollouts.tally import Book, Tally, folder_of
from whence.measures.sequential import Look

WHO = "rollout"
log = logging.getLogger("serving.rollouts.steering")


@dataclass
class Steering:
    """The loop of one process of the service."""

    home: Path
    journal: Journal
    follower: Follower
    tally: Tally
    clock: Callable[[], float] = time.time
    _books: dict[str, Book] = field(default_factory=dict)

    def once(self) -> None:
        """Write what was counted, and take the next step of every rollout whose time has come."""
        now = self.clock()
        self.tally.flush(now)
        for model, trial in self.follower.trials.items():
            book = self._book(model, trial.rollout)
            book.read(now)
            step = decide(self.home, trial.rollout, book, now)
            if step is not None:
                self._take(trial.rollout, step)
        stood_down = [(each.rollout, each.step) for each in self.follower.refused.values() if each.step is not None]
        under_way = (self.follower.look().rollouts or {}) if stood_down else {}
        for rollout, step in stood_down:
            if under_way.get(rollout.model) == rollout:
                self._write(rollout, step)

    def close(self) -> None:
        """Write what was counted until now, the second that is not over too: nothing more will come."""
        self.tally.flush(math.inf)

    async def steer(self, seconds: float = 1.0) -> None:
        """Steer for ever, beside the event loop."""
        while True:
            try:
                await asyncio.to_thread(self.once)
            except Exception:
                log.exception("A rollout cannot be steered; who answers stays as it is.")
            await asyncio.sleep(seconds)

    def _take(self, rollout: Rollout, step: Step) -> None:
        if step.kind == ABORT:
            self.follower.stand_down(rollout, step)
        self._write(rollout, step)

    def _write(self, rollout: Rollout, step: Step) -> None:
        try:
            row = proceed(self.journal, rollout, step, WHO, datetime.fromtimestamp(self.clock(), UTC))
        except Conflict as heard:
            log.info("Another process was first: %s", heard)
        else:
            log.info("%s of %s: %s (epoch %s): %s", row.kind, row.model, row.bundle[:12], row.epoch, " ".join(step.reasons))

    def _book(self, model: str, rollout: Rollout) -> Book:
        book = self._books.get(model)
        if book is None or book.epoch != rollout.epoch:
            book = self._books[model] = Book(folder_of(self.home, rollout), rollout.epoch, rollout.policy)
        return book


def decide(home: Path, rollout: Rollout, book: Book, now: float) -> Step | None:
    """The rollout's next step by all that is known: what was counted, and the looks at labels."""
    labels, facts = labels_seen(home, rollout)
    evidence = Evidence(book.looks, labels, book.broken(), {**book.facts(), **facts})
    return next_step(rollout, evidence, datetime.fromtimestamp(now, UTC))


def keep_labels(home: Path, rollout: Rollout, day: date, seen: dict[str, Any]) -> None:
    """Keep a look at labels, `seen` of people and of standard errors by check; a day's first look stays."""
    lines.add(_labels(home, rollout), {"day": day.isoformat(), **seen})


def labels_seen(home: Path, rollout: Rollout) -> tuple[dict[str, list[Look]], dict[str, Any]]:
    """The looks at labels so far, by check, and what to tell of the last; days on which nothing ripened are no looks."""
    looks: dict[str, list[Look]] = {}
    last: dict[str, Any] = {}
    for seen in _days(_labels(home, rollout)):
        if last and seen["people"] <= last["people"]:
            continue
        for name in OF_LABELS:
            looks.setdefault(name, []).append(Look(seen["people"] / max(rollout.policy.labelled_people, 1), seen[name]))
        last = seen
    return looks, {"labels": last} if last else {}


def _days(path: Path) -> list[dict[str, Any]]:
    """The kept looks, the first of each day, in the order of days."""
    if not path.exists():
        return []
    by_day: dict[str, dict[str, Any]] = {}
    for line in lines.read(path)[0]:
        by_day.setdefault(line["day"], line)
    return [by_day[day] for day in sorted(by_day)]


def _labels(home: Path, rollout: Rollout) -> Path:
    return folder_of(home, rollout) / f"labels-{'watch' if rollout.stage == WATCH else 'trial'}.jsonl"
