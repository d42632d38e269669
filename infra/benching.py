"""Benchmarks: rows with their doubt and their target, jobs run in turn each in a process of its own, and the page."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"
"""Where the public sets lie, beside the repository; rows whose set is absent say so."""
FOLDER = REPOSITORY / "docs" / "benchmarks"
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "POLARS_MAX_THREADS",
        "RAYON_NUM_THREADS",
    ),
    "1",
)
"""Set for every job; LightGBM and DuckDB are told on their own."""
RESAMPLES = 4000

Verdict = Literal["met", "short", "-"]
Job = Callable[[], Any] | Sequence[str]
"""A function of a module, a `partial` of one with texts and numbers, or a command."""


class BenchError(RuntimeError):
    """A job failed, or a row is not as it must be; the message says which."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    spread: str = ""
    """The interval or range of the figure."""
    target: str = ""
    verdict: Verdict = "-"
    note: str = ""


@dataclass(frozen=True)
class Runs:
    """What a job took, run by run, in the order of the rounds."""

    cpu: tuple[float, ...]
    """CPU seconds, user and system, of the whole process: start and imports count."""
    peak_mb: tuple[float, ...]
    answers: tuple[Any, ...]
    """What the function returned, through JSON; for a command, what it printed last, read as JSON where it is."""

    @property
    def median(self) -> float:
        """The median CPU seconds."""
        return statistics.median(self.cpu)


@dataclass(frozen=True)
class Interval:
    """A value with its doubt."""

    value: float
    low: float
    high: float

    def show(self, places: int = 2) -> str:
        """The interval alone.

        >>> Interval(0.31, 0.29, 0.334).show()
        '[0.29, 0.33]'
        """
        return f"[{self.low:.{places}f}, {self.high:.{places}f}]"


def absent(what: str, target: str = "") -> Row:
    """The row of something that cannot be measured here, because its data are not beside the repository."""
    return Row(what, "not measured: data absent", target=target)


def interleaved(jobs: Mapping[str, Job], runs: int) -> dict[str, Runs]:
    """Run each job `runs` times in fresh processes with one thread, forwards and backwards in turn.

    A job is a command, a function without arguments of a module that can be imported, or a `partial` of one with texts and
    numbers in their order. Raises BenchError when one fails.
    """
    found: dict[str, list[tuple[float, float, Any]]] = {name: [] for name in jobs}
    for number in range(runs):
        for name in list(jobs)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(_run(name, jobs[name]))
    return {name: Runs(*(tuple(each) for each in zip(*rows, strict=True))) for name, rows in found.items()}


def together(rounds: Sequence[Mapping[str, Runs]]) -> dict[str, Runs]:
    """Rounds that were run one by one, as if they had been run in one go."""
    return {
        name: Runs(
            tuple(value for each in rounds for value in each[name].cpu),
            tuple(value for each in rounds for value in each[name].peak_mb),
            tuple(value for each in rounds for value in each[name].answers),
        )
        for name in rounds[0]
    }


def ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Interval:
    """The ratio of the medians, with a 95 % bootstrap interval over runs that are drawn in pairs.

    >>> ratio([1.0, 1.0, 1.0], [4.0, 4.0, 4.0])
    Interval(value=0.25, low=0.25, high=0.25)
    """
    draw = random.Random(seed)
    pairs = list(zip(ours, theirs, strict=True))
    drawn = sorted(_ratio([draw.choice(pairs) for _ in pairs]) for _ in range(RESAMPLES))
    return Interval(_ratio(pairs), drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES) - 1])


def median_range(values: Sequence[float]) -> Interval:
    """The median, the least and the most.

    >>> median_range([3.0, 1.0, 2.0])
    Interval(value=2.0, low=1.0, high=3.0)
    """
    return Interval(statistics.median(values), min(values), max(values))


def verdict(*, met: bool) -> Verdict:
    """Met or short, as the rows say it."""
    return "met" if met else "short"


