"""Several workers on one port: a parent that opens the sockets, forks the workers, again where one dies, and stops them all.

The parent imports all that a worker needs, and does nothing else with it: what nobody writes to is in memory once for all of them, and
a worker that takes a dead one's place is there at once.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from whence.contracts.settings import Settings

SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which several workers count together; the Prometheus client reads it when it is imported."""
BACKLOG = 2048
SEND_BYTES = 2**18
"""Of an answer that its caller does not take, the system keeps so much; by itself it would keep megabytes a connection."""
COUNTS = "whence-serving-metrics-"
MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory. The client maps its files, and on a full disk to write there is the end of the process (SIGBUS)."""
LEAST_AGE = 60.0
"""A folder that is younger may be of somebody who is about to lock it."""
LOOK_SECONDS = 0.2
LEAST_LIFE = 2.0
"""A worker that dies sooner is started again no sooner than this after its start."""
STOP_SECONDS = 15.0
log = logging.getLogger("serving.web.processes")


class Given(NamedTuple):
    """What a worker serves with."""

    sockets: tuple[socket.socket, socket.socket]
    """The public one, and the admin's."""
    parent: int | None
    """The end of a pipe that reads as closed when the parent is gone; None when there is no parent."""


class CannotStart(RuntimeError):
    """The service cannot listen where it should, or not read what it starts from; the message says what to do."""


def listen(settings: Settings) -> tuple[socket.socket, socket.socket]:
    """The public and the admin's socket, listening; raises CannotStart when another listens there."""
    host = settings.serving.host
    return _listening(host, settings.ports.serving), _listening(host, settings.ports.serving_admin)


def supervise(settings: Settings) -> int:
    """Keep as many workers as the settings say until SIGTERM or SIGINT; then stop them, and give the exit status."""
    sockets = listen(settings)
    counts, alive = _made_counts(MEMORY if os.access(MEMORY, os.W_OK) else settings.home / "run")
    os.environ[SHARED_METRICS] = str(counts)
    try:
        from serving.web import worker

        worker.demand(settings)
        gc.collect()
        gc.freeze()  # a collection would write to every object, and so give each worker its own
        parent = Parent(sockets, settings.serving.workers, counts, lambda given: worker.serve(settings, given))
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, parent.stop)
        return parent.run()
    finally:
        shutil.rmtree(counts, ignore_errors=True)
        os.close(alive)


def _made_counts(place: Path) -> tuple[Path, int]:
    """A folder for the workers' counts, and a handle whose lock says that somebody counts there; what a killed parent left is removed."""
    place.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=COUNTS, dir=place))
    alive = _locked(made)
    assert alive is not None
    for left in place.glob(f"{COUNTS}*"):
        with suppress(OSError):  # another's, or gone by now
            if time.time() - left.stat().st_mtime > LEAST_AGE and (lock := _locked(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
    return made, alive


def _locked(folder: Path) -> int | None:
    """A handle that holds the folder's lock until it is closed, also by our end and that of whom we forked; None where another holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@dataclass
class Worker:
    """A running worker, and when it was started."""

    process: ForkProcess
    started: float


@dataclass
class Parent:
    """The workers by place."""

    sockets: tuple[socket.socket, socket.socket]
    wanted: int
    counts: Path
    """Where the workers count together."""
    serve: Callable[[Given], int]
    """What a worker does; its exit status."""
    is_stopping: bool = False
    workers: dict[int, Worker] = field(default_factory=dict)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Begin to stop; safe in a signal handler."""
        self.is_stopping = True

    def run(self) -> int:
        """Start, watch, restart; 0 when every worker ended well."""
        self._pipe = reading, writing = os.pipe()
        try:
            while not self.is_stopping:
                self._keep()
                time.sleep(LOOK_SECONDS)
            return self._end()
        finally:
            os.close(writing)
            os.close(reading)

    def _keep(self) -> None:
        """Start every worker that is not there, unless it was started a moment ago."""
        for place in range(self.wanted):
            worker = self.workers.get(place)
            if worker is not None and not worker.process.is_alive() and time.monotonic() - worker.started >= LEAST_LIFE:
                log.error("Worker %d (process %s) ended with %s.", place, worker.process.pid, worker.process.exitcode)
                _forget_gauges(self.counts, worker.process.pid)
                worker = None
                del self.workers[place]
            if worker is None:
                try:
                    self.workers[place] = self._started()
                except OSError as wrong:  # no memory, or no process more
                    log.error("Worker %d cannot be started, and is tried again: %s", place, wrong)

    def _started(self) -> Worker:
        process = multiprocessing.get_context("fork").Process(target=self._serve)
        process.start()
        return Worker(process, time.monotonic())

    def _serve(self) -> None:
        """In the worker: let go of what is the parent's alone, and serve."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        reading, writing = self._pipe
        os.close(writing)
        if not self.is_stopping:  # told so before the signals were its own
            sys.exit(self.serve(Given(self.sockets, reading)))

    def _end(self) -> int:
        """Pass the signal on, wait, and end by force what does not end."""
        running = [worker.process for worker in self.workers.values() if worker.process.is_alive()]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.error("Worker process %s does not stop, and is ended.", process.pid)
                process.kill()
                process.join()
        return 0 if all(process.exitcode in (0, -signal.SIGTERM) for process in running) else 1


def _listening(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    try:
        made.bind((host, port))
    except OSError as wrong:
        made.close()
        raise CannotStart(
            f"The scoring service cannot listen on {host}:{port} ({wrong}). Stop what does, or set [ports]."
        ) from None
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def _forget_gauges(counts: Path, pid: int | None) -> None:
    """What a dead worker had waiting is no longer there; what it counted stays."""
    for path in counts.glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)
