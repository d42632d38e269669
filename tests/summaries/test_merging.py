"""Summaries of parts, merged, are the summary of the whole, whatever is in a column."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from whence.summaries import from_rows, merge_all, summarise, summarise_batch, to_rows
from whence.summaries.column import KINDS, Summary
from whence.summaries.distinct import K
from whence.summaries.histogram import MOST
from whence.summaries.vectors import LENGTH, NORM, names

ROWS = 6000


@pytest.fixture(scope="module")
def month() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    texts = np.array(["a", "b", None, "d"], dtype=object)
    odd: list[Any] = [1, "a", True, None, [1], 2.5, datetime(2026, 5, 1, tzinfo=UTC)]
    return pd.DataFrame(
        {
            "normal": rng.normal(size=ROWS),
            "far": 1e9 + rng.normal(size=ROWS),
            "whole": rng.integers(-3, 4, ROWS),
            "gaps": np.where(rng.random(ROWS) < 0.3, np.nan, rng.lognormal(size=ROWS)),
            "endless": np.where(rng.random(ROWS) < 0.3, -np.inf, rng.normal(size=ROWS)),
            "word": rng.choice(texts, ROWS),
            "name": [f"id{each}" for each in rng.integers(0, 5000, ROWS)],
            "anything": pd.Series([odd[each] for each in rng.integers(0, len(odd), ROWS)], dtype=object),
        }
    )


def test_a_month_is_exactly_the_merge_of_its_days_in_any_order(month: pd.DataFrame) -> None:
    ends = [0, 1, 40, 41, 3000, ROWS]
    days = [summarise(month.iloc[first:last]) for first, last in pairwise(ends)]
    assert merge_all(days) == summarise(month)
    assert merge_all(days[::-1]) == summarise(month)


@pytest.mark.parametrize("seed", range(5))
def test_days_of_any_spread_merge_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = [pd.DataFrame({"x": rng.normal(10.0 ** rng.integers(0, 9), 10.0 ** rng.integers(-3, 3), 700)}) for _ in range(4)]
    whole = summarise(pd.concat(days, ignore_index=True))
    assert merge_all(summarise(day) for day in days) == whole
    assert merge_all([merge_all(map(summarise, days[:2])), merge_all(map(summarise, days[2:]))]) == whole


def test_arrow_and_pandas_columns_are_summed_up_alike(month: pd.DataFrame) -> None:
    plain = month.drop(columns="anything")
    assert summarise_batch(pa.Table.from_pandas(plain)) == summarise(plain)


def test_rows_of_the_table_give_the_summaries_back(month: pd.DataFrame) -> None:
    whole = summarise(month)
    assert from_rows(to_rows(whole, day="2026-05-01", model="m", bundle="b")) == {("2026-05-01", "m", "b"): whole}


def test_no_column_has_more_than_its_buckets_and_each_row_is_counted_once(month: pd.DataFrame) -> None:
    for each in summarise(month).values():
        assert max(len(each.spread.buckets), len(each.words.buckets)) <= MOST
        assert each.nulls + sum(getattr(each, kind) for kind in KINDS) == each.rows == ROWS
        assert each.spread.total + each.infinite + each.words.total == each.held - each.vectors


def test_different_values_are_counted_exactly_while_they_are_few_and_nearly_when_they_are_many(month: pd.DataFrame) -> None:
    found = summarise(month)
    assert found["whole"].distinct == 7
    assert found["word"].distinct == 3
    truth = month["name"].nunique()
    assert abs(found["name"].distinct / truth - 1) < 4 / np.sqrt(K)


def test_values_far_from_zero_are_told_apart(month: pd.DataFrame) -> None:
    far = summarise(month)["far"].spread
    assert len(far.buckets) > MOST / 4


def test_a_column_that_a_day_lacks_counts_as_null_there() -> None:
    whole = merge_all([summarise(pd.DataFrame({"x": [1.0, 2.0]})), summarise(pd.DataFrame({"y": ["a"]}))])
    assert (whole["x"].rows, whole["x"].nulls) == (3, 1)
    assert (whole["y"].rows, whole["y"].nulls) == (3, 2)


def test_zero_and_minus_zero_are_one_value() -> None:
    found = summarise(pd.DataFrame({"x": [0.0, -0.0]}))["x"]
    assert (found.zeros, found.distinct) == (2, 1.0)


def test_nothing_is_a_summary_too() -> None:
    assert summarise(pd.DataFrame({"x": pd.Series([], dtype=object)})) == {"x": Summary()}


def test_vectors_merge_exactly_whatever_their_lengths_and_whatever_they_lack(embedded: pd.DataFrame) -> None:
    days = [summarise(embedded.iloc[first:last]) for first, last in pairwise([0, 1, 40, 41, len(embedded)])]
    whole = summarise(embedded)
    assert merge_all(days) == merge_all(days[::-1]) == whole
    assert summarise_batch(pa.table({"v": pa.array(embedded["v"], pa.list_(pa.float64()))})) == whole
    assert from_rows(to_rows(whole, day="2026-05-01", model="m")) == {("2026-05-01", "m", ""): whole}


def test_vectors_are_told_by_their_lengths_norms_and_places_along_directions(embedded: pd.DataFrame) -> None:
    found = summarise(embedded)["v"]
    assert (found.rows, found.nulls, found.vectors, found.others) == (406, 2, 403, 1)
    assert (found.infinite, found.zeros, found.lacking) == (1, 1, 1)
    assert set(found.parts) == {LENGTH, NORM, *names()}
    assert (found.parts[LENGTH].low, found.parts[LENGTH].high, found.parts[NORM].low) == (3, 16, 0)


def test_a_summary_of_long_vectors_is_as_large_as_one_of_short_ones() -> None:
    rng = np.random.default_rng(7)
    sizes = [to_rows(summarise(_vectors(rng, 700, length)), day="2026-05-01", model="m").nbytes for length in (8, 256)]
    assert sizes[1] < 1.05 * sizes[0] < 110_000


@pytest.fixture(scope="module")
def embedded() -> pd.DataFrame:
    """Vectors of 16 numbers, and among them a short one, zeros, one that lacks a number, an infinite one, an empty one, and two nulls."""
    odd: list[Any] = [[1.0, 2.0, 2.0], [0.0] * 16, [1.0] * 15 + [None], [np.inf] + [1.0] * 15, [], None, None]
    rows = _vectors(np.random.default_rng(7), 399, 16)
    return pd.DataFrame({"v": pd.Series([*rows["v"].iloc[:100], *odd, *rows["v"].iloc[100:]], dtype=object)})


def _vectors(rng: np.random.Generator, rows: int, length: int) -> pd.DataFrame:
    return pd.DataFrame({"v": list(rng.normal(size=(rows, length)))})


def test_rows_of_before_vectors_were_told_apart_are_read(month: pd.DataFrame) -> None:
    plain = summarise(month.drop(columns="anything"))
    old = to_rows(plain, day="2026-05-01", model="m").drop_columns(["part", "vectors"])
    assert from_rows(old) == {("2026-05-01", "m", ""): plain}
