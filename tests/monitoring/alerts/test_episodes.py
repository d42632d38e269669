"""One message per harm: when it begins, when it gets worse, when it goes on for long, when it is over."""

from __future__ import annotations

from typing import Any

from monitoring.alerts.episodes import News, Told, from_records, news, told_of
from monitoring.findings import CLOSED, Finding


def a_finding(level: str = "warn", since: str = "2026-05-03", **changes: Any) -> Finding:
    plain = {"model": "touches", "metric": "rows", "segment": "all", "reason": "Half is gone.", "cause": "tracker_outage"}
    return Finding(**{**plain, "level": level, "since": since, "status": "open", **changes})


def kinds(days: dict[str, list[Finding]], told: dict[str, Told] | None = None, least: str = "warn") -> list[tuple[str, str]]:
    return [(each.day[-2:], each.kind) for each in news(days, told or {}, least, again_days=7)]


def day(number: int) -> str:
    return f"2026-05-{number:02}"


def test_a_harm_of_three_days_is_told_when_it_begins_and_when_it_is_over():
    closed = a_finding("calm", status=CLOSED)
    days = {day(3): [a_finding()], day(4): [a_finding()], day(5): [a_finding()], day(6): [closed], day(7): [closed]}
    assert kinds(days) == [("03", "new"), ("06", "over")]


def test_what_gets_worse_is_told_again_and_what_gets_better_is_not():
    days = {day(3): [a_finding()], day(4): [a_finding("stop")], day(5): [a_finding("warn")], day(6): [a_finding("stop")]}
    assert kinds(days) == [("03", "new"), ("04", "worse")]


def test_what_goes_on_is_told_again_after_a_week():
    assert kinds({day(n): [a_finding()] for n in range(3, 19)}) == [("03", "new"), ("10", "still"), ("17", "still")]


def test_a_calm_day_and_a_harm_below_the_level_that_is_asked_for_are_no_news():
    assert kinds({day(3): [a_finding("calm", status="", since="")]}) == []
    assert kinds({day(3): [a_finding("warn")], day(4): [a_finding("retrain")]}, least="retrain") == [("04", "new")]


def test_a_day_looked_at_again_says_nothing_new_unless_it_turned_out_worse():
    told = {"touches/tracker_outage/2026-05-03": Told("warn", day(4), is_over=False)}
    assert kinds({day(3): [a_finding()], day(4): [a_finding()]}, told) == []
    assert kinds({day(4): [a_finding("stop")]}, told) == [("04", "worse")]


def test_a_harm_that_comes_back_is_another_episode():
    days = {day(3): [a_finding()], day(4): [a_finding("calm", status=CLOSED)], day(9): [a_finding(since=day(9))]}
    assert kinds(days) == [("03", "new"), ("04", "over"), ("09", "new")]


def test_two_harms_of_a_day_are_two_items():
    days = {day(3): [a_finding(), a_finding(model="conversions", cause="", metric="null_share", segment="cookie_id")]}
    assert len(kinds(days)) == 2


def test_what_records_say_is_what_was_told():
    items = news({day(3): [a_finding()], day(4): [a_finding("stop", money_micros=1_234_500_000, currency="USD")]}, {}, "warn", 7)
    assert items[1].words == "2026-05-04 stop (worse), touches: Half is gone. At stake: 1,234.50 USD."
    told = from_records([{"items": [vars(each)]} for each in items])
    assert told == {items[0].episode: Told("stop", day(4), is_over=False)}
    assert told_of(News(items[0].episode, day(6), "over", "calm", "touches", "Gone."), told[items[0].episode]).is_over
