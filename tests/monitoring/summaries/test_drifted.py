"""A day's inputs and scores against what the model learned from: what is missing or new, and what moved further than clean days do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.summaries.drifted import drift_checks, input_checks
from whence.summaries import merge_all, summarise
from whence.summaries.frame import Summaries


def told(values: list[Any], reference: list[Any]) -> dict[str, float | None]:
    now, then = (summarise(pd.DataFrame({"x": pd.Series(side, dtype=object)})) for side in (values, reference))
    return {check.metric: check.value for check in input_checks("m", now, then)}


@pytest.mark.parametrize(
    ("values", "metric", "share"),
    [
        ([None, 1.0, 2.0, None], "null_share", 0.5),
        ([None] * 4, "null_share", 1.0),
        ([np.inf, -np.inf, 1.0, 2.0], "infinite_share", 0.5),
        ([0, 0.0, 1, 2], "zero_share", 0.5),
    ],
    ids=("some null", "all null", "infinite", "zero"),
)
def test_dirty_numbers_are_seen(values: list[Any], metric: str, share: float) -> None:
    assert told(values, [1.0, 2.0])[metric] == share


def test_a_category_that_nothing_before_had_is_seen() -> None:
    assert told(["a", "b", "z", "z"], ["a", "b"])["unseen_share"] == 0.5


def test_an_input_that_is_gone_counts_as_null() -> None:
    now, then = summarise(pd.DataFrame({"x": [1.0, 2.0]})), summarise(pd.DataFrame({"x": [1.0], "y": [1.0]}))
    assert {(c.metric, c.segment): c.value for c in input_checks("m", now, then)}["null_share", "y"] == 1.0


def day(seed: int, *, shift: float = 0.0, rows: int = 800, subjects: int = 800) -> Summaries:
    """A day whose campaigns have a click rate each, another one every day; `age` is of the same people on all days."""
    rng = np.random.default_rng(seed)
    made = {
        "age": rng.normal(40 + shift, 9, rows),
        "click_rate": rng.choice(rng.normal(0.1, 0.01, 8), rows),
        "channel": rng.choice(["search", "social", None], rows),
        "subject": [f"s{each % subjects}" for each in range(rows)],
        "score": rng.normal(0, 1, rows),
    }
    return summarise(pd.DataFrame(made))


CLEAN = [day(seed) for seed in range(1, 4)]
LEARNED = merge_all([day(seed, shift=3) for seed in range(10, 13)])
"""Rows with labels: of older people than those that are decided about, on every day."""


def drifted(now: Summaries, reference: Summaries | None = LEARNED, clean: list[Summaries] = CLEAN) -> float | None:
    found = {(c.metric, c.segment): c.value for c in drift_checks("m", now, reference, clean)}
    return found.get(("drifted_share", "inputs and score"))


def test_a_day_as_far_from_the_reference_as_clean_days_has_not_drifted() -> None:
    assert drifted(day(5)) == 0
    assert drifted(day(5), reference=None) == 0


def test_a_day_that_is_further_away_than_they_are_has() -> None:
    assert drifted(day(5, shift=-9)) == 0.25
    assert drifted(day(5, shift=-9), reference=None) == 0.25


def test_rows_of_one_subject_count_once() -> None:
    assert drifted(day(5, shift=-6, subjects=20), clean=[day(seed, subjects=20) for seed in range(1, 4)]) == 0


def test_one_clean_day_is_no_norm() -> None:
    assert drift_checks("m", day(5), LEARNED, CLEAN[:1]) == []
