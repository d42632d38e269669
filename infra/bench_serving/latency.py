"""Rows of the time to an answer, at half of what one core can answer at most, asked in an open loop."""

from __future__ import annotations

from collections.abc import Sequence

from infra.bench_serving import lineup, servers
from infra.bench_serving.lineup import MATCH_REDIS, MATCH_SQLITE
from infra.bench_serving.open_loop import Heard
from infra.benching import Row, median_range, verdict

ROUNDS = 5
CLOSED, OPEN, WARM = 4, 10, 2
"""Seconds of a window."""
SHARE = 0.5
P99, P999 = 5.0, 10.0


def measure(runs: int) -> list[Row]:
    """All rows of this part."""
    names = [MATCH_SQLITE, MATCH_REDIS]
    rounds = max(runs, ROUNDS)
    with lineup.up(*names) as found:
        for name in names:
            found.window(name, WARM)
        rates = {name: [found.window(name, CLOSED).rate for _ in range(3)] for name in names}
        most = {name: median_range(each).value for name, each in rates.items()}
        heard: dict[str, list[Heard]] = {name: [] for name in names}
        for number in range(rounds):
            for name in lineup.shuffled(names, number):
                heard[name].append(servers.open_loop(found.servers[name], SHARE * most[name], OPEN, number))
    return [row for name in names for row in _rows(name, most[name], heard[name])]


def _rows(name: str, most: float, heard: Sequence[Heard]) -> list[Row]:
    late, busy = max(each.late_p99 for each in heard), max(each.busy for each in heard)
    note = (
        f"{SHARE * most:.0f} questions a second, half of the {most:.0f} that one core answers at most; "
        f"{sum(each.asked for each in heard):,} questions, from when each was due; p50 {median_range([each.p50 for each in heard]).value:.2f} ms; "
        f"the generator sent 99 % within {late:.2f} ms of that, and used {busy:.0%} of its core"
    )
    return [
        _row(f"{name}, p99 in an open loop", [each.p99 for each in heard], P99, note),
        _row(f"{name}, p99.9 in an open loop", [each.p999 for each in heard], P999, ""),
    ]


def _row(what: str, values: Sequence[float], most: float, note: str) -> Row:
    found = median_range(values)
    return Row(what, f"{found.value:.1f} ms", found.show(1), f"≤ {most:.0f} ms", verdict(met=found.value <= most), note)
