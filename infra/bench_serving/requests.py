"""Rows of whole requests: CPU of the server's processes a request, against the peers and against the floor, in turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from infra.bench_serving import capacity, lineup, models
from infra.bench_serving.lineup import (
    CREDIT_REDIS,
    CREDIT_SQLITE,
    FEAST,
    FIRST_REDIS,
    FIRST_SQLITE,
    MATCH_REDIS,
    MATCH_SQLITE,
    MLFLOW,
    SCORE,
    UNSCORED,
)
from infra.bench_serving.servers import Window
from infra.bench_serving.world import CANDIDATES, NETWORKS, TOUCHES
from infra.benching import Interval, Row, about, median_range, ratio, verdict
from whence.identity.evidence import SCHEMA_NUMBERS
from whence.trees import Trees, fastest

SECONDS, WARM = 4, 2
ROUNDS = 5
CREDIT = (CREDIT_REDIS, CREDIT_SQLITE)
NAMES = (MATCH_REDIS, MATCH_SQLITE, FIRST_REDIS, FIRST_SQLITE, *CREDIT, SCORE, UNSCORED, FEAST, MLFLOW)
FLOOR = 1.5
MOST_FOR_CREDIT = 3.0
"""Milliseconds of CPU."""

Windows = Mapping[str, Sequence[Window]]


def measure(runs: int) -> list[Row]:
    """All rows of this part."""
    with lineup.up(*NAMES) as found:
        lineup.demand_same(found)
        lineup.demand_unscored(found)
        for name in NAMES:
            found.window(name, WARM)
        windows: dict[str, list[Window]] = {name: [] for name in NAMES}
        scoring: list[float] = []
        stores: list[tuple[float, float]] = []
        for number in range(max(runs, ROUNDS)):
            for name in lineup.shuffled(list(NAMES), number):
                before = found.redis.spent()
                windows[name].append(found.window(name, SECONDS))
                if name == MATCH_REDIS:
                    stores.append(_each(before, found.redis.spent(), windows[name][-1].requests))
            scoring.append(_scoring())
    capacity.write(_measured(windows, stores))
    return [
        *(_against(name, peer, times, windows) for name, peer, times in _TARGETS),
        *(_first(name, windows) for name in (FIRST_REDIS, FIRST_SQLITE)),
        *(_credit(name, windows[name]) for name in CREDIT),
        _floor(windows, scoring),
        *(_seen(name, windows[name]) for name in NAMES),
        _generator(windows),
    ]


_TARGETS = ((MATCH_REDIS, FEAST, 30.0), (MATCH_SQLITE, FEAST, 50.0), (SCORE, MLFLOW, 12.0))
_NOTES = {
    FEAST: f"{CANDIDATES} candidates of a network, found, read, scored, calibrated and logged; 500 trees of 63 leaves over the "
    f"{len(SCHEMA_NUMBERS)} inputs that identity has; the peer reads the same features, makes the same evidence, and gives the same "
    f"answers, but finds no decision log to write; asked are {NETWORKS} networks again and again, whose rows our process remembers, "
    "and what of their inputs stands",
    MLFLOW: "20 rows of 40 features in the request, six of them categories; ours also calibrates",
}


def _against(name: str, peer: str, times: float, windows: Windows) -> Row:
    ours, theirs = ([each.cpu for each in windows[which]] for which in (name, peer))
    found = ratio(theirs, ours)
    return Row(
        f"{name}, requests per CPU second",
        f"{found.value:.0f} × {peer}",
        found.show(0),
        f"≥ {times:.0f} ×",
        verdict(met=found.value >= times),
        f"{_milliseconds(ours)} against {_milliseconds(theirs)} ms of CPU a request; {_NOTES[peer]}",
    )


def _first(name: str, windows: Windows) -> Row:
    """What it costs where no network was asked about since its people changed; no target is set for that."""
    ours, theirs = ([each.cpu for each in windows[which]] for which in (name, FEAST))
    found = ratio(theirs, ours)
    note = f"{_milliseconds(ours)} against {_milliseconds(theirs)} ms of CPU a request; the same questions, all read and compared anew"
    return Row(f"{name}, requests per CPU second", f"{found.value:.0f} × {FEAST}", found.show(0), note=note)


def _credit(name: str, windows: Sequence[Window]) -> Row:
    """What it costs to say which touches earned a conversion, by the policy and beside it by the ranker."""
    found = median_range([1e3 * each.cpu for each in windows])
    note = f"{TOUCHES} touches of a known person, ranked by 500 trees of 63 leaves; the same as by day, to the bit"
    return Row(
        f"{name}, CPU a request",
        f"{found.value:.2f} ms",
        found.show(),
        f"≤ {MOST_FOR_CREDIT:g} ms",
        verdict(met=found.value <= MOST_FOR_CREDIT),
        note,
    )


def _floor(windows: Windows, scoring: Sequence[float]) -> Row:
    whole = [each.cpu for each in windows[MATCH_SQLITE]]
    floor = [each.cpu + alone for each, alone in zip(windows[UNSCORED], scoring, strict=True)]
    found = ratio(whole, floor)
    return Row(
        "match from SQLite against the floor: itself without scoring, and the engine alone",
        f"{found.value:.2f} ×",
        found.show(),
        f"≤ {FLOOR} ×",
        verdict(met=found.value <= FLOOR),
        f"{_milliseconds(whole)} against {_milliseconds(floor)} ms, of which the engine takes {_milliseconds(scoring)}",
    )


def _seen(name: str, windows: Sequence[Window]) -> Row:
    rate = median_range([each.rate for each in windows])
    p99 = median_range([each.p99 for each in windows])
    return Row(
        f"{name}, one core, eight busy connections",
        f"{rate.value:.0f} requests a second",
        rate.show(0),
        note=f"p50 {median_range([each.p50 for each in windows]).value:.1f} ms, p99 {p99.value:.1f} ms, all connections waiting in turn",
    )


def _generator(windows: Windows) -> Row:
    """The load generator had time to spare in every window."""
    shares = Interval(0.0, 0.0, max(each.client_share for all_of in windows.values() for each in all_of))
    return Row(
        "the load generator, wrk, on the other core",
        f"{shares.high:.0%} of its core at most",
        target="≤ 50 %",
        verdict=verdict(met=shares.high <= 0.5),
        note="so that it is the server that is measured",
    )


def _scoring() -> float:
    """CPU seconds in which the engine alone scores the candidates of one request."""
    text, matrix = models.text("identity"), models.identity_rows(CANDIDATES, seed=8)
    engine = fastest(text, Trees(text))
    taken = []
    for _ in range(200):
        started = time.thread_time()
        engine.raw(matrix)
        taken.append(time.thread_time() - started)
    return float(np.median(taken))


def _each(before: tuple[float, float], after: tuple[float, float], requests: int) -> tuple[float, float]:
    """What Redis spent on one request: CPU seconds, and bytes sent."""
    return (after[0] - before[0]) / requests, (after[1] - before[1]) / requests


def _measured(windows: Windows, stores: Sequence[tuple[float, float]]) -> capacity.Measured:
    def middle(name: str) -> float:
        return median_range([each.cpu for each in windows[name]]).value

    facts = about("python -m infra.bench_serving --only requests")
    return capacity.Measured(
        f"Measured {facts['at']} on a core of {facts['cpu']}, {len(stores)} rounds.",
        redis=middle(MATCH_REDIS),
        redis_store=median_range([cpu for cpu, _ in stores]).value,
        redis_bytes=median_range([sent for _, sent in stores]).value,
        sqlite=middle(MATCH_SQLITE),
        score=middle(SCORE),
    )


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{median_range(seconds).value * 1e3:.2f}"
