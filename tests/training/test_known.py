"""What training is given of the past: no day that an event table was stopped for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.builders import a_lake, a_touch
from training import known
from whence.contracts.times import Window

WINDOW = Window(date(2026, 5, 1), date(2026, 5, 4))


def a_finding(day: str, level: str, model: str = "touches", status: str = "open") -> dict[str, str]:
    return {
        "day": day,
        "model": model,
        "level": level,
        "metric": "copied_share",
        "segment": "all",
        "reason": "…",
        "status": status,
    }


@pytest.mark.service
def test_a_day_that_is_stopped_is_left_out_and_one_that_is_only_warned_of_is_not(tmp_path: Path) -> None:
    told = [
        a_finding("2026-05-01", "warn"),
        a_finding("2026-05-02", "stop"),
        a_finding("2026-05-03", "stop", model="identity-ranker"),
        a_finding("2026-05-04", "calm", status="closed"),
    ]
    lake = a_lake(tmp_path, touches=[a_touch(on=day) for day in WINDOW.days], findings=told)
    assert known.stopped_days(lake, WINDOW) == ("2026-05-02",)
    assert [str(day.date()) for day in known.events(lake, "touches", WINDOW)["seen_at"]] == [
        "2026-05-01",
        "2026-05-03",
        "2026-05-04",
    ]
