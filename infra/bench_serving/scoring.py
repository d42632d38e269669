"""Rows of pure scoring, one thread: the engine that a bundle gets against LightGBM, in turn, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.bench_serving import models
from infra.benching import Row, median_range, ratio, verdict
from whence.trees import Engine, Trees, fastest
from whence.trees.engines import is_same

Floats = npt.NDArray[np.float64]

KINDS = ("numeric", "categorical")
COUNTS = (1, 20, 50, 100, 500)
JUDGED = 100
ROUNDS = 15
"""Of each timed comparison, at least: they are short."""
SECONDS = 0.05
"""For which each side runs in a round."""
COMPARED = 20_000
LOADING = 0.3
"""Seconds that reading and proving an engine may add to the load of a bundle."""


def measure(runs: int) -> list[Row]:
    """All rows of this part."""
    return [row for kind in KINDS for row in _of(kind, max(runs, ROUNDS))]


def _of(kind: str, rounds: int) -> list[Row]:
    import lightgbm

    text = models.text(kind)
    judge, booster = Trees(text), lightgbm.Booster(model_str=text)
    engine, loading = fastest(text, judge), []
    for _ in range(5):
        loading.append(_seconds(lambda: fastest(text, judge)))
    rows = [_speed(kind, count, engine, booster, rounds) for count in COUNTS]
    return [*rows, _bits(kind, engine, booster), _load(kind, loading)]


def _speed(kind: str, count: int, engine: Engine, booster: Any, rounds: int) -> Row:
    matrix = models.rows(count, seed=count)
    ours, theirs = in_turn(lambda: engine.raw(matrix), lambda: booster.predict(matrix, raw_score=True, num_threads=1), rounds)
    found = ratio(theirs, ours)
    least = 4.0 if has_avx512() else 1.8
    return Row(
        f"{kind} model, {count} row{'s' if count > 1 else ''}",
        f"{found.value:.1f} × Booster.predict",
        found.show(1),
        f"≥ {least} ×" if count == JUDGED else "",
        verdict(met=found.value >= least) if count == JUDGED else "-",
        f"{median_range(ours).value * 1e6:.0f} against {median_range(theirs).value * 1e6:.0f} µs by {engine.engine}",
    )


def _bits(kind: str, engine: Engine, booster: Any) -> Row:
    matrix = models.rows(COMPARED, seed=99)
    other = sum(
        not is_same(
            engine.raw(matrix[place : place + 50]), booster.predict(matrix[place : place + 50], raw_score=True, num_threads=1)
        )
        for place in range(0, COMPARED, 50)
    )
    return Row(
        f"{kind} model, {COMPARED:,} rows by fifties",
        f"{other} of {COMPARED // 50} requests differ in a bit",
        target="0",
        verdict=verdict(met=other == 0),
    )


def _load(kind: str, seconds: Sequence[float]) -> Row:
    found = median_range(seconds)
    return Row(
        f"{kind} model, choosing and proving the engine",
        f"{found.value:.2f} CPU seconds",
        found.show(),
        f"≤ {LOADING}",
        verdict(met=found.value <= LOADING),
        "once in the process that serves, once before in the child that tries the bundle",
    )


def in_turn(one: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[list[float], list[float]]:
    """CPU seconds a call of each, round by round; each round takes them in the other order than the last."""
    both = (one, other)
    calls = [max(1, round(SECONDS / max(_seconds(call), 1e-6))) for call in both]
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            found[place].append(_seconds(both[place], calls[place]))
    return found


def _seconds(call: Callable[[], Any], times: int = 1) -> float:
    """CPU seconds of this thread for a call."""
    started = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - started) / times


def has_avx512() -> bool:
    """Whether this processor has the vectors for which the target is higher."""
    known = Path("/proc/cpuinfo")
    return known.exists() and "avx512bw" in known.read_text()
