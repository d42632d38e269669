"""Measures the demo as a new user meets it: the install with empty caches, each step, memory, and the second start."""

from __future__ import annotations

import json
import os
import platform as machine
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psutil

from infra import demo, platform, show
from whence.contracts.settings import load

RUNS = 2
FOLDER = platform.REPOSITORY / "docs" / "benchmarks"
TARGET_SECONDS = 480.0
SAMPLE_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    target: str = ""
    verdict: str = ""


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
    rows = table(runs)
    about = {
        "at": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "cpu": machine.processor() or machine.machine(),
        "runs": RUNS,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "demo.json").write_text(
        json.dumps({"about": about, "rows": [asdict(row) for row in rows], "runs": runs}, indent=1) + "\n"
    )
    (FOLDER / "demo.md").write_text(page(rows, runs, about))
    show.rows(rows, as_json=False, title="The demo, measured")
    return int(any(row.verdict == "short" for row in rows))


def table(runs: list[dict[str, Any]]) -> list[Row]:
    """The rows: median with the spread over the runs."""
    total = sorted(run["total"] for run in runs)
    verdict = "met" if total[-1] <= TARGET_SECONDS else "short"
    return [
        Row(
            "make demo on a bare machine, install included",
            _spread([run["total"] for run in runs], "s"),
            f"≤ {TARGET_SECONDS:.0f} s",
            verdict,
        ),
        Row("of which the install, caches empty", _spread([run["install"] for run in runs], "s")),
        Row("second start: make up after make down", _spread([run["second_start"] for run in runs], "s")),
        Row("memory at its peak, all processes", _spread([run["peak_mb"] for run in runs], "MB")),
        Row("memory of the idle platform", _spread([run["idle_mb"] for run in runs], "MB")),
    ]


def page(rows: list[Row], runs: list[dict[str, Any]], about: dict[str, Any]) -> str:
    """The page in docs/benchmarks."""
    lines = [
        "# The demo: time and memory",
        "",
        "Made by `make bench-demo`. " + f"{about['runs']} runs on {about['cores']} cores, {about['at']}; ",
    ]
    lines[-1] += "median and, in brackets, the range. Memory is proportional set size, so that shared pages count once."
    lines += ["", "| what | figure | target | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.figure} | {row.target} | {row.verdict} |" for row in rows]
    lines += ["", "## By step", "", "| step | seconds | peak memory |", "|---|---|---|"]
    for number, step in enumerate(runs[0]["steps"]):
        each = [run["steps"][number] for run in runs]
        lines.append(
            f"| {step['step']} | {_spread([one['seconds'] for one in each], 's')} | {_spread([one['peak_mb'] for one in each], 'MB')} |"
        )
    lines += ["", "## How good it was, in the last run", "", "| what | value | compared with |", "|---|---|---|"]
    lines += [f"| {each['what']} | {each['value']} | {each['compared_with']} |" for each in runs[-1]["quality"]]
    return "\n".join(lines) + "\n"


def _spread(values: list[float], unit: str) -> str:
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2] if len(ordered) % 2 else (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2
    return f"{middle:,.0f} {unit} [{ordered[0]:,.0f}, {ordered[-1]:,.0f}]"


_SETTINGS = replace(load(), home=platform.REPOSITORY / ".whence-bench")


if __name__ == "__main__":
    sys.exit(main())
