"""What the answers of both arms are like: counted by second and group of people in each process, added up by whoever decides."""

from __future__ import annotations

import bisect
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from registry.rollouts import Rollout, RolloutPolicy
from serving.rollouts import lines
from serving.rollouts.rollout import FAILURES, SCORES, SLOWNESS
from whence.measures import arms
from whence.measures.arms import CHALLENGER, CHAMPION, GROUPS
from whence.measures.sequential import Look

EDGES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99)
"""Of the bins that the surest probability of an answer is counted in: narrow at both ends, where it says most."""
ASKED, FAILED, SLOW, WILD, BINS = 0, 1, 2, 3, 4
FIELDS = BINS + len(EDGES) + 1
COARSE_SECONDS = 10
"""How long answers gather once all that was planned is in."""
SETTLED_SECONDS = 2
"""What is older than this has been written by every process that is well."""
SURE = 6.0
"""Standard errors that do not wait for a look: once in a billion."""
FEW_GROUPS = 3
"""A failure is not one person's when it is seen in so many groups of people."""
Counts = npt.NDArray[np.int64]
"""Arm × group of people × field."""


def folder_of(home: Path, rollout: Rollout) -> Path:
    """Where a rollout's evidence lies."""
    return _folder(home, rollout.model, rollout.number)


@dataclass(frozen=True)
class Seen:
    """What one answer was like."""

    arm: int
    group: int
    seconds: float
    has_failed: bool = False
    is_wild: bool = False
    """Some score was no number from 0 to 1."""
    probability: float | None = None
    """The surest of its options."""


class _Key(NamedTuple):
    """Where counts go: seconds since 1970, and how many seconds from there."""

    model: str
    number: int
    epoch: int
    second: int
    length: int


@dataclass
class Tally:
    """One process's counts, on their way to its own file; safe to use from many threads."""

    home: Path
    process: str = field(default_factory=lambda: _process())
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: dict[_Key, Counts] = field(default_factory=dict)
    _asked: dict[int, int] = field(default_factory=dict)

    def note(self, rollout: Rollout, seen: Seen, now: float) -> None:
        """Count an answer of the rollout's stage; `now` in seconds since 1970."""
        policy, second = rollout.policy, int(now)
        with self._lock:
            asked = self._asked[rollout.epoch] = self._asked.get(rollout.epoch, 0) + 1
            length = 1 if asked <= policy.answers / policy.shares[0] else COARSE_SECONDS
            key = _Key(rollout.model, rollout.number, rollout.epoch, second - second % length, length)
            if (counts := self._open.get(key)) is None:
                counts = self._open[key] = nothing()
            counts[seen.arm, seen.group, ASKED] += 1
            counts[seen.arm, seen.group, FAILED] += seen.has_failed
            counts[seen.arm, seen.group, SLOW] += seen.seconds * 1000 > policy.slow_ms
            counts[seen.arm, seen.group, WILD] += seen.is_wild
            if seen.probability is not None:
                counts[seen.arm, seen.group, BINS + bisect.bisect_right(EDGES, seen.probability)] += 1

    def flush(self, now: float) -> None:
        """Write what no answer is added to any more, a line for each second. What cannot be written is tried again."""
        for key in [key for key in list(self._open) if key.second + key.length <= now]:
            with self._lock:
                counts = self._open.pop(key, None)
            if counts is None:  # another thread writes it, as at the end
                continue
            try:
                self._append(key, counts)
            except OSError:
                with self._lock:
                    self._open[key] = self._open.get(key, nothing()) + counts
                    self.process = _process()  # the old file may end in half a line
                raise

    def _append(self, key: _Key, counts: Counts) -> None:
        cells = [[arm, group, *counts[arm, group].tolist()] for arm, group in np.argwhere(counts[..., ASKED]).tolist()]
        path = _folder(self.home, key.model, key.number) / f"answers-{self.process}.jsonl"
        lines.add(path, {"epoch": key.epoch, "second": key.second, "cells": cells})


