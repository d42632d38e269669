"""When a day is calm, when it wants a look, what is behind it, what it asks for, and when its harm is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from monitoring import checks
from monitoring.checks import Check
from monitoring.findings import (
    CALM,
    CLOSED,
    OPEN,
    RECALIBRATE,
    RETRAIN,
    ROLLBACK,
    STOP,
    WARN,
    Finding,
    Past,
    Ripe,
    Today,
    by_day,
    clean_days,
    judge,
    to_arrow,
)

FIRST = date(2026, 5, 1)
MODEL = "conversion-value"


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


def nulls(share: float, rows: int = 1000, *, table: str = "touches", column: str = "cookie_id") -> Check:
    return checks.share(table, "null_share", column, round(share * rows), rows)


def rows(count: int, *, table: str = "touches", of: str = "all") -> Check:
    return checks.count(table, "rows", of, count)


def factor(value: float, events: int, *, metric: str = "observed_over_expected") -> Check:
    half = 1.96 / events**0.5
    return Check(MODEL, metric, "all", value, value * np.exp(-half), value * np.exp(half), 20 * events)


def days(*measured: Check | list[Check], ripe: dict[str, Ripe] | None = None) -> list[Past]:
    return [Past(str(on(i)), each if isinstance(each, list) else [each], (), {}, ripe or {}) for i, each in enumerate(measured)]


def look(
    past: list[Past], *today: Check, bundles: dict[str, str] | None = None, ripe: dict[str, Ripe] | None = None
) -> list[Finding]:
    return judge(Today(on(len(past)), today, bundles or {}, ripe or {}), past)


def levels(past: list[Past], *today: Check) -> list[str]:
    return [finding.level for finding in look(past, *today)]


def lived(past: list[Past], *measured: list[Check], ripe: dict[str, Ripe] | None = None) -> list[list[Finding]]:
    """Judge day after day; what is found on each."""
    past, told = list(past), []
    for each in measured:
        told.append(look(past, *each, ripe=ripe))
        past.append(Past(str(on(len(past))), each, told[-1], {}, ripe or {}))
    return told


CALM_WEEK = days(*(nulls(0.40 + 0.01 * (i % 3)) for i in range(7)))


def test_a_day_like_the_days_before_is_calm_and_says_so() -> None:
    (only,) = look(CALM_WEEK, nulls(0.41))
    assert (only.model, only.level, only.status) == ("touches", CALM, "")
    assert "7 clean days" in only.reason


def test_gross_harm_asks_for_retraining_on_its_first_day_and_shows_its_evidence() -> None:
    (only,) = look(CALM_WEEK, nulls(0.92))
    assert (only.level, only.status, only.since, only.runbook) == (RETRAIN, OPEN, "2026-05-08", "null_share")
    assert "expected about 0.41" in only.reason
    assert "1,000 rows" in only.reason
    (series,) = only.facts["series"]
    assert (series["expected"], series["came"], series["n"], series["days"]) == (pytest.approx(0.41), 0.92, 1000, 7)
    assert series["sigmas"] > 10
    assert series["p"] < 1e-5


def test_lesser_harm_is_a_warning_and_the_second_day_of_three_asks_for_retraining() -> None:
    seen = lived(CALM_WEEK, [nulls(0.62)], [nulls(0.41)], [nulls(0.62)])
    assert [found[0].level for found in seen] == [WARN, CALM, RETRAIN]


def test_what_is_too_little_for_one_day_is_told_on_the_second() -> None:
    seen = lived(CALM_WEEK, [nulls(0.53)], [nulls(0.53)])
    assert [found[0].level for found in seen] == [CALM, WARN]
    assert seen[1][0].facts["series"][0]["how"] == "two of three days"


def test_a_certain_change_that_harms_nobody_is_no_finding() -> None:
    past = days(*(nulls(0.4, rows=1_000_000) for _ in range(10)))
    assert levels(past, nulls(0.44, rows=1_000_000)) == [CALM]
    assert levels(past, nulls(0.0, rows=1_000_000)) == [CALM], "fewer nulls are no harm"


def test_the_same_gap_on_ten_rows_is_not_believed() -> None:
    assert levels(CALM_WEEK, nulls(0.7, rows=10)) == [CALM]


def test_nothing_is_expected_of_the_first_days_and_then_only_what_is_gross_is_told() -> None:
    assert levels(days(nulls(0.4)), nulls(1.0)) == [CALM]
    assert levels(days(nulls(0.4), nulls(0.4)), nulls(1.0)) == [RETRAIN]
    assert levels(days(nulls(0.4), nulls(0.4)), nulls(0.6)) == [CALM]


def test_a_harm_that_is_gone_closes_its_finding_once() -> None:
    off, over, after = lived(CALM_WEEK, [nulls(0.6)], [nulls(0.41)], [nulls(0.41)])
    assert (off[0].level, off[0].status) == (WARN, OPEN)
    assert (over[0].level, over[0].status, over[0].metric, over[0].since) == (CALM, CLOSED, "null_share", "2026-05-08")
    assert [(f.level, f.status) for f in after] == [(CALM, "")]


def test_an_open_finding_keeps_the_day_it_began_on() -> None:
    seen = lived(CALM_WEEK, [nulls(0.62)], [nulls(0.63)], [nulls(0.64)])
    assert {found[0].since for found in seen} == {"2026-05-08"}
    assert "since 2026-05-08" in seen[2][0].reason


def test_a_new_state_of_things_is_the_norm_after_two_weeks() -> None:
    seen = lived(
        days(*(rows(1000 + i % 3, of="channel=a") for i in range(9))), *[[rows(1900 + i % 3, of="channel=a")] for i in range(16)]
    )
    assert [found[0].level for found in seen[:14]] == [WARN] * 14
    assert seen[14][0].status == CLOSED


def test_a_season_of_the_week_is_expected_once_two_weeks_are_known() -> None:
    week = [1000, 1010, 1000, 990, 1000, 400, 410]
    past = days(*(rows(week[i % 7] + i) for i in range(21)))
    assert levels(
        past,
        rows(1020),
    ) == [CALM]
    assert levels(past[:-2], rows(405)) == [CALM]
    assert levels(past[:-2], rows(1000)) == [WARN], "a weekend like a workday is no weekend"


def test_a_channel_that_falls_silent_is_one_finding_with_all_that_follows_from_it() -> None:
    spend = Check("touches", "spend", "USD:channel=social", 40e6, None, None, 500)
    whole = Check("touches", "spend", "USD:all", 100e6, None, None, 900)

    def late(level: float, n: int) -> Check:
        return checks.mean("touches", "log10_delay", "channel=social", level, 0.4, n)

    def day(of_social: int, of_all: int) -> list[Check]:
        return [rows(of_social, of="channel=social"), rows(of_all), spend, whole]

    past = days(*([*day(500 + i % 3, 900 + i % 3), drifted(0.0), late(1.2 + 0.01 * i, 500)] for i in range(6)))
    (found,) = [f for f in look(past, *day(13, 400), drifted(0.5), late(4.8, 13)) if f.level != CALM]
    assert (found.cause, found.level, found.segment) == ("tracker_outage", STOP, "channel=social")
    assert (found.money_micros, found.currency) == (40_000_000, "USD")
    assert {each["model"] for each in found.facts["series"]} == {"touches", MODEL}
    assert "40 USD" in found.reason


def test_a_silent_part_of_few_rows_stops_nobody_where_no_money_is_told() -> None:
    past = days(*[[rows(1000 + i), rows(40 + i, of="channel=277"), rows(900, of="channel=1")] for i in range(6)])
    today = [rows(960), rows(0, of="channel=277"), rows(900, of="channel=1")]
    (found,) = [each for each in look(past, *today) if each.level != CALM]
    assert (found.cause, found.level, found.segment) == ("tracker_outage", WARN, "channel=277")


def drifted(share: float) -> Check:
    return checks.plain(MODEL, "drifted_share", "inputs and score", share, 1000)


def test_a_channel_that_never_spoke_may_stay_silent() -> None:
    assert levels(days(*(rows(0, of="channel=video") for _ in range(5))), rows(0, of="channel=video")) == [CALM]


def amount(level: float, n: int = 200) -> Check:
    return checks.mean("conversions", "log10_amount", "value_micros:source=pixel", level, 0.4, n)


def test_money_in_another_unit_stops_the_publication() -> None:
    past = days(*(amount(7.4 + 0.02 * i) for i in range(6)))
    (found,) = look(past, amount(9.4))
    assert (found.cause, found.level) == ("unit_change", STOP)
    assert levels(past, amount(7.5)) == [CALM]
    few = Check("conversions", "log10_amount", "value_micros:source=pixel", 8.2, 8.15, 8.25, 3)
    assert levels(past, few) == [CALM], "three alike rows do not know their own spread"


def test_signals_that_go_missing_together_are_a_loss_of_signals() -> None:
    keys = ("cookie_id", "device_id", "email_hash")
    past = days(*([nulls(0.3 + 0.01 * (i % 3), column=key) for key in keys] for i in range(7)))
    (found,) = look(past, *(nulls(0.9, column=key) for key in keys))
    assert (found.cause, found.level, len(found.facts["series"])) == ("signal_loss", RETRAIN, 3)


def test_touches_of_other_devices_that_nobody_else_follows_are_a_flood_of_bots() -> None:
    def day(touches: int, consent: float) -> list[Check]:
        return [
            rows(touches),
            rows(300, table="conversions"),
            checks.share("touches", "consent_share", "granted", consent * 1000, 1000),
            nulls(1.1 - consent, column="device_id"),
        ]

    past = days(*(day(5000 + 20 * (i % 3), 0.8 + 0.01 * (i % 3)) for i in range(8)))
    for told in lived(past, day(9000, 0.5), day(9100, 0.5)):
        (found,) = [each for each in told if each.level != CALM]
        assert (found.cause, found.metric, found.level) == ("bot_flood", "rows", WARN), "nothing is to be learned from bots"


def test_parts_that_move_against_each_other_are_a_shift_of_the_mix() -> None:
    past = days(*([rows(900 + i % 3, of="channel=a"), rows(300 + i % 3, of="channel=b")] for i in range(8)))
    (found,) = look(past, rows(300, of="channel=a"), rows(900, of="channel=b"))
    assert found.cause == "mix_shift"


@pytest.mark.parametrize("table", ["touches", "conversions"])
def test_a_day_without_data_stops_the_publication(table: str) -> None:
    past = days(*([rows(900 + i % 3, table=table), rows(500 + i % 3, table=table, of="part=a")] for i in range(5)))
    (found,) = look(past, rows(0, table=table), rows(0, table=table, of="part=a"))
    assert (found.cause, found.level) == ("missing_day", STOP)


def test_a_day_delivered_twice_stops_the_publication() -> None:
    def day(n: int) -> list[Check]:
        return [rows(900), checks.share("touches", "duplicate_share", "all", n, 1000)]

    past = days(*(day(10 + i % 3) for i in range(6)))
    (found,) = look(past, *day(505))
    assert (found.cause, found.level) == ("duplicate_delivery", STOP)


@pytest.mark.parametrize(
    ("usual", "came"),
    [(checks.count("persons", "links", "exact", 400), 0), (checks.plain("persons", "largest", "all", 20.0, 400), 90)],
    ids=["held back by the fuse", "one person has grown"],
)
def test_people_that_were_merged_or_held_back_stop_the_publication(usual: Check, came: int) -> None:
    (found,) = look(days(*([usual] * 6)), replace(usual, value=float(came), n=came))
    assert (found.cause, found.level) == ("over_merge", STOP)


OLD, NEW = {MODEL: Ripe("old")}, {MODEL: Ripe("new")}


def test_a_level_that_is_off_while_the_order_holds_asks_to_recalibrate() -> None:
    past = days(*(factor(1.0, 500) for _ in range(6)), ripe=OLD)
    (found,) = look(past, factor(1.6, 500), ripe=OLD)
    assert (found.cause, found.level) == ("prior_shift", RECALIBRATE)


def test_labels_that_still_ripen_warn_and_ripe_ones_ask() -> None:
    early = "corrected_observed_over_expected"
    past = days(*(factor(1.0, 500) for _ in range(6)), ripe=OLD)
    (found,) = [each for each in look(past, factor(1.0, 500), factor(1.6, 500, metric=early), ripe=OLD) if each.level != CALM]
    assert (found.cause, found.level) == ("prior_shift", WARN)


def test_a_level_that_is_off_with_the_order_asks_to_retrain() -> None:
    def day(value: float, auc: float) -> list[Check]:
        return [factor(value, 500), Check(MODEL, "roc_auc", "all", auc, auc - 0.01, auc + 0.01, 9000)]

    past = days(*(day(1.0, 0.8 + 0.002 * (i % 3)) for i in range(6)), ripe=OLD)
    (found,) = look(past, *day(1.6, 0.6), ripe=OLD)
    assert found.level == RETRAIN


def test_a_tenth_too_many_at_500_a_day_is_told_on_the_second_day_and_of_60_a_day_not_yet() -> None:
    past = days(*(factor(1.0, 500) for _ in range(6)), ripe=OLD)
    seen = lived(past, [factor(1.06, 500)], [factor(1.10, 500)], ripe=OLD)
    assert [found[0].level for found in seen] == [CALM, RECALIBRATE]
    assert seen[1][0].facts["series"][0]["how"] == "2 days together"
    assert levels(days(factor(1.1, 60), ripe=OLD), factor(1.1, 60)) == [CALM]


@pytest.mark.parametrize(
    ("value", "events", "level"), [(1.0, 500, CALM), (1.03, 10_000, CALM), (0.8, 30, CALM), (0.45, 400, RECALIBRATE)]
)
def test_a_level_is_judged_by_what_its_interval_knows(value: float, events: int, level: str) -> None:
    assert levels([], factor(value, events)) == [level]


def test_a_new_champion_that_is_worse_than_the_one_before_asks_to_go_back() -> None:
    past = days(*(factor(1.0, 500) for _ in range(6)), ripe=OLD)
    (found,) = look(past, factor(1.6, 500), ripe=NEW)
    assert (found.cause, found.level) == ("model_regression", ROLLBACK)
    (seen,) = look([*past[:5], Past(past[5].day, past[5].checks, (), {}, OLD)], factor(1.0, 500), ripe=NEW)
    assert seen.level == CALM, "a new champion that does as well is left alone"
    old_hand = [*past, *(Past(str(on(6 + i)), [factor(1.0, 500)], (), {}, NEW) for i in range(4))]
    assert look(old_hand, factor(1.6, 500), ripe=NEW)[0].level == RECALIBRATE


def test_a_champion_that_decides_nothing_is_told() -> None:
    past = days(*(checks.count(MODEL, "decisions", "all", 500 + i) for i in range(5)))
    (found,) = look(past, checks.count(MODEL, "decisions", "all", 0))
    assert found.cause == "model_silent"


def alarmed(day: str, check: Check, bundles: dict[str, str]) -> Past:
    return Past(day, [check], [Finding(check.model, RETRAIN, check.metric, check.segment, "…")], bundles)


def test_a_day_that_asked_for_retraining_is_no_norm_until_a_new_champion_knows_it() -> None:
    old, new = {"identity-ranker": "aaa"}, {"identity-ranker": "bbb"}
    calm = [Past(str(on(i)), [nulls(0.4)], [], old) for i in range(5)]
    past = [*calm, *(alarmed(f"2026-05-0{d}", nulls(0.9), old) for d in (6, 7))]
    assert [day.day for day in clean_days(past, old)] == [f"2026-05-0{d}" for d in range(1, 6)]
    assert [day.day for day in clean_days(past, new)] == ["2026-05-06", "2026-05-07"]
    assert look(past, nulls(0.9), bundles=old)[0].level == RETRAIN


def test_a_measure_without_a_value_says_nothing() -> None:
    assert levels(CALM_WEEK, checks.share("touches", "null_share", "cookie_id", 0, 0)) == [CALM]
    assert levels(CALM_WEEK, Check("touches", "null_share", "cookie_id", float("nan"), None, None, 5)) == [CALM]


def test_the_worst_comes_first_and_a_finding_comes_back_from_its_table_as_it_was() -> None:
    past = days(*([nulls(0.4), nulls(0.1, table="sightings")] for _ in range(6)))
    found = look(past, nulls(0.1, table="sightings"), nulls(0.95))
    assert [(f.model, f.level) for f in found] == [("touches", RETRAIN), ("sightings", CALM)]
    assert by_day(to_arrow("2026-05-07", found)) == {"2026-05-07": found}


def test_clean_days_stay_calm() -> None:
    """30 days of 40 series without any change: not one false alarm."""
    generator = np.random.default_rng(7)
    rates = generator.uniform(0.02, 0.98, 20)
    past: list[Past] = []
    alarms = 0
    for day in range(30):
        wobble = generator.normal(0, 0.01, 20)
        counts = [int(generator.poisson(800)) for _ in rates]
        today = [
            checks.share("touches", "null_share", f"c{i}", int(generator.binomial(n, min(max(rate + wobble[i], 0), 1))), n)
            for i, (rate, n) in enumerate(zip(rates, counts, strict=True))
        ] + [rows(n, of=f"channel=c{i}") for i, n in enumerate(counts)]
        alarms += sum(finding.level != CALM for finding in judge(Today(on(day), today), past[-14:]))
        past.append(Past(str(on(day)), today))
    assert alarms == 0


def test_a_part_of_few_events_may_have_two_poor_days_among_series_that_hardly_ever_move() -> None:
    steady = [nulls(0.4, rows=1_000_000, column=f"c{i}") for i in range(40)]
    few = np.random.default_rng(11).poisson(4, 28)
    past = days(*([*steady, rows(max(int(n), 1), of="source=offline")] for n in few))
    poor = [*steady, rows(1, of="source=offline")]
    assert [finding.level for found in lived(past, poor, poor) for finding in found] == [CALM, CALM]


def test_a_part_of_many_events_may_not() -> None:
    steady = [nulls(0.4, rows=1_000_000, column=f"c{i}") for i in range(40)]
    past = days(*([*steady, rows(int(n), of="source=offline")] for n in np.random.default_rng(11).poisson(40, 28)))
    assert WARN in levels(past, *steady, rows(10, of="source=offline"))


def test_a_source_that_stopped_early_is_told_unless_its_rows_are_few() -> None:
    def last(hours: float, n: int) -> list[str]:
        return levels([], checks.plain("touches", "hours_since_last", "all", hours, n))

    assert last(8.0, 5000) == [WARN]
    assert last(8.0, 10) == [CALM]
    assert last(0.1, 5000) == [CALM]
