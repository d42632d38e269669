"""Servers on one core, what they burn there, and who asks them from the other core."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psutil

from infra.bench_serving.open_loop import Heard
from infra.benching import ONE_THREAD, REPOSITORY, BenchError

SERVER_CORE, CLIENT_CORE = 0, 1
CONNECTIONS = 8
START_SECONDS = 180
SCRIPT = """
local bodies, place, broken = {}, 0, 0
for line in io.lines("@bodies@") do bodies[#bodies + 1] = line end
local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer @token@"}
function request()
  place = place % #bodies + 1
  return wrk.format("POST", nil, headers, bodies[place])
end
function done(summary, latency)
  local wrong = summary.errors
  io.write(string.format('\\n{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.3f, "p99": %.3f}\\n', summary.requests,
    summary.duration / 1e6, wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""
"""For wrk: the bodies in turn, and what came of them as a line of JSON."""


@dataclass(frozen=True)
class Server:
    """A running server and where its questions go."""

    process: psutil.Process
    url: str
    token: str
    bodies: Path
    """A question a line."""

    def cpu(self) -> float:
        """CPU seconds that its processes have burnt since they started."""
        seconds = 0.0
        for each in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                used = each.cpu_times()
                seconds += used.user + used.system
        return seconds

    def ask(self, body: str) -> Any:
        """One answer, read."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(self.url, body.encode(), headers), timeout=60) as answer:
            return json.load(answer)


@dataclass(frozen=True)
class Window:
    """What a stretch of questions came to."""

    requests: int
    seconds: float
    server_cpu: float
    """CPU seconds of the server's processes."""
    client_share: float
    """Of its core, how much the load generator used."""
    p50: float
    """Milliseconds, with all connections busy."""
    p99: float

    @property
    def cpu(self) -> float:
        """The server's CPU seconds a request."""
        return self.server_cpu / self.requests

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@contextlib.contextmanager
def started(
    argv: Sequence[str], env: Mapping[str, str], ready: str, url: str, token: str, bodies: Sequence[Any], folder: Path
) -> Iterator[Server]:
    """A server on its core, from the moment that it is ready until the block ends; its words go into the folder."""
    folder.mkdir(parents=True)
    questions = folder / "bodies"
    questions.write_text("".join(f"{json.dumps(each)}\n" for each in bodies))
    with (folder / "log").open("w") as words:
        child = subprocess.Popen(
            argv, cwd=REPOSITORY, env={**env, **ONE_THREAD}, stdout=words, stderr=words, preexec_fn=lambda: _pin(SERVER_CORE)
        )
    try:
        _wait(child, ready, folder / "log")
        yield Server(psutil.Process(child.pid), url, token, questions)
    finally:
        for each in psutil.Process(child.pid).children(recursive=True) if child.poll() is None else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.terminate()
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@dataclass(frozen=True)
class Redis:
    """A running Redis."""

    process: psutil.Process
    address: str
    """host:port"""

    def spent(self) -> tuple[float, int]:
        """CPU seconds that it has burnt, and bytes that it has sent."""
        import redis

        used = self.process.cpu_times()
        with contextlib.closing(redis.Redis.from_url(f"redis://{self.address}")) as client:
            told: Any = client.info("stats")
        return used.user + used.system, int(told["total_net_output_bytes"])


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """A Redis of our own on the client's core, in memory alone."""
    port = next(ports())
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, preexec_fn=lambda: _pin(CLIENT_CORE))
    try:
        _until(lambda: _answers(port), child, "Redis")
        yield Redis(psutil.Process(child.pid), f"127.0.0.1:{port}")
    finally:
        child.terminate()
        child.wait()


def ports() -> Iterator[int]:
    """Ports that are free now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        yield port


def closed_loop(server: Server, seconds: int, folder: Path) -> Window:
    """Ask for some seconds on connections that are all busy, by wrk on the other core; BenchError for any failed answer."""
    script = folder / "ask.lua"
    script.write_text(SCRIPT.replace("@bodies@", str(server.bodies)).replace("@token@", server.token))
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), server.url]
    before, started_at = server.cpu(), _children_cpu()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, preexec_fn=lambda: _pin(CLIENT_CORE))
    after, ended_at = server.cpu(), _children_cpu()
    if done.returncode:
        raise BenchError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told["errors"] or not told["requests"]:
        raise BenchError(
            f"{told['errors']} of {told['requests']} requests to {server.url} failed. Read {server.bodies.parent}/log."
        )
    share = (ended_at - started_at) / told["seconds"]
    return Window(told["requests"], told["seconds"], after - before, share, told["p50"], told["p99"])


def open_loop(server: Server, rate: float, seconds: float, seed: int) -> Heard:
    """Ask at random moments, so many a second, from the other core; BenchError for any failed answer."""
    argv = [sys.executable, "-m", "infra.bench_serving.open_loop", server.url, server.token, str(server.bodies)]
    done = subprocess.run(
        [*argv, str(rate), str(seconds), str(seed)],
        cwd=REPOSITORY,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: _pin(CLIENT_CORE),
    )
    if done.returncode:
        raise BenchError(f"The open loop ended with {done.returncode}: {done.stderr[-1000:]}")
    heard = Heard(**json.loads(done.stdout))
    if heard.failed:
        raise BenchError(f"{heard.failed} of {heard.asked} requests to {server.url} failed. Read {server.bodies.parent}/log.")
    return heard


def demand_tools() -> None:
    """Raise BenchError unless everything is there that is asked from outside."""
    if missing := [name for name in ("wrk", "redis-server") if shutil.which(name) is None]:
        raise BenchError(f"{missing[0]} is not installed, and this benchmark asks with it. Install wrk and redis-server.")
    if (os.cpu_count() or 1) < 2:
        raise BenchError("Two cores are needed: one for the server, and one for those who ask.")


def _pin(core: int) -> None:
    os.sched_setaffinity(0, {core})


def _children_cpu() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _wait(child: subprocess.Popen[bytes], ready: str, words: Path) -> None:
    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(ready, timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    try:
        _until(is_ready, child, ready)
    except BenchError as failed:
        raise BenchError(f"{failed}\n{words.read_text()[-3000:]}") from None


def _until(is_there: Any, child: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_there():
        if child.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{what} did not start (status {child.poll()}).")
        time.sleep(0.2)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
