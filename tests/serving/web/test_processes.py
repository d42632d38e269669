"""The parent of several workers: what it shares with them, what it clears away, and that it outlives a start that fails."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

from serving.web import processes
from serving.web.processes import Parent, Worker


def made(place: Path) -> tuple[Path, int]:
    return processes._made_counts(place)


def aged(folder: Path) -> Path:
    os.utime(folder, (0, 0))
    return folder


def test_what_a_killed_parent_left_of_its_counts_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    left, young = tmp_path / f"{processes.COUNTS}left", tmp_path / f"{processes.COUNTS}young"
    for each in (left, young):
        each.mkdir()
        (each / "counter_1.db").touch()
    aged(left)
    first, alive = made(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, first])
    second, also_alive = made(aged(first).parent)
    assert first.exists(), "its parent lives"
    os.close(alive)
    third, alive = made(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, second, third])
    os.close(alive)
    os.close(also_alive)


@dataclass
class Unlucky(Parent):
    """One whose first worker cannot be forked."""

    tries: int = 0

    def _started(self) -> Worker:
        self.tries += 1
        if self.tries == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return Worker(ForkProcess(), 0.0)


def test_a_worker_that_cannot_be_started_is_tried_again_and_ends_nobody() -> None:
    with socket.socket() as one, socket.socket() as other:
        parent = Unlucky((one, other), 2, Path(), lambda given: 0)
        parent._keep()
        assert sorted(parent.workers) == [1]
        parent._keep()
        assert sorted(parent.workers) == [0, 1]
