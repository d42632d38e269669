"""Asks at random moments that do not wait for answers, and counts each answer from the moment when it was due to be asked for.

A closed loop asks less while the server is slow, and so does not see what callers would have seen; this one does. It also
notes which bundle answered, and so what questions waited that came when one took the place of another.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONNECTIONS = 64
PATIENCE = 10.0
"""Seconds after the last question in which answers may still come."""
NEAR = 0.1
"""Seconds before and after the bundle changed in which a question counts as asked during the swap."""
BUNDLE = b'"bundle":"'


@dataclass(eq=False)
class Connection:
    """A kept-alive connection: idle, or waiting for the answer to one question."""

    socket: socket.socket
    due: float = 0.0
    came: bytearray = field(default_factory=bytearray)

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def ask(self, question: bytes, due: float) -> None:
        """Send the question that was due at a moment."""
        self.due, self.came = due, bytearray()
        self.socket.sendall(question)

    def status(self) -> int | None:
        """Read what came; the status once the answer is whole, 0 when the server hung up."""
        try:
            part = self.socket.recv(65_536)
        except OSError:
            return 0
        if not part:
            return 0
        self.came += part
        head, end, body = self.came.partition(b"\r\n\r\n")
        if not end or len(body) < _length(bytes(head)):
            return None
        return int(head[9:12])

    @property
    def bundle(self) -> bytes:
        """The first digits of the bundle that answered; empty when none did."""
        place = self.came.find(BUNDLE)
        return bytes(self.came[place + len(BUNDLE) :][:12]) if place >= 0 else b""


@dataclass(frozen=True)
class Heard:
    """What came of a run, in milliseconds from when each question was due."""

    asked: int
    failed: int
    p50: float
    p99: float
    p999: float
    late_p99: float
    """How late questions were sent for want of the generator's time or of an idle connection."""
    busy: float
    """The share of its core that the generator used."""
    swaps: int
    """How often another bundle answered than before."""
    near: int
    """Questions during swaps, …"""
    p99_near: float | None
    """… and what they waited; None without any."""
    p99_steady: float
    """The same of all others."""


def ask(url: str, token: str, bodies: list[str], rate: float, seconds: float, seed: int) -> Heard:
    """Ask `rate` questions a second on average, at moments of a Poisson process."""
    place = urlsplit(url)
    address = (place.hostname or "", place.port or 80)
    questions = [_question(place.path, f"{address[0]}:{address[1]}", token, body.encode()) for body in bodies]
    rng = np.random.default_rng(seed)
    waits = rng.exponential(1 / rate, int(rate * seconds))
    idle, waiting = deque(Connection(socket.create_connection(address)) for _ in range(CONNECTIONS)), set[Connection]()
    for each in idle:
        each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    began, burnt = time.perf_counter() + 0.1, time.process_time()
    due, late, heard, failed = deque((began + np.cumsum(waits)).tolist()), list[float](), list[float](), 0
    asked, end = len(due), float(began + waits.sum() + PATIENCE)
    answered = list[tuple[float, bytes]]()
    while (due or waiting) and (now := time.perf_counter()) < end:
        while due and idle and due[0] <= now:
            one = idle.popleft()
            late.append(now - due[0])
            one.ask(questions[len(late) % len(questions)], due.popleft())
            waiting.add(one)
        pause = max(0.0, due[0] - time.perf_counter()) if due and idle else 0.1
        for one in select.select(waiting, (), (), pause)[0]:
            status = one.status()
            if status is None:
                continue
            heard.append(time.perf_counter() - one.due)
            answered.append((one.due, one.bundle))
            failed += status != 200
            waiting.discard(one)
            if not status:
                one.socket.close()
                one = Connection(socket.create_connection(address))
            idle.append(one)
    failed += len(waiting) + len(due)
    busy = (time.process_time() - burnt) / (time.perf_counter() - began)
    for one in (*idle, *waiting):
        one.socket.close()
    return _heard(asked, failed, np.array(heard), np.array(late), busy, answered)


def _heard(asked: int, failed: int, heard: Floats, late: Floats, busy: float, answered: Sequence[tuple[float, bytes]]) -> Heard:
    p50, p99, p999 = (_milliseconds(heard, share) for share in (0.5, 0.99, 0.999))
    moments, is_near = swaps(answered)
    near, steady = heard[is_near], heard[~is_near]
    p99_near = _milliseconds(near, 0.99) if len(near) else None
    late_p99, p99_steady = _milliseconds(late, 0.99), _milliseconds(steady, 0.99)
    return Heard(asked, failed, p50, p99, p999, late_p99, busy, _apart(moments), len(near), p99_near, p99_steady)


def swaps(answered: Sequence[tuple[float, bytes]]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """When another bundle began to answer, and which of the answers (due, bundle) were asked for around such a moment.

    >>> swaps([(0.0, b"a"), (1.0, b"a"), (1.05, b"b"), (2.0, b"b")])[1].tolist()
    [False, True, True, False]
    """
    due = np.array([when for when, _ in answered])
    order = np.argsort(due, kind="stable")
    known = [(place, bundle) for place in order.tolist() if (bundle := answered[place][1])]
    moments = np.array([due[place] for (_, before), (place, bundle) in pairwise(known) if bundle != before])
    if not len(moments):
        return moments, np.zeros(len(due), dtype=bool)
    after = np.searchsorted(moments, due)
    gap = np.minimum(np.abs(due - moments[after.clip(max=len(moments) - 1)]), np.abs(due - moments[(after - 1).clip(0)]))
    return moments, gap <= NEAR


def _apart(moments: Floats) -> int:
    """How many moments there are, those close to one another counted once: questions are not answered just in their order."""
    return len(moments) and 1 + int((np.diff(moments) > NEAR).sum())


def _milliseconds(seconds: Floats, share: float) -> float:
    return 1000 * float(np.quantile(seconds, share)) if len(seconds) else float("nan")


def _question(path: str, host: str, token: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"The answer does not say how long it is: {head[:200]!r}")


if __name__ == "__main__":
    url, token, bodies, rate, seconds, seed = sys.argv[1:]
    lines = Path(bodies).read_text().splitlines()
    print(json.dumps(vars(ask(url, token, lines, float(rate), float(seconds), int(seed)))))