def gather(
    words: list[str] | None,
    name: str,
    *,
    title: str,
    parts: Sequence[str],
    packages: Sequence[str],
    doc: str | None,
) -> int:
    """The front door of `python -m infra.bench_NAME`: measure the parts that are asked for, print and write; 1 when a row is short.

    A part is a module of that package with `measure(runs)`, which returns rows.
    """
    module = f"infra.bench_{name}"
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=doc)
    parser.add_argument("--runs", type=int, default=5, help="rounds of each timed comparison")
    parser.add_argument("--only", choices=parts, action="append", help="renew the rows of this part alone; may be repeated")
    asked = parser.parse_args(words)
    shorts = []
    for part in asked.only or parts:
        facts = about(f"python -m {module} --only {part} --runs {asked.runs}", packages)
        shorts.append(write(name, measured(module, part, asked.runs), facts, title=title, part=part))
    return max(shorts)


def measured(package: str, part: str, runs: int) -> list[Row]:
    """The rows of a part."""
    if importlib.util.find_spec(f"{package}.{part}") is None:
        return [Row(part, "not measured: not written yet")]
    found: list[Row] = importlib.import_module(f"{package}.{part}").measure(runs)
    return found


def about(command: str, packages: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """What a reader needs to judge figures: date, machine, versions and the command that makes them."""
    return {
        "command": command,
        "at": datetime.now(UTC).date().isoformat(),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := _version(name))},
        **more,
    }


def write(
    name: str,
    rows: Sequence[Row],
    facts: Mapping[str, Any],
    *,
    title: str,
    part: str = "",
    more: str = "",
    folder: Path = FOLDER,
) -> int:
    """Put the rows into NAME.json and NAME.md, print each, and return 1 when one of them is short.

    Rows of other parts that are in NAME.json already stay as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    parts = json.loads(file.read_text())["parts"] if file.exists() and part else {}
    parts[part] = {"about": dict(facts), "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps({"title": title, "parts": parts}, indent=1, ensure_ascii=False) + "\n")
    (folder / f"{name}.md").write_text(page(title, parts) + more)
    for row in rows:
        print(" | ".join(filter(None, (row.verdict, row.what, row.figure, row.spread, row.target, row.note))), flush=True)
    return int(any(row.verdict == "short" for row in rows))


def page(title: str, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all parts, each with how it was measured."""
    lines = [f"# {title}", ""]
    for part, each in parts.items():
        lines += [f"## {part.capitalize()}", ""] if part else []
        lines += [_made(each["about"]), "", "| what | figure | interval | target | | note |", "|---|---|---|---|---|---|"]
        lines += [
            "| " + " | ".join(str(row[key]) for key in ("what", "figure", "spread", "target", "verdict", "note")) + " |"
            for row in each["rows"]
        ]
        lines += [""]
    return "\n".join(lines)


def _made(facts: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {each}" for name, each in facts.get("versions", {}).items())
    known = {"command", "at", "cpu", "cores", "python", "versions"}
    more = "; ".join(f"{name.replace('_', ' ')} {each}" for name, each in facts.items() if name not in known)
    machine = f"{facts['at']}, {facts['cores']} cores ({facts['cpu']}), Python {facts['python']}"
    return f"Made by `{facts['command']}`: " + "; ".join(filter(None, (machine, versions, more))) + "."


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return statistics.median(ours for ours, _ in pairs) / statistics.median(theirs for _, theirs in pairs)


def _run(name: str, job: Job) -> tuple[float, float, Any]:
    """CPU seconds, peak megabytes and answer of one process."""
    argv = _argv(job) if callable(job) else list(job)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(argv, stdout=out, stderr=err, cwd=REPOSITORY, env={**os.environ, **ONE_THREAD})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            raise BenchError(f"The job {name!r} ended with {child.returncode}:\n{err.read()[-2000:]}")
        said = out.read().strip().splitlines()
    peak, answer = usage.ru_maxrss / 1024, _read(said[-1] if said else "null")
    if callable(job):  # the kernel starts ru_maxrss at the parent's size, so a function tells its own
        peak, answer = answer["peak_mb"], answer["answer"]
    return usage.ru_utime + usage.ru_stime, peak, answer


def _argv(job: Callable[[], Any]) -> list[str]:
    function, words = (job.func, list(job.args)) if isinstance(job, partial) else (job, [])
    return [sys.executable, "-m", "infra.benching", f"{function.__module__}:{function.__qualname__}", json.dumps(words)]


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return line


def _peak_mb() -> float:
    """The most memory that this process has held since it was started, in megabytes."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _child(target: str, words: str) -> None:
    """Run a function of a module and print its answer, as the last line."""
    module, name = target.split(":")
    answer = getattr(importlib.import_module(module), name)(*json.loads(words))
    print(json.dumps({"answer": answer, "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
