"""Embeddings: what an encoder gives for texts about some topics, changed in the ways in which embeddings go wrong; and beside it Evidently."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.benching import Row, interleaved, median_range, ratio, verdict
from monitoring.summaries.verdicts import judge
from whence.summaries import summarise
from whence.summaries.frame import Summaries

Floats = npt.NDArray[np.float64]

LENGTH, TOPICS = 384, 12
ROWS, REFERENCE_ROWS = 5_000, 10_000
CLEAN = 100
SPREAD = 1.0


def encoded(seed: int, rows: int, encoder: int = 0, shares: Sequence[float] | None = None) -> Floats:
    """Rows of norm 1 about TOPICS topics, whose places are the encoder's own."""
    rng = np.random.default_rng([seed, rows])
    centres = np.random.default_rng(encoder).normal(size=(TOPICS, LENGTH))
    drawn = centres[rng.choice(TOPICS, rows, p=shares)] + rng.normal(0, SPREAD, size=(rows, LENGTH))
    return _of_norm_one(drawn)


def measure(runs: int) -> list[Row]:
    """Clean days, each change, and the CPU time, ours beside Evidently's."""
    return [*_clean(), *_changes(), *_speed(min(runs, 3))]


def _clean() -> Iterator[Row]:
    kept = _summed_up(encoded(1, REFERENCE_ROWS))
    red = sum(_is_red(_summed_up(encoded(100 + seed, 1000)), kept) for seed in range(CLEAN))
    yield Row(
        f"{CLEAN} clean days of 1,000 embeddings of {LENGTH} numbers each",
        f"{red} red",
        target="≤ 1 % red",
        verdict=verdict(met=red <= CLEAN / 100),
        note=f"against {REFERENCE_ROWS:,} of another day",
    )


def _changes() -> Iterator[Row]:
    reference = encoded(1, REFERENCE_ROWS)
    kept = _summed_up(reference)
    for name, (today, expected) in CASES.items():
        told, other = _is_red(_summed_up(today()), kept), evidently(today(), reference)
        figure = f"ours {_said(told)}, Evidently {_said(other)}"
        if expected is None:
            yield Row(name, figure, note="PSI 0.05 as a column of topics, where none counts as drifted below 0.1")
        else:
            yield Row(name, figure, target=f"ours {_said(expected)}", verdict=verdict(met=told == expected))


def _speed(runs: int) -> Iterator[Row]:
    timed = interleaved({"evidently": partial(evidently_seconds, ROWS), "ours": partial(our_seconds, ROWS)}, runs)
    ours, theirs = timed["ours"].answers, timed["evidently"].answers
    faster = ratio(theirs, ours)
    yield Row(
        f"CPU time of Evidently's ModelDriftMethod over ours, {ROWS:,} × {LENGTH} numbers on both sides",
        f"{faster.value:.1f}×",
        faster.show(1),
        note=f"theirs {median_range(theirs).value:.2f} s, ours {median_range(ours).value:.2f} s; of ours each day is summed up once",
    )


def evidently(today: Floats, reference: Floats) -> bool:
    """Whether Evidently's own method and threshold call it drift; what its metric draws beside, a t-SNE, is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.metrics.embeddings import ModelDriftMethod

        _, is_drift, _ = ModelDriftMethod()(pd.DataFrame(today), pd.DataFrame(reference))
    return bool(is_drift)


def our_seconds(rows: int) -> float:
    """CPU seconds of both summaries and the verdict."""
    today, reference = encoded(2, rows), encoded(1, rows)
    started = time.process_time()
    _is_red(_summed_up(today), _summed_up(reference))
    return time.process_time() - started


def evidently_seconds(rows: int) -> float:
    """CPU seconds of Evidently's method, its imports and its picture left out."""
    today, reference = encoded(2, rows), encoded(1, rows)
    evidently(encoded(3, 200), encoded(4, 200))
    started = time.process_time()
    evidently(today, reference)
    return time.process_time() - started


def _summed_up(rows: Floats) -> Summaries:
    return summarise(pd.DataFrame({"v": list(rows)}))


def _is_red(today: Summaries, reference: Summaries) -> bool:
    (found,) = judge(today, reference)
    return found.is_red


def _of_norm_one(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _turned(rows: Floats) -> Floats:
    return np.asarray(rows @ np.linalg.qr(np.random.default_rng(3).normal(size=(LENGTH, LENGTH)))[0])


def _moved(rows: Floats, far: float) -> Floats:
    way = np.random.default_rng(4).normal(size=LENGTH)
    return _of_norm_one(rows + far * way / np.linalg.norm(way))


def _mixed(rows: Floats) -> Floats:
    return np.asarray(rows[:, np.random.default_rng(5).permutation(LENGTH)])


def _zeroed(rows: Floats) -> Floats:
    return np.asarray(np.where(np.arange(len(rows))[:, None] % 5 == 0, 0.0, rows))


TWICE = [2 / (TOPICS + 1), *[1 / (TOPICS + 1)] * (TOPICS - 1)]
FIVEFOLD = [5 / (TOPICS + 4), *[1 / (TOPICS + 4)] * (TOPICS - 1)]
CASES: dict[str, tuple[Callable[[], Floats], bool | None]] = {
    "nothing changed": (lambda: encoded(2, ROWS), False),
    "the same in half precision": (lambda: encoded(2, ROWS).astype(np.float16).astype(np.float64), False),
    "turned in space": (lambda: _turned(encoded(2, ROWS)), True),
    "its numbers in another order": (lambda: _mixed(encoded(2, ROWS)), True),
    "another encoder of as many numbers": (lambda: encoded(2, ROWS, encoder=9), True),
    "moved by a tenth of their norm": (lambda: _moved(encoded(2, ROWS), 0.1), True),
    "moved by a third of their norm": (lambda: _moved(encoded(2, ROWS), 1 / 3), True),
    "one topic of twelve twice as often": (lambda: encoded(2, ROWS, shares=TWICE), None),
    "one topic of twelve five times as often": (lambda: encoded(2, ROWS, shares=FIVEFOLD), True),
    "one in five is zeros": (lambda: _zeroed(encoded(2, ROWS)), True),
    "no longer of norm 1": (lambda: 1.1 * encoded(2, ROWS), True),
}


def _said(is_drift: bool) -> str:
    return "drifted" if is_drift else "calm"
