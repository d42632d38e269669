"""Drift on summaries: against Evidently's preset in CPU time and in verdicts, and ten million rows of a hundred columns in memory."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from infra.bench_monitoring.frames import TEXTS, table
from infra.benching import Row, Runs, interleaved, median_range, ratio, verdict
from monitoring.summaries.verdicts import judge
from whence.summaries import merge_all, summarise
from whence.summaries.frame import Summaries

SHARED_ROWS = 100_000
"""At a million rows Evidently's preset takes minutes, and so both are timed on these."""
MILLION = 1_000_000
TARGET = 20.0
MEMORY_MB = 2048
"""The tables' memory limit of the settings."""
CHUNK = 250_000
LARGE_ROWS, LARGE_COLUMNS = 10_000_000, 100

Change = Callable[[pd.DataFrame, np.random.Generator], None]


def measure(runs: int) -> list[Row]:
    """CPU time against Evidently, verdicts against Evidently, memory."""
    jobs = {"evidently": partial(evidently_seconds, SHARED_ROWS), "ours": partial(our_seconds, SHARED_ROWS)}
    timed = interleaved(jobs, min(runs, 3))
    return [*_speed(timed), *_verdicts(), *_memory()]


def our_seconds(rows: int) -> float:
    """CPU seconds of both summaries and the verdicts."""
    reference, today = table(1, rows), table(2, rows)
    judge(summarise(table(3, 1000)), summarise(table(4, 1000)))
    started = time.process_time()
    judge(summarise(today), summarise(reference))
    return time.process_time() - started


def evidently_seconds(rows: int) -> float:
    """CPU seconds of the preset, its imports left out; no page is drawn."""
    reference, today = table(1, rows), table(2, rows)
    evidently_verdicts(table(3, 1000), table(4, 1000))
    started = time.process_time()
    evidently_verdicts(today, reference)
    return time.process_time() - started


