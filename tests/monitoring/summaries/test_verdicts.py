"""A verdict on every column of any table: the dirty ones are red, the others calm, and chance is not called drift."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from infra.bench_monitoring.frames import ROWS, clean, dirty_tables
from monitoring.summaries.distances import distances
from monitoring.summaries.verdicts import look
from whence.summaries import summarise

DIRTY = dirty_tables()
EmbeddedRows = npt.NDArray[np.floating[Any]]


@pytest.mark.parametrize("name", list(DIRTY))
def test_a_dirty_table_has_a_verdict_on_every_column_and_the_dirty_ones_are_red(name: str) -> None:
    table, dirty = DIRTY[name]
    found = look(table, clean(seed=2))
    assert len(found) == len(table.columns)
    assert {each.column for each in found if each.is_red} == dirty


def test_another_sample_of_the_same_world_is_calm() -> None:
    assert not [each for seed in range(3, 9) for each in look(clean(seed), clean(seed=2)) if each.is_red]


def changed(**columns: object) -> dict[str, tuple[str, ...]]:
    found = look(clean(seed=3).assign(**columns), clean(seed=2))
    return {each.column: each.reasons for each in found if each.is_red}


def test_what_evidently_cannot_see_is_red() -> None:
    rng = np.random.default_rng(1)
    ages = clean(seed=3)["age"]
    assert changed(age=ages.where(rng.random(ROWS) > 0.3))["age"][0].endswith("% are nulls, and 0.0% were")
    assert changed(age=ages.where(rng.random(ROWS) > 0.01, np.inf))["age"][0].endswith("values are infinite")
    assert "every value is the same" in changed(age=ages * 0)["age"]


def test_a_move_is_told_on_each_scale_with_what_chance_explains() -> None:
    then = clean(seed=1)
    psi, carried = distances(summarise(then.assign(age=then["age"] + 6))["age"], summarise(then)["age"])
    assert psi.is_drift
    assert carried.value == pytest.approx(6 / np.hypot(then["age"].std(ddof=0), 3), rel=0.03)  # of the spread of both together
    assert carried.threshold == pytest.approx(3.89 * np.sqrt(2 / ROWS), rel=1e-3)


def test_a_column_that_is_gone_or_new_is_red() -> None:
    found = {each.column: each.is_red for each in look(clean().drop(columns="age").assign(more=1.5), clean())}
    assert found == {"channel": False, "dirty": False, "age": True, "more": True}


def test_new_values_are_told_beyond_those_that_a_sample_always_misses() -> None:
    rng = np.random.default_rng(1)
    rare = [pd.DataFrame({"x": [f"v{each}" for each in rng.zipf(1.7, ROWS)]}) for _ in range(2)]
    assert not look(*rare)[0].is_red
    assert changed(channel="radio")["channel"]


def embedded(seed: int, topics: int = 0) -> EmbeddedRows:
    """Sentences about six topics, by an encoder that gives vectors of norm 1; `topics` is another encoder's world."""
    centres, rng = np.random.default_rng(topics).normal(size=(6, 32)), np.random.default_rng([1, seed])
    rows = centres[rng.integers(0, 6, 600)] + rng.normal(size=(600, 32))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def moved(rows: EmbeddedRows) -> EmbeddedRows:
    away = rows + 0.3 * np.eye(32)[0]
    return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))


def turned(rows: EmbeddedRows) -> EmbeddedRows:
    return np.asarray(rows @ np.linalg.qr(np.random.default_rng(3).normal(size=(32, 32)))[0])


def vectors(rows: object) -> pd.DataFrame:
    return pd.DataFrame({"v": pd.Series(list(rows), dtype=object)})  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("rows", "is_red"),
    [
        (embedded(2), False),
        (embedded(2).astype(np.float32), False),
        (turned(embedded(2)), True),
        (moved(embedded(2)), True),
        (embedded(2, topics=9), True),
        (2 * embedded(2), True),
    ],
    ids=("another day", "in shorter floats", "turned", "mean moved", "another encoder", "no longer of norm 1"),
)
def test_a_column_of_embeddings_is_red_when_they_moved_and_calm_when_they_did_not(rows: EmbeddedRows, is_red: bool) -> None:
    (found,) = look(vectors(rows), vectors(embedded(1)))
    assert found.is_red is is_red, found.reasons


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ([[1.0, 2.0]], "vectors are of different lengths, 2 to 32 numbers"),
        ([[None, *[1.0] * 31], [np.nan] * 32], "2 of 600 vectors lack numbers"),
        ([[-np.inf] * 32], "1 of 600 values are infinite"),
        ([None] * 60, "10.0% are nulls, and 0.0% were"),
        ([[0.0] * 32] * 90, "15.0% are zeros, and 0.0% were"),
        ([["a", "b"]], "kinds are mixed: 599 vectors, 1 others"),
    ],
    ids=("lengths", "lacking", "infinite", "nulls", "zeros", "words"),
)
def test_dirty_embeddings_are_told(odd: list[object], told: str) -> None:
    (found,) = look(vectors([*odd, *embedded(2)[len(odd) :]]), vectors(embedded(1)))
    assert told in found.reasons