@dataclass
class Book:
    """What all processes counted in one stage, read on from where it was read last."""

    folder: Path
    epoch: int
    policy: RolloutPolicy
    looks: dict[str, list[Look]] = field(default_factory=lambda: {FAILURES: [], SLOWNESS: [], SCORES: []})
    _offsets: dict[Path, int] = field(default_factory=dict)
    _waiting: dict[int, Counts] = field(default_factory=dict)
    _settled: Counts = field(default_factory=lambda: nothing())

    def read(self, now: float) -> None:
        """Take in what was written since, second by second, and look where it is time to."""
        for second, counts in self._news():
            self.take(second, counts)
        self.settle(now - SETTLED_SECONDS)

    def take(self, second: int, counts: Counts) -> None:
        """Add what was counted in a second."""
        self._waiting[second] = self._waiting.get(second, nothing()) + counts

    def settle(self, until: float) -> None:
        """Call everything before `until` complete, and look where it is time to."""
        for second in sorted(each for each in self._waiting if each < until):
            self._settled = self._settled + self._waiting.pop(second)
            self._look()

    @property
    def total(self) -> Counts:
        """Everything that was counted."""
        return sum(self._waiting.values(), self._settled)

    def broken(self) -> tuple[str, ...]:
        """What must not go on for another second, in words."""
        total = self.total
        asked = total[..., ASKED].sum(axis=1)
        words = []
        if wild := int(total[CHALLENGER, :, WILD].sum()):
            words.append(f"{wild} of its {asked[CHALLENGER]} answers hold a score that is no number from 0 to 1")
        for what, name in ((FAILED, "failed"), (SLOW, "were slow")):
            bad = total[..., what].sum(axis=1)
            if arms.exactly(bad, asked) >= SURE and np.count_nonzero(total[CHALLENGER, :, what]) >= FEW_GROUPS:
                champion = f"{bad[CHAMPION]} of the champion's {asked[CHAMPION]}"
                words.append(f"{bad[CHALLENGER]} of its {asked[CHALLENGER]} answers {name}, and {champion}")
        return tuple(words)

    def facts(self) -> dict[str, object]:
        """Counts by arm, for a person to read."""
        total = self.total.sum(axis=1)
        names = {"answers": ASKED, "failed": FAILED, "slow": SLOW, "no_number": WILD}
        counted = {name: {"champion": int(total[0, at]), "challenger": int(total[1, at])} for name, at in names.items()}
        return {**counted, "stability_index": round(arms.stability(total[:, BINS:]), 4)}

    def _look(self) -> None:
        """Look when the challenger has answered as often as the next look wants."""
        answered = int(self._settled[CHALLENGER, :, ASKED].sum())
        done = self.looks[FAILURES][-1].share if self.looks[FAILURES] else 0.0
        share = answered / self.policy.answers
        if done >= 1.0 or int(share * self.policy.looks) <= int(done * self.policy.looks):
            return
        asked = self._settled[..., ASKED]
        self.looks[FAILURES].append(Look(share, arms.failures(self._settled[..., FAILED], asked)))
        self.looks[SLOWNESS].append(Look(share, arms.failures(self._settled[..., SLOW], asked)))
        self.looks[SCORES].append(Look(share, arms.shift(self._settled[..., BINS:], self.policy.shift)))

    def _news(self) -> Iterator[tuple[int, Counts]]:
        for path in sorted(self.folder.glob("answers-*.jsonl")):
            found, self._offsets[path] = lines.read(path, self._offsets.get(path, 0))
            yield from ((line["second"], _counts(line["cells"])) for line in found if line["epoch"] == self.epoch)


def _folder(home: Path, model: str, number: int) -> Path:
    return home / "rollouts" / f"{model}-{number}"


def _process() -> str:
    """A name that no other process has, nor this one after a restart."""
    return f"{os.getpid()}-{secrets.token_hex(3)}"


def nothing() -> Counts:
    """No answers."""
    return np.zeros((2, GROUPS, FIELDS), dtype=np.int64)


def _counts(cells: list[list[int]]) -> Counts:
    counts = nothing()
    for arm, group, *values in cells:
        counts[arm, group] = values
    return counts