def evidently_verdicts(today: pd.DataFrame, reference: pd.DataFrame) -> dict[str, bool]:
    """Which columns the preset calls drifted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import Report
        from evidently.presets import DataDriftPreset

        report = Report([DataDriftPreset()]).run(today, reference)
        found = {}
        for result in report.metric_results.values():
            about = result.metric_value_location.metric.params
            if about["type"].endswith(":ValueDrift"):
                is_p = "p_value" in str(about.get("method"))
                value, limit = float(result.value), float(about["threshold"])
                found[str(about["column"])] = value < limit if is_p else value >= limit
    return found


def _speed(timed: dict[str, Runs]) -> Iterator[Row]:
    ours, theirs = timed["ours"].answers, timed["evidently"].answers
    faster = ratio(theirs, ours)
    what = f"CPU time of Evidently's DataDriftPreset over ours, {SHARED_ROWS:,} rows × 30 columns on both sides"
    note = f"theirs {median_range(theirs).value:.2f} s, ours {median_range(ours).value:.3f} s, in fresh processes in turn, without imports"
    yield Row(what, f"{faster.value:.0f}×", faster.show(0), f"≥ {TARGET:.0f}×", verdict(met=faster.low >= TARGET), note)
    alone = interleaved({"ours": partial(our_seconds, MILLION)}, 3)["ours"].answers
    spread = median_range(alone)
    yield Row(f"ours, {MILLION:,} rows × 30 columns on both sides", f"{spread.value:.2f} CPU s", spread.show())


def _verdicts() -> Iterator[Row]:
    """Cases where Evidently is right, and cases that it cannot see."""
    seeing = list(_compared(CASES))
    for name, column, ours, theirs, expected in seeing:
        told = f"ours {_said(ours)}, Evidently {_said(theirs)}"
        yield Row(name, told, target=f"both {_said(expected)}", verdict=verdict(met=ours == theirs == expected), note=column)
    for name, column, ours, theirs, _ in _compared(BLIND):
        told = f"ours {_said(ours)}, Evidently {_said(theirs)}"
        yield Row(name, told, target="ours drifted", verdict=verdict(met=ours), note=column)


def _compared(cases: dict[str, tuple[str, bool, Change]]) -> Iterator[tuple[str, str, bool, bool, bool]]:
    reference = table(1, 10_000)
    for name, (column, expected, change) in cases.items():
        today = table(2, 10_000)
        change(today, np.random.default_rng(5))
        ours = {each.column: each.is_red for each in judge(summarise(today), summarise(reference))}
        theirs = evidently_verdicts(today, reference)
        others = [each for each in ours if each != column and ours[each]]
        yield (
            name,
            column if not others else f"{column}; red besides: {', '.join(others)}",
            ours[column],
            theirs[column],
            expected,
        )


def _said(is_drift: bool) -> str:
    return "drifted" if is_drift else "calm"


def _set(column: str, make: Callable[[pd.Series, np.random.Generator], object]) -> Change:
    def change(frame: pd.DataFrame, rng: np.random.Generator) -> None:
        frame[column] = make(frame[column], rng)

    return change


CASES: dict[str, tuple[str, bool, Change]] = {
    "nothing changed, normal": ("number_0", False, lambda frame, rng: None),
    "nothing changed, log-normal": ("number_1", False, lambda frame, rng: None),
    "nothing changed, counts": ("number_2", False, lambda frame, rng: None),
    "nothing changed, text": ("text_4", False, lambda frame, rng: None),
    "mean moved by half a deviation": ("number_0", True, _set("number_0", lambda x, _: x + 1.5)),
    "mean moved by a fifth of a deviation": ("number_0", True, _set("number_0", lambda x, _: x + 0.6)),
    "spread doubled": ("number_0", True, _set("number_0", lambda x, _: 10 + 2 * (x - 10))),
    "units times a hundred": ("number_1", True, _set("number_1", lambda x, _: x * 100)),
    "counts grew by a half": ("number_2", True, _set("number_2", lambda x, rng: rng.poisson(4.5, len(x)).astype(float))),
    "one text in three became another": (
        "text_2",
        True,
        _set("text_2", lambda x, rng: x.where(rng.random(len(x)) > 1 / 3, "value_8")),
    ),
    "a new text in one row of five": ("text_2", True, _set("text_2", lambda x, rng: x.where(rng.random(len(x)) > 0.2, "new"))),
}
BLIND: dict[str, tuple[str, bool, Change]] = {
    "30 % nulls in a number": ("number_0", True, _set("number_0", lambda x, rng: x.where(rng.random(len(x)) > 0.3))),
    "30 % nulls in a text": ("text_3", True, _set("text_3", lambda x, rng: x.where(rng.random(len(x)) > 0.3))),
    "1 % infinities": ("number_0", True, _set("number_0", lambda x, rng: x.where(rng.random(len(x)) > 0.01, np.inf))),
    "a zero-filled column": ("number_0", True, _set("number_0", lambda x, _: x * 0)),
    "15 % zeros": ("number_0", True, _set("number_0", lambda x, rng: x.where(rng.random(len(x)) > 0.15, 0.0))),
}


def _memory() -> Iterator[Row]:
    runs = interleaved({"large": partial(large, LARGE_ROWS, LARGE_COLUMNS)}, 1)["large"]
    seconds, verdicts = runs.answers[0]
    what = f"{LARGE_ROWS:,} rows × {LARGE_COLUMNS} columns in chunks of {CHUNK:,}, peak memory"
    note = f"{seconds:.0f} CPU s without making the rows; {verdicts} columns judged against the first chunk"
    yield Row(
        what, f"{runs.peak_mb[0]:.0f} MB", target=f"< {MEMORY_MB} MB", verdict=verdict(met=runs.peak_mb[0] < MEMORY_MB), note=note
    )


def large(rows: int, columns: int) -> tuple[float, int]:
    """CPU seconds that summing up takes, and how many columns have a verdict."""
    spent = [0.0]
    first: list[Summaries] = []

    def parts() -> Iterator[Summaries]:
        for chunk in range(rows // CHUNK):
            made = table(chunk, CHUNK, columns - TEXTS)
            started = time.process_time()
            part = summarise(made)
            spent[0] += time.process_time() - started
            first.extend([part] if not first else [])
            yield part

    whole = merge_all(parts())
    assert all(each.rows == rows for each in whole.values())
    return spent[0], len(judge(whole, first[0]))
