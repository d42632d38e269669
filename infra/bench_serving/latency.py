"""Rows of the time to an answer, at half of what one core can answer at most, asked in an open loop."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.bench_serving import lineup, open_loop, servers
from infra.bench_serving.lineup import MATCH_REDIS, MATCH_SQLITE
from infra.benching import Row, median_range, verdict

ROUNDS = 5
CLOSED, OPEN, WARM = 4, 10, 2
"""Seconds of a window."""
SHARE = 0.5
P99, P999 = 5.0, 10.0
BUSY = 0.5
"""Of the generator's core: beyond it, it would be the generator that is measured."""
IDLE = 4.0
"""Seconds in which nobody is asked, and the server's core is watched."""
GAP = 0.0005
"""Seconds between two looks at the clock, which take a ten thousandth of that, for the core to count as away."""


@dataclass
class Heard:
    """Of one server, what callers heard in each window, and milliseconds of CPU time that each question took it."""

    loops: list[open_loop.Heard] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(runs: int) -> list[Row]:
    """All rows of this part."""
    names = [MATCH_SQLITE, MATCH_REDIS]
    with lineup.up(*names) as found:
        for name in names:
            found.window(name, WARM)
        rates = {name: [found.window(name, CLOSED).rate for _ in range(3)] for name in names}
        most = {name: median_range(each).value for name, each in rates.items()}
        heard = {name: Heard() for name in names}
        gaps: list[list[float]] = []
        for number in range(max(runs, ROUNDS)):
            for name in lineup.shuffled(names, number):
                server = found.servers[name]
                before = server.cpu()
                told = servers.open_loop(server, SHARE * most[name], OPEN, number)
                heard[name].loops.append(told)
                heard[name].cpu.append(1e3 * (server.cpu() - before) / told.asked)
            gaps.append(_gaps())
    return [*(row for name in names for row in _rows(name, most[name], heard[name])), _generator(heard), _machine(gaps)]


def _rows(name: str, most: float, heard: Heard) -> list[Row]:
    note = (
        f"{SHARE * most:.0f} questions a second, half of the {most:.0f} that one core answers at most; "
        f"{sum(each.asked for each in heard.loops):,} questions, from when each was due; "
        f"p50 {median_range([each.p50 for each in heard.loops]).value:.2f} ms; {median_range(heard.cpu).value:.2f} ms of CPU each"
    )
    return [
        _row(f"{name}, p99 in an open loop", [each.p99 for each in heard.loops], P99, note),
        _row(f"{name}, p99.9 in an open loop", [each.p999 for each in heard.loops], P999, ""),
    ]


def _row(what: str, values: Sequence[float], most: float, note: str) -> Row:
    found = median_range(values)
    return Row(what, f"{found.value:.1f} ms", found.show(1), f"≤ {most:.0f} ms", verdict(met=found.value <= most), note)


def _generator(heard: Mapping[str, Heard]) -> Row:
    """The generator had time to spare, and was not late."""
    loops = [each for one in heard.values() for each in one.loops]
    busy, late = max(each.busy for each in loops), median_range([each.late_p99 for each in loops])
    return Row(
        "the generator of the open loop, on the other core",
        f"{busy:.0%} of its core at most",
        target=f"≤ {BUSY:.0%}",
        verdict=verdict(met=busy <= BUSY),
        note=f"it sent 99 % of the questions within {late.value:.2f} ms {late.show()} of when they were due, and that is part of their wait",
    )


def _gaps() -> list[float]:
    """Seconds for which the machine ran something else on the server's core than us, who want nothing but to run."""
    allowed, found = os.sched_getaffinity(0), list[float]()
    os.sched_setaffinity(0, {servers.SERVER_CORE})
    try:
        last = time.perf_counter()
        end = last + IDLE
        while last < end:
            now = time.perf_counter()
            if now - last > GAP:
                found.append(now - last)
            last = now
    finally:
        os.sched_setaffinity(0, allowed)
    return found


def _machine(gaps: Sequence[Sequence[float]]) -> Row:
    """What no server on this machine could do anything about."""
    away = median_range([100 * sum(each) / IDLE for each in gaps])
    longest = median_range([1e3 * max(each, default=0.0) for each in gaps])
    return Row(
        "time in which the machine ran nothing of ours on the server's core, nobody being asked",
        f"{away.value:.2f} %",
        away.show(),
        note=f"the longest of {IDLE:.0f} s {longest.value:.1f} ms {longest.show(1)}; who asks then waits as long, whatever the server",
    )
