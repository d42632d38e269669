"""A day's news restates what it touches, and nothing else; what was stated stays."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.daily.batch import attribute_conversions, resolve_identities
from tests.builders import a_click, a_conversion, a_lake, a_sighting, a_touch, rows, some_settings
from whence.attribution import statements
from whence.contracts.settings import Settings, Source
from whence.contracts.times import Window
from whence.ingest import days_to_repeat, ingest, late_days
from whence.lake import Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 5, 20, tzinfo=UTC)


def days(first: int, last: int | None = None) -> Window:
    return Window(date(2026, 5, first), date(2026, 5, last or first))


def on(day: int, **changes: Any) -> dict[str, Any]:
    return {"on": f"2026-05-{day:02d}", **changes}


def a_shop(folder: Path, **more: list[dict[str, Any]]) -> Settings:
    """Ann is shown an ad, clicks another on the second day, and buys for 100 then; Bob buys, too."""
    tables = {
        "sightings": [a_sighting(**on(1), email_hash="ann", cookie_id="c1")],
        "touches": [
            a_click("09:00", **on(2), cookie_id="c1", touch_id="t2", campaign_id="x"),
            a_touch("09:00", **on(2), cookie_id="b1", touch_id="t9", campaign_id="z"),
        ],
        "conversions": [
            a_conversion("12:00", **on(2), conversion_id="ann-buys", email_hash="ann", value_micros=100),
            a_conversion("12:00", **on(2), conversion_id="bob-buys", cookie_id="b1", value_micros=7),
        ],
    }
    settings = some_settings(folder)
    a_lake(settings.home, **{name: given + more.get(name, []) for name, given in tables.items()})
    return settings


def run(settings: Settings, window: Window) -> Any:
    for day in window:
        resolve_identities(settings, Window(day, day), now=NOW)
        report = attribute_conversions(settings, Window(day, day), now=NOW)
    return report


def credits(settings: Settings, algorithm: str = "linear") -> pd.DataFrame:
    found = Lake.of(settings).read("credits").to_pandas()
    return found[found["algorithm"] == algorithm].reset_index(drop=True)


def held(settings: Settings, algorithm: str = "linear") -> dict[tuple[str, str], int]:
    last = statements.current(credits(settings, algorithm))
    return last.set_index(["conversion_id", "touch_id"])["credit_micros"].to_dict()


def test_a_touch_told_late_restates_its_conversion_and_no_other(tmp_path: Path) -> None:
    late = a_click("08:00", **on(2), cookie_id="c1", touch_id="t1", seen_at="2026-05-03T10:00:00Z", campaign_id="y")
    settings = a_shop(tmp_path, touches=[late])
    run(settings, days(1, 2))
    before = credits(settings)
    assert held(settings) == {("ann-buys", "t2"): 100, ("bob-buys", "t9"): 7}
    report = run(settings, days(3))
    after = credits(settings)
    assert held(settings) == {("ann-buys", "t1"): 50, ("ann-buys", "t2"): 50, ("bob-buys", "t9"): 7}
    assert report.restated == 1
    assert after[after["stated_on"] <= "2026-05-02"].reset_index(drop=True).equals(before)
    new = after[after["stated_on"] == "2026-05-03"]
    assert set(new["cause"]) == {statements.LATE}
    assert set(new["day"]) == {"2026-05-02"}
    assert not len(credits(settings, "last_touch").query("stated_on == '2026-05-03'")), "the last touch is the same as before"


def test_who_is_known_later_restates_by_identity(tmp_path: Path) -> None:
    knows = a_sighting("10:00", **on(3), email_hash="ann", cookie_id="c2")
    settings = a_shop(tmp_path, touches=[a_click("07:00", **on(2), cookie_id="c2", touch_id="t0")], sightings=[knows])
    run(settings, days(1, 3))
    assert held(settings)["ann-buys", "t0"] == 50
    assert set(credits(settings).query("stated_on == '2026-05-03'")["cause"]) == {statements.LATE}


def test_a_refund_follows_the_conversion_that_is_restated(tmp_path: Path) -> None:
    back = a_conversion(**on(3), conversion_id="back", kind="refund", refund_of="ann-buys", value_micros=-50, email_hash="ann")
    late = a_click("08:00", **on(2), cookie_id="c1", touch_id="t1", seen_at="2026-05-04T10:00:00Z")
    settings = a_shop(tmp_path, conversions=[back], touches=[late])
    run(settings, days(1, 3))
    assert held(settings)["back", "t2"] == -50
    run(settings, days(4))
    assert {key: micros for key, micros in held(settings).items() if key[0] == "back"} == {
        ("back", "t1"): -25,
        ("back", "t2"): -25,
    }


def test_running_any_day_again_states_nothing(tmp_path: Path) -> None:
    late = a_click("08:00", **on(2), cookie_id="c1", touch_id="t1", seen_at="2026-05-03T10:00:00Z")
    settings = a_shop(tmp_path, touches=[late])
    run(settings, days(1, 4))
    before = Lake.of(settings).read("credits")
    for again in (days(2), days(3), days(1, 4), days(4)):
        assert attribute_conversions(settings, again, now=NOW).changed == 0
    assert Lake.of(settings).read("credits").equals(before)


def test_a_day_delivered_again_with_another_order_is_corrected(tmp_path: Path) -> None:
    settings = a_shop(tmp_path)
    run(settings, days(1, 2))
    again = rows("conversions", a_conversion("12:00", **on(2), conversion_id="bob-buys", cookie_id="b1", value_micros=9))
    Lake.of(settings).replace("conversions", again, days(2))
    attribute_conversions(settings, days(2), now=NOW)
    assert held(settings)["bob-buys", "t9"] == 9
    new = credits(settings).query("version == 2")
    assert set(new["cause"]) == {statements.CORRECTION}
    assert set(new["known_at"]) == {pd.Timestamp(NOW)}
    assert held(settings)["ann-buys", ""] == 0, "it is not in the delivery any more"


@pytest.mark.parametrize("restate_days", [0, 1])
def test_what_lies_further_back_than_the_policy_restates_stays(tmp_path: Path, restate_days: int) -> None:
    late = a_click("08:00", **on(2), cookie_id="c1", touch_id="t1", seen_at="2026-05-05T10:00:00Z")
    settings = a_shop(tmp_path, touches=[late])
    policy = tmp_path / "policy.toml"
    policy.write_text(f'name = "short"\nalgorithms = ["last_touch", "linear"]\nrestate_days = {restate_days}\n')
    settings = Settings(home=settings.home, attribution=type(settings.attribution)(policy=str(policy)))
    run(settings, days(1, 5))
    assert held(settings) == {("ann-buys", "t2"): 100, ("bob-buys", "t9"): 7}


LOG = """
[touches]
only = { column = "what", is = ["click"] }
event_id = "id"
happened_at = "at"
kind = "what"
campaign_id = "id"
channel = { value = "search" }
cookie_id = "cookie"

