"""A day's tables are judged when they are in: a changed unit stops the day, what others know stays, a second time changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from monitoring import check_data, checks
from monitoring.checks import Check
from tests.builders import a_lake, a_touch
from training import known
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LAST = date(2026, 5, 6)


@pytest.mark.service
def test_a_day_in_another_unit_is_stopped_once_and_training_leaves_it_out(tmp_path: Path) -> None:
    window = Window(date(2026, 5, 1), LAST)
    prices = {day: 5_000 * (100 if day == str(LAST) else 1) for day in window.days}
    touches = [
        a_touch(f"{hour}:30", day, price_micros=price + hour, cookie_id=f"c{hour}")
        for day, price in prices.items()
        for hour in range(10, 24)
    ]
    a_lake(tmp_path / "home", touches=touches)
    settings = Settings(home=tmp_path / "home")
    lake, today = Lake.of(settings), Window(LAST, LAST)
    theirs = Check("touches", "match_rate", "all", 0.5, 0.4, 0.6, 14)
    lake.replace("checks", checks.to_arrow(str(LAST), [theirs]), today)
    report = check_data(settings, window, NOW)
    assert dict(report.days) == dict.fromkeys(window.days[:-1], "calm") | {str(LAST): "stop"}
    assert report.wants["stop"] == ("touches",)
    assert theirs in checks.by_day(lake.read("checks", today))[str(LAST)]
    assert known.stopped_days(lake, window) == (str(LAST),)
    assert not check_data(settings, today, NOW).changed
