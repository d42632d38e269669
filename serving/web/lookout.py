"""The look at the journal, in a process beside the worker.

A look, and most of all one that finds something new, takes milliseconds of Python. In a thread of the worker each of them is a
millisecond for which answers wait; in another process of a lower priority hardly any is. What it sees comes over a socket, a
message a look: how the journal stands, in JSON, or why that cannot be read.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from typing import Any, NamedTuple

from registry.following import Standings
from registry.rollouts import Rollout

EVERY_SECONDS = 1.0
SILENT_SECONDS = 10.0
"""Of a lookout that is silent for longer nobody knows what the journal says."""
NICENESS = 10
"""Answers go first; on a machine that is busy with them the look still gets its tenth of a core."""
MOST_BYTES = 1 << 20
PR_SET_PDEATHSIG = 1
"""Of Linux's sys/prctl.h."""
log = logging.getLogger("serving.web.lookout")


class JournalSilent(RuntimeError):
    """Nobody says how the journal stands; the message says why."""


class Place(NamedTuple):
    """The row that put a champion in its place, as far as a worker asks."""

    bundle: str
    epoch: int


@dataclass
class Lookout:
    """Says what the process beside it saw last; without that process it looks by itself.

    Started before the worker has threads, since it forks.
    """

    look: Callable[[], Standings]
    news: Callable[[], None] = lambda: None
    """Told in the event loop when something else was seen than before."""
    clock: Callable[[], float] = time.monotonic
    _process: ForkProcess | None = None
    _ear: socket.socket | None = None
    _said: bytes = b""
    _seen: Standings | str = "nothing was heard of it yet"
    """What was said last: how the journal stands, or why that cannot be read."""
    _at: float = 0.0
    _has_heard: threading.Event = field(default_factory=threading.Event)

    def start(self, others: Sequence[socket.socket] = ()) -> None:
        """Fork the process that looks; it lets go of the `others`, which are the worker's alone."""
        self._ear, mouth = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = multiprocessing.get_context("fork").Process(
            target=_look_on, args=(self.look, mouth, (self._ear, *others)), daemon=True
        )
        process.start()
        mouth.close()
        self._ear.setblocking(False)
        self._process, self._at = process, self.clock()

    def listen(self) -> None:
        """Hear what is said from now on; in the event loop."""
        if self._ear is not None:
            asyncio.get_running_loop().add_reader(self._ear, self._hear)

    def close(self) -> None:
        """End the process."""
        if self._ear is not None:
            self._ear.close()
        if self._process is not None:
            self._process.kill()  # it has nothing to finish; and one that is stopped would not hear of its end otherwise
            self._process.join()

    def __call__(self) -> Standings:
        """How the journal stood a moment ago. Raises JournalSilent when it could not be read, or nobody says."""
        if self._ear is None:
            return self.look()
        self._has_heard.wait(SILENT_SECONDS)
        if (silence := self.clock() - self._at) > SILENT_SECONDS:
            raise JournalSilent(f"nothing was heard of it for {silence:.0f} s")
        if isinstance(self._seen, str):
            raise JournalSilent(self._seen)
        return self._seen

    def _hear(self) -> None:
        assert self._ear is not None
        said = self._ear.recv(MOST_BYTES)
        self._at = self.clock()
        if not said:
            log.error("The process that looks at the journal is gone; this one looks by itself.")
            asyncio.get_running_loop().remove_reader(self._ear)
            self._ear.close()
            self._ear = None
        elif said == self._said:
            return
        else:
            self._said, self._seen = said, _heard(said)
        self._has_heard.set()
        self.news()


def _look_on(look: Callable[[], Standings], mouth: socket.socket, others: Sequence[socket.socket]) -> None:
    """Say how the journal stands once a second, until nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; the worker's end is ours
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with_parent()
    for each in others:
        each.close()
    os.nice(NICENESS)
    over = select.poll()
    over.register(mouth, select.POLLIN)
    try:
        while not over.poll(0):
            mouth.send(_said(look))
            over.poll(EVERY_SECONDS * 1000)
    except ConnectionError:
        pass


def _end_with_parent() -> None:
    """Where the system can: end with the worker also in the middle of a look, which a database that hangs may never let end."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _said(look: Callable[[], Standings]) -> bytes:
    try:
        champions, before, rollouts = look()
    except Exception as wrong:
        return json.dumps({"silent": str(wrong)}).encode()
    content = {
        "champions": {model: [row.bundle, row.epoch] for model, row in champions.items()},
        "before": dict(before),
        "rollouts": {model: each.as_dict() for model, each in (rollouts or {}).items()},
    }
    return json.dumps(content).encode()


def _heard(said: bytes) -> Standings | str:
    content: Mapping[str, Any] = json.loads(said)
    if "silent" in content:
        return str(content["silent"])
    return Standings(
        {model: Place(*row) for model, row in content["champions"].items()},
        content["before"],
        {model: Rollout.of(each) for model, each in content["rollouts"].items()},
    )
