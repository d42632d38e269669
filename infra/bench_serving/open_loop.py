"""Asks at random moments that do not wait for answers, and counts each answer from the moment when it was due to be asked for.

A closed loop asks less while the server is slow, and so does not see what callers would have seen; this one does.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

CONNECTIONS = 64
PATIENCE = 10.0
"""Seconds after the last question in which answers may still come."""


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
        part = self.socket.recv(65_536)
        if not part:
            return 0
        self.came += part
        head, end, body = self.came.partition(b"\r\n\r\n")
        if not end or len(body) < _length(bytes(head)):
            return None
        return int(head[9:12])


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
            failed += status != 200
            waiting.discard(one)
            if not status:
                one.socket.close()
                one = Connection(socket.create_connection(address))
            idle.append(one)
    failed += len(waiting) + len(due)
    for one in (*idle, *waiting):
        one.socket.close()
    p50, p99, p999 = (1000 * float(np.quantile(heard, share)) for share in (0.5, 0.99, 0.999))
    busy = (time.process_time() - burnt) / (time.perf_counter() - began)
    return Heard(asked, failed, p50, p99, p999, 1000 * float(np.quantile(late, 0.99)), busy)


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
