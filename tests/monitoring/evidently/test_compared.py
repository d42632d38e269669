"""Drift by column: what chance explains, and what Evidently dies of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring import drift
from monitoring.drift import Column
from monitoring.evidently.compared import compare

pytestmark = pytest.mark.service

MOMENT = datetime(2026, 5, 2, tzinfo=UTC)


def inputs(seed: int, rows: int = 2000, *, shift: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": generator.normal(shift, 1, rows),
            "count": generator.integers(0, 5, rows).astype(float),
            "channel": generator.choice(["search", "social", None], rows),
        }
    ).astype("object")


def two_days(reference: pd.DataFrame) -> pd.Series:
    return pd.Series(["2026-04-30", "2026-05-01"] * (len(reference) // 2), index=reference.index)


def comparable(today: pd.DataFrame, reference: pd.DataFrame, subjects: int | None = None) -> list[Column]:
    n = subjects or len(today)
    return drift.comparable(today, reference, two_days(reference), (n, n), 7)


def compared(today: pd.DataFrame, reference: pd.DataFrame) -> dict[str, bool]:
    columns = comparable(today, reference)
    found = compare(today, reference, columns, MOMENT)
    return {each.column.name: each.is_drifted for each in found.comparisons} if found else {}


def test_two_samples_of_one_world_have_not_drifted_and_a_shift_has() -> None:
    assert compared(inputs(1), inputs(2)) == {"age": False, "count": False, "channel": False}
    assert compared(inputs(1, shift=1.0), inputs(2)) == {"age": True, "count": False, "channel": False}


def test_few_rows_raise_the_bar_instead_of_the_alarm() -> None:
    few, many = (comparable(inputs(1, n), inputs(2, n))[0].threshold for n in (200, 5000))
    assert few > 0.15 > many == drift.LEAST_PSI
    assert not any(drifted for seed in range(3) for drifted in compared(inputs(seed, 200), inputs(seed + 100, 200)).values())


def test_rows_of_one_subject_count_once() -> None:
    alone, together = (comparable(inputs(1), inputs(2), n)[0].threshold for n in (2000, 60))
    assert together > 2 * alone


def campaigns(seed: int, days: int) -> pd.DataFrame:
    """A feature of the campaign: eight values a day, others the next day."""
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {"click_rate": np.concatenate([generator.choice(generator.normal(0.1, 0.01, 8), 400) for _ in range(days)])}
    )


def test_a_column_must_be_further_away_than_clean_days_are_from_each_other() -> None:
    reference, days = campaigns(1, 3), pd.Series(np.repeat(["a", "b", "c"], 400))
    today = campaigns(9, 1)
    (column,) = drift.comparable(today, reference, days, (400, 1200), 7)
    found = compare(today, reference, [column], MOMENT)
    assert found is not None
    assert found.comparisons[0].psi > 1
    assert not found.comparisons[0].is_drifted


def test_one_day_is_no_reference() -> None:
    assert drift.comparable(inputs(1), inputs(2), pd.Series(["a"] * 2000), (2000, 2000), 7) == []


DIRT = {
    "all null": [None] * 200,
    "mostly null": [None] * 180 + [1.0] * 20,
    "all infinite": [np.inf] * 200,
    "text in numbers": [1.0, "a"] * 100,
    "constant": [3.0] * 200,
    "huge": [1e300, -1e300] * 100,
    "truth values": [True, False] * 100,
    "one infinite": [np.inf] + [1.0, 2.0] * 99 + [1.0],
}


@pytest.mark.parametrize("dirt", list(DIRT.values()), ids=list(DIRT))
@pytest.mark.parametrize("where", ["today", "reference", "both"])
def test_a_dirty_column_never_takes_the_others_with_it(dirt: list[Any], where: str) -> None:
    today, reference = inputs(1, 200), inputs(2, 200)
    today["dirty"] = dirt if where != "reference" else [1.0, 2.0] * 100
    reference["dirty"] = dirt if where != "today" else [1.0, 2.0] * 100
    assert {"age", "count", "channel"} <= set(compared(today, reference))


def test_a_column_at_which_evidently_raises_is_told_and_the_others_are_compared() -> None:
    today, reference = inputs(1), inputs(2)
    columns = [Column("age", True, 0.1), Column("channel", True, 0.1), Column("missing", False, 0.1)]
    found = compare(today, reference, columns, MOMENT)
    assert found is not None
    assert [(each.column.name, each.psi is None) for each in found.comparisons] == [
        ("age", False),
        ("channel", True),
        ("missing", True),
    ]
    told = {(c.metric, c.segment): c.value for c in drift.failures("m", found.comparisons, 2000)}
    assert told["drift_failed", "missing"] == 1.0
    assert found.report is not None


def test_our_psi_is_evidently_s() -> None:
    today, reference = inputs(1, shift=0.5), inputs(2)
    now, then = today["count"].astype(float), reference["count"].astype(float)
    mine = drift.psi(*(side.value_counts(normalize=True).reindex(range(5), fill_value=0).to_numpy() for side in (now, then)))
    found = compare(today, reference, [Column("count", True, 0.1)], MOMENT)
    assert found is not None
    assert found.comparisons[0].psi == pytest.approx(float(mine))
