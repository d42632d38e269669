"""Measures the demo as a new user meets it: the install with empty caches, each step, memory, and the second start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from infra import demo, platform
from infra.benching import Row, about, median_range, verdict, write
from whence.contracts.settings import load

RUNS = 2
TARGET_SECONDS = 480.0
SAMPLE_SECONDS = 1.0


@dataclass
class Memory:
    """Samples the proportional memory of this process and all that it started, until it is stopped."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def peak(self, start: float, seconds: float) -> float:
        """The most megabytes within an interval; 0 without a sample."""
        return max((mb for at, mb in self.samples if start <= at <= start + seconds), default=0.0)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.samples.append((time.time(), sum(_megabytes(each) for each in _ours())))


def _ours() -> list[psutil.Process]:
    """This process, and every process of its platform, which supervisord has taken away from it."""
    home = str(_SETTINGS.home)
    found = [psutil.Process()]
    for each in psutil.process_iter(["cmdline"]):
        if any(home in word for word in each.info["cmdline"] or ()):
            found += [each, *_children(each)]
    return list({each.pid: each for each in found}.values())


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _megabytes(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0


def install() -> float:
    """Seconds to install the lock into a fresh environment with empty caches, as `make install` does."""
    with tempfile.TemporaryDirectory() as folder:
        clean = {**os.environ, "UV_CACHE_DIR": f"{folder}/uv", "PIP_CACHE_DIR": f"{folder}/pip"}
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
        python = f"{folder}/venv/bin/python"
        subprocess.run([python, "-m", "pip", "install", "-q", "uv"], check=True, env=clean)
        lock = str(platform.REPOSITORY / "requirements.lock")
        words = ["install", "-q", "--python", python, "--require-hashes", "--compile-bytecode", "-r", lock]
        subprocess.run([f"{folder}/venv/bin/uv", "pip", *words], check=True, env=clean)
        return time.monotonic() - started


def measure() -> dict[str, Any]:
    """One run: install, demo, stop, and start again."""
    installed = install()
    started = time.monotonic()
    with Memory() as memory:
        found = demo.run(_SETTINGS)
    total = installed + time.monotonic() - started
    steps = [{**each, "peak_mb": memory.peak(each.get("started", 0.0), each["seconds"])} for each in found["steps"][:-1]]
    idle = sum(_megabytes(each) for each in _ours()[1:])
    platform.down(_SETTINGS)
    again = time.monotonic()
    platform.up(_SETTINGS)
    second = time.monotonic() - again
    platform.down(_SETTINGS)
    peak = max(mb for _, mb in memory.samples)
    return {
        "install": installed,
        "total": total,
        "second_start": second,
        "peak_mb": peak,
        "idle_mb": idle,
        "steps": steps,
        "quality": found["quality"],
    }


def main() -> int:
    """Measure, print the table, write it to docs/benchmarks; 1 when a row is short."""
    runs = [measure() for _ in range(RUNS)]
    facts = about("make bench-demo", runs=RUNS, memory="proportional set size, so that shared pages count once")
    return write("demo", table(runs), facts, title="The demo: time and memory", more=steps(runs))


def table(runs: list[dict[str, Any]]) -> list[Row]:
    """The rows: median with the range over the runs."""
    total = [run["total"] for run in runs]
    target = f"≤ {TARGET_SECONDS:.0f} s"
    return [
        _row("make demo on a bare machine, install included", total, "s", target, max(total) <= TARGET_SECONDS),
        _row("of which the install, caches empty", [run["install"] for run in runs], "s"),
        _row("second start: make up after make down", [run["second_start"] for run in runs], "s"),
        _row("memory at its peak, all processes", [run["peak_mb"] for run in runs], "MB"),
        _row("memory of the idle platform", [run["idle_mb"] for run in runs], "MB"),
    ]


def steps(runs: list[dict[str, Any]]) -> str:
    """What follows the table: each step's time and memory, and how good the last run was."""
    lines = ["", "## By step", "", "| step | seconds | peak memory |", "|---|---|---|"]
    for each in zip(*(run["steps"] for run in runs), strict=True):
        seconds, peak = (_spread([one[key] for one in each], unit) for key, unit in (("seconds", "s"), ("peak_mb", "MB")))
        lines.append(f"| {each[0]['step']} | {' '.join(seconds)} | {' '.join(peak)} |")
    lines += ["", "## How good it was, in the last run", "", "| what | value | compared with |", "|---|---|---|"]
    lines += [f"| {each['what']} | {each['value']} | {each['compared_with']} |" for each in runs[-1]["quality"]]
    return "\n".join(lines) + "\n"


def _row(what: str, values: Sequence[float], unit: str, target: str = "", met: bool | None = None) -> Row:
    return Row(what, *_spread(values, unit), target, "-" if met is None else verdict(met=met))


def _spread(values: Sequence[float], unit: str) -> tuple[str, str]:
    found = median_range(values)
    return f"{found.value:,.0f} {unit}", found.show(0)


_SETTINGS = replace(load(), home=platform.REPOSITORY / ".whence-bench")


if __name__ == "__main__":
    sys.exit(main())
