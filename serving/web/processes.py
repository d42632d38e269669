"""Several workers on one port: a parent that opens the sockets, starts the workers, restarts those that die, and stops them all."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from whence.contracts.settings import Settings

HANDED_ON = "WHENCE_SERVING_SOCKETS"
"""Descriptors for a worker: the public socket, the admin's, and a pipe that closes when the parent is gone."""
SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which several workers count together; the Prometheus client reads it when it is imported."""
BACKLOG = 2048
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


def listen(settings: Settings) -> tuple[socket.socket, socket.socket]:
    """The public and the admin's socket, listening; OSError when a port is taken."""
    host = settings.serving.host
    return _listening(host, settings.ports.serving), _listening(host, settings.ports.serving_admin)


def given() -> Given | None:
    """What a parent handed on to this process; None when it has none."""
    if (words := os.environ.pop(HANDED_ON, "")) == "":
        return None
    public, admin, parent = (int(word) for word in words.split(","))
    return Given((socket.socket(fileno=public), socket.socket(fileno=admin)), parent)


def supervise(settings: Settings) -> int:
    """Keep as many workers as the settings say until SIGTERM or SIGINT; then stop them, and give the exit status."""
    sockets = listen(settings)
    counts = settings.home / "run" / f"serving-metrics-{os.getpid()}"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir(parents=True)
    parent = Parent(sockets, settings.serving.workers, counts)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, parent.stop)
    try:
        return parent.run()
    finally:
        shutil.rmtree(counts, ignore_errors=True)


@dataclass
class Worker:
    """A running worker, and when it was started."""

    process: subprocess.Popen[bytes]
    started: float


@dataclass
class Parent:
    """The workers by place."""

    sockets: tuple[socket.socket, socket.socket]
    wanted: int
    counts: Path
    """Where the workers count together."""
    is_stopping: bool = False
    workers: dict[int, Worker] = field(default_factory=dict)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Begin to stop; safe in a signal handler."""
        self.is_stopping = True

    def run(self) -> int:
        """Start, watch, restart; 0 when every worker ended well."""
        reading, writing = os.pipe()
        self._pipe = reading
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
            if worker is not None and worker.process.poll() is not None:
                log.error("Worker %d (process %d) ended with %d.", place, worker.process.pid, worker.process.returncode)
                _forget_gauges(self.counts, worker.process.pid)
                if time.monotonic() - worker.started < LEAST_LIFE:
                    continue
                worker = None
            if worker is None:
                self.workers[place] = self._started()

    def _started(self) -> Worker:
        descriptors = (*(each.fileno() for each in self.sockets), self._pipe)
        environment = {**os.environ, HANDED_ON: ",".join(map(str, descriptors)), SHARED_METRICS: str(self.counts)}
        process = subprocess.Popen([sys.executable, "-m", "serving"], env=environment, pass_fds=descriptors)
        return Worker(process, time.monotonic())

    def _end(self) -> int:
        """Pass the signal on, wait, and end by force what does not end."""
        running = [worker.process for worker in self.workers.values() if worker.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("Worker process %d does not stop, and is ended.", process.pid)
                process.kill()
                process.wait()
        return 0 if all(process.returncode in (0, -signal.SIGTERM) for process in running) else 1


def _listening(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as wrong:
        made.close()
        raise OSError(f"The scoring service cannot listen on {host}:{port} ({wrong}). Stop what does, or set [ports].") from None
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def _forget_gauges(counts: Path, pid: int) -> None:
    """What a dead worker had waiting is no longer there; what it counted stays."""
    for path in counts.glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)