[conversions]
only = { column = "what", is = ["purchase"] }
conversion_id = "id"
happened_at = "at"
kind = "what"
value_micros = { value = 100 }
currency = { value = "EUR" }
source = { value = "server" }
cookie_id = "cookie"
"""


def test_a_day_that_comes_late_earns_credit_for_the_days_that_were_stated_without_it(tmp_path: Path) -> None:
    def delivered(day: int, *rows: str) -> None:
        lines = [f"2026-05-{day:02d}T10:00:00Z,{row}" for row in rows]
        (tmp_path / "logs" / f"{day}.csv").write_text("\n".join(["at,what,id,cookie", *lines]) + "\n")

    def night(day: int) -> list[Window]:
        ingest(settings, days(day))
        late = late_days(settings, days(day))
        for each in late:
            ingest(settings, each)
        again = days_to_repeat(settings, late, days(day))
        for each in [*again, days(day)]:
            run(settings, each)
        return again

    (tmp_path / "logs").mkdir()
    (tmp_path / "map.toml").write_text(LOG)
    settings = some_settings(tmp_path, source=Source("mapping", str(tmp_path / "logs"), str(tmp_path / "map.toml")))
    delivered(1, "click,first,c1")
    delivered(3, "purchase,sold,c1")
    assert [night(day) for day in (1, 2, 3)] == [[], [], []]
    assert held(settings) == {("sold", "first"): 100}
    delivered(2, "click,late,c1")
    delivered(4, "click,after,c1")
    assert night(4) == [days(2, 3)], "the late day, and the one that was stated without it"
    assert held(settings) == {("sold", "first"): 50, ("sold", "late"): 50}
    assert night(5) == []
    delivered(1, "click,first,c1", "click,second,c1")
    assert night(12) == [days(1), days(5, 11)], "of the days between, as many as late events may restate"
