"""When a day is calm, when it wants a look, and when the models want retraining."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring import checks
from monitoring.checks import Check
from monitoring.findings import CALM, RETRAIN, WARN, Finding, Past, clean_days, judge, to_arrow


def nulls(share: float, rows: int = 1000, *, table: str = "touches", column: str = "cookie_id") -> Check:
    return checks.share(table, "null_share", column, round(share * rows), rows)


def days(*measured: Check, bundles: dict[str, str] | None = None) -> list[Past]:
    return [Past(f"2026-05-{i:02d}", [check], [], bundles or {}) for i, check in enumerate(measured, start=1)]


def alarmed(day: str, check: Check, bundles: dict[str, str]) -> Past:
    return Past(day, [check], [Finding(check.model, RETRAIN, check.metric, check.segment, "…")], bundles)


def levels(today: Check, past: list[Past]) -> list[str]:
    return [finding.level for finding in judge([today], past, {})]


CALM_WEEK = days(*(nulls(0.40 + 0.01 * (i % 3)) for i in range(7)))


def test_a_day_like_the_days_before_is_calm_and_says_so() -> None:
    (only,) = judge([nulls(0.41)], CALM_WEEK, {})
    assert (only.model, only.level) == ("touches", CALM)
    assert "7 clean days" in only.reason


def test_gross_harm_asks_for_retraining_on_its_first_day() -> None:
    (only,) = judge([nulls(0.92)], CALM_WEEK, {})
    assert only.level == RETRAIN
    assert "expected about 0.41" in only.reason
    assert "0.92" in only.reason
    assert "1,000 rows" in only.reason


def test_lesser_harm_is_a_warning_and_the_third_day_of_it_asks_for_retraining() -> None:
    past = list(CALM_WEEK)
    seen = []
    for day in ("2026-05-08", "2026-05-09", "2026-05-10"):
        found = judge([nulls(0.62)], past, {})
        seen.append(found[0].level)
        past.append(Past(day, [nulls(0.62)], found, {}))
    assert seen == [WARN, WARN, RETRAIN]


def test_fewer_nulls_are_no_harm() -> None:
    assert levels(nulls(0.0), CALM_WEEK) == [CALM]


def test_the_same_gap_on_ten_rows_is_not_believed() -> None:
    assert levels(nulls(0.7, rows=10), CALM_WEEK) == [CALM]


def test_nothing_is_expected_of_the_first_days() -> None:
    assert levels(nulls(1.0), days(nulls(0.4))) == [CALM]
    assert levels(nulls(1.0), days(nulls(0.4), nulls(0.4))) == [RETRAIN]


def test_a_channel_that_falls_silent_is_told_at_once() -> None:
    rows = [checks.count("touches", "rows", "channel=social", 500 + 20 * (i % 3)) for i in range(6)]
    assert levels(checks.count("touches", "rows", "channel=social", 0), days(*rows)) == [WARN]
    assert levels(checks.count("touches", "rows", "channel=social", 480), days(*rows)) == [CALM]


def test_a_channel_that_never_spoke_may_stay_silent() -> None:
    rows = [checks.count("touches", "rows", "channel=video", 0) for _ in range(5)]
    assert levels(checks.count("touches", "rows", "channel=video", 0), days(*rows)) == [CALM]


def test_money_that_jumps_by_two_powers_of_ten_is_told() -> None:
    def amount(level: float, rows: int = 200) -> Check:
        return checks.mean("conversions", "log10_amount", "value_micros:source=pixel", level, 0.4, rows)

    past = days(*(amount(7.4 + 0.02 * i) for i in range(6)))
    assert levels(amount(9.4), past) == [WARN]
    assert levels(amount(7.5), past) == [CALM]
    few = Check("conversions", "log10_amount", "value_micros:source=pixel", 8.2, 8.15, 8.25, 3)
    assert levels(few, past) == [CALM], "three alike rows do not know their own spread"


@pytest.mark.parametrize(
    ("low", "high", "level"),
    [(0.9, 1.1, CALM), (0.5, 1.2, CALM), (1.4, 1.8, WARN), (0.2, 0.6, WARN), (2.1, 3.0, RETRAIN), (0.0, 0.4, RETRAIN)],
)
def test_calibration_is_judged_by_the_near_end_of_its_interval(low: float, high: float, level: str) -> None:
    today = Check("conversion-value", "observed_over_expected", "all", (low + high) / 2, low, high, 500)
    assert levels(today, []) == [level]


def test_a_day_that_asked_for_retraining_is_no_norm_until_a_new_champion_knows_it() -> None:
    old, new = {"identity-ranker": "aaa"}, {"identity-ranker": "bbb"}
    past = [*days(*(nulls(0.4) for _ in range(5)), bundles=old), *(alarmed(f"2026-05-0{d}", nulls(0.9), old) for d in (6, 7))]
    assert [day.day for day in clean_days(past, old)] == [f"2026-05-0{d}" for d in range(1, 6)]
    assert [day.day for day in clean_days(past, new)] == ["2026-05-06", "2026-05-07"]
    assert judge([nulls(0.9)], past, old)[0].level == RETRAIN
    assert judge([nulls(0.9)], past, new)[0].level == CALM


def test_a_measure_without_a_value_says_nothing() -> None:
    assert levels(checks.share("touches", "null_share", "cookie_id", 0, 0), CALM_WEEK) == [CALM]
    assert levels(Check("touches", "null_share", "cookie_id", float("nan"), None, None, 5), CALM_WEEK) == [CALM]


def test_the_worst_comes_first_and_each_calm_subject_has_one_row() -> None:
    past = [
        Past(f"2026-05-0{d}", [nulls(0.4), nulls(0.1, table="sightings"), nulls(0.4, column="device_id")], [], {})
        for d in range(1, 7)
    ]
    found = judge([nulls(0.1, table="sightings"), nulls(0.62), nulls(0.95, column="device_id")], past, {})
    assert [(f.model, f.level) for f in found] == [("touches", RETRAIN), ("touches", WARN), ("sightings", CALM)]
    assert to_arrow("2026-05-07", found).num_rows == 3


def test_clean_days_stay_calm() -> None:
    """200 days of 30 series without any change: not one false alarm."""
    generator = np.random.default_rng(7)
    rates = generator.uniform(0.02, 0.98, 30)
    past: list[Past] = []
    alarms = 0
    for day in range(200):
        wobble = generator.normal(0, 0.01, 30)
        rows = [int(generator.poisson(800)) for _ in rates]
        today = [
            checks.share("touches", "null_share", f"c{i}", int(generator.binomial(n, min(max(rate + wobble[i], 0), 1))), n)
            for i, (rate, n) in enumerate(zip(rates, rows, strict=True))
        ] + [checks.count("touches", "rows", f"channel=c{i}", n) for i, n in enumerate(rows)]
        alarms += sum(finding.level != CALM for finding in judge(today, past[-14:], {}))
        past.append(Past(f"{day:03d}", today, [], {}))
    assert alarms == 0


def test_a_source_that_stopped_early_is_told_unless_its_rows_are_few() -> None:
    def last(hours: float, rows: int) -> list[str]:
        return levels(checks.plain("touches", "hours_since_last", "all", hours, rows), [])

    assert last(8.0, 5000) == [WARN]
    assert last(8.0, 10) == [CALM]
    assert last(0.1, 5000) == [CALM]
