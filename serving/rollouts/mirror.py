"""Questions asked once more, off the path of the answers: in a thread that takes a share of the time, and no more."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_WAITING = 64
log = logging.getLogger("serving.rollouts.mirror")

Job = Callable[[], None]


@dataclass
class Mirror:
    """Does one job after another; after each it rests, so that working takes at most the job's share of the time."""

    most_waiting: int = MOST_WAITING
    _jobs: queue.Queue[tuple[Job, float]] = field(init=False)
    _is_closing: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._jobs = queue.Queue(self.most_waiting)

    def offer(self, job: Job, duty: float) -> bool:
        """Hand a job over without waiting; false when too many wait, and it will not be done."""
        if self._is_closing.is_set():
            return False
        try:
            self._jobs.put_nowait((job, duty))
        except queue.Full:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._work_on, name="mirror", daemon=True)
            self._thread.start()
        return True

    def close(self) -> None:
        """Do no more: what waits is dropped."""
        self._is_closing.set()
        if self._thread is not None:
            self._thread.join()

    def _work_on(self) -> None:
        while not self._is_closing.is_set():
            try:
                job, duty = self._jobs.get(timeout=0.2)
            except queue.Empty:
                continue
            started = time.perf_counter()
            try:
                job()
            except Exception:
                log.exception("A mirrored question failed")
            self._is_closing.wait((time.perf_counter() - started) * (1 / duty - 1))
