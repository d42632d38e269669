"""The service's decisions on disk: kept by a thread beside the answers, and never called logged before the disk has them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from serving import appending, decision_frames
from serving.decision_frames import Decision

MOST_WAITING = 64 * 2**20
"""Bytes that may wait for the disk; what comes then is not logged, and its answer says so."""
PAUSE_SECONDS = 0.05
"""How long decisions gather before they share one fsync, unless somebody waits for it."""
MOST_BYTES = 64 * 2**20
"""A file that has grown to this is followed by another."""
MOST_HOURS = 10_000
"""Hours whose file is known: who asks about the events of weeks begins no file for each."""
log = logging.getLogger("serving.decision_log")


class _Waiting(NamedTuple):
    """A decision packed by whoever offers it, so that the thread, which shares the interpreter with the answers, only writes."""

    decision: Decision
    frame: bytes
    done: asyncio.Future[bool] | None


@dataclass
class DecisionLog:
    """Appends decisions to `folder`/day=…/<hour>-<process>-<number>.frames from a thread of its own.

    `offer` and `durably` belong to the event loop. A decision is on the disk when `durably` says true; `offer` promises
    nothing but that it will be tried. `count` is told how many rows of a model were written (true) or lost (false).
    """

    folder: Path
    count: Callable[[str, int, bool], None] = lambda model, rows, is_written: None
    most_waiting: int = MOST_WAITING
    most_bytes: int = MOST_BYTES
    _process: str = field(default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(3)}")
    _queue: deque[_Waiting] = field(default_factory=deque)
    _some: threading.Event = field(default_factory=threading.Event)
    _urgent: threading.Event = field(default_factory=threading.Event)
    _offered: int = 0
    _settled: int = 0
    _is_closing: bool = False
    _is_failing: bool = False
    _thread: threading.Thread | None = None
    _files: dict[tuple[str, str], _File] = field(default_factory=dict)
    _numbers: int = 0

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._offered - self._settled

    def offer(self, decision: Decision) -> bool:
        """Hand a decision over without waiting; false when too much waits, and it is not logged."""
        return self._put(decision, None)

    async def durably(self, decision: Decision) -> bool:
        """Hand a decision over, and wait: true when the disk has it, false when it is not logged."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self._put(decision, done):
            return False
        self._urgent.set()
        return await done

    def close(self) -> None:
        """Return when nothing waits any more; what is offered later is written at once by nobody, so offer nothing."""
        self._is_closing = True
        self._urgent.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join()

    def _put(self, decision: Decision, done: asyncio.Future[bool] | None) -> bool:
        if self._is_closing or self.waiting > self.most_waiting:
            self.count(decision.model, len(decision.scored.options), False)
            return False
        frame = decision_frames.frame(decision)
        self._offered += len(frame)
        self._queue.append(_Waiting(decision, frame, done))
        if not self._some.is_set():
            self._some.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, name="decision-log", daemon=True)
            self._thread.start()
        return True

    def _write_on(self) -> None:
        """The thread: wait for some, let more gather unless somebody waits, write them together."""
        while not (self._is_closing and not self._queue):
            self._some.wait()
            self._urgent.wait(PAUSE_SECONDS)
            self._urgent.clear()
            self._some.clear()
            self._write([self._queue.popleft() for _ in range(len(self._queue))])

    def _write(self, batch: Sequence[_Waiting]) -> None:
        hours: dict[tuple[int, int], list[_Waiting]] = {}
        for each in batch:
            made_at = each.decision.made_at
            hours.setdefault((made_at.toordinal(), made_at.hour), []).append(each)
        for (day, at), part in hours.items():
            self._settle(part, self._is_written((date.fromordinal(day).isoformat(), f"{at:02d}"), part))

    def _is_written(self, hour: tuple[str, str], part: Sequence[_Waiting]) -> bool:
        try:
            self._file(hour).append(part)
        except Exception:  # whatever it is, the thread must live on
            if not self._is_failing:  # said once, and counted each time: a full disk lasts, and may be the one of our own log
                log.exception("Decisions cannot be logged, as %d of %s.", len(part), " ".join(hour))
            self._is_failing = True
            self._files.pop(hour, None)  # whatever state it is in; the next one is a new file
            return False
        if self._is_failing:
            log.warning("Decisions can be logged again.")
        self._is_failing = False
        return True

    def _file(self, hour: tuple[str, str]) -> _File:
        file = self._files.get(hour)
        if file is None or file.size >= self.most_bytes:
            if len(self._files) >= MOST_HOURS:
                self._files.clear()
            self._numbers += 1
            name = f"{hour[1]}-{self._process}-{self._numbers}{decision_frames.SUFFIX}"
            file = self._files[hour] = _File(self.folder / f"day={hour[0]}" / name)
        return file

    def _settle(self, part: Sequence[_Waiting], is_written: bool) -> None:
        self._settled += sum([len(each.frame) for each in part])
        rows = Counter[str]()
        for decision, _, _ in part:
            rows[decision.model] += len(decision.scored.options)
        for model, count in rows.items():
            self.count(model, count, is_written)
        for _, _, done in part:  # who waits is told last, and finds the counters as they are now
            if done is not None:
                _tell(done, is_written)


@dataclass
class _File:
    """A file that this process alone writes, and the bundles whose columns it has named."""

    path: Path
    size: int = 0
    introduced: set[str] = field(default_factory=set)

    def append(self, part: Sequence[_Waiting]) -> None:
        """Add decisions, and return when the disk has them."""
        frames: list[bytes] = []
        for decision, frame, _ in part:
            if decision.bundle not in self.introduced:
                self.introduced.add(decision.bundle)
                frames.append(decision_frames.introduction(decision))
            frames.append(frame)
        data = b"".join(frames)
        appending.add(self.path, data, is_synced=True)
        self.size += len(data)


@dataclass(frozen=True)
class Read:
    """What one file was found to hold."""

    file: str
    rows: int
    unreadable: int
    is_torn: bool
    """It ends in half a decision."""


@dataclass(frozen=True)
class Found:
    """What a day's files hold."""

    rows: tuple[dict[str, Any], ...]
    unreadable: int
    """What is damaged, and no decision; what a killed process left torn at the end is not counted."""
    files: tuple[Read, ...] = ()


def read(folder: Path, day: str) -> Found:
    """Every scored option of the day, from all processes, in the order of file names."""
    suffixes = (decision_frames.SUFFIX, decision_frames.OLD_SUFFIX)
    paths = sorted(path for path in (folder / f"day={day}").glob("*") if path.suffix in suffixes)
    rows: list[dict[str, Any]] = []
    files = []
    for path in paths:
        found = list(decision_frames.rows(path))
        whole = [row for row in found if row is not None]
        rows += whole
        files.append(Read(path.name, len(whole), len(found) - len(whole), decision_frames.is_torn(path)))
    return Found(tuple(rows), sum(file.unreadable for file in files), tuple(files))


def _tell(done: asyncio.Future[bool], is_written: bool) -> None:
    """Let the loop know, from the thread; a caller that has gone is told nothing."""

    def settle() -> None:
        if not done.done():
            done.set_result(is_written)

    try:
        done.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: nobody waits
        return
