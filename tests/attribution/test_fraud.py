"""Touches that look like fraud: each kind on its own example, and none of it in an honest world."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.builders import a_click, a_conversion, a_touch, an_instant, some_settings
from whence.attribution import fraud
from whence.attribution.fraud import CLICK_FLOOD, CLICK_INJECTION, HUB, IMPOSSIBLE_ORDER
from whence.attribution.journeys import candidate_touches
from whence.attribution.policy import Fraud, Policy
from whence.attribution.told import Touches
from whence.contracts.settings import Scenario, World
from whence.world import simulate

BOUNDS = Fraud()


def frame(*rows: dict[str, Any], person: str | None = "p") -> pd.DataFrame:
    return pd.DataFrame(list(rows)).assign(person_id=person)


def said(conversions: pd.DataFrame, touches: pd.DataFrame, bounds: Fraud = BOUNDS) -> dict[str, str]:
    """What is said of each pair's touch."""
    pairs = candidate_touches(conversions, touches, Policy())
    return dict(zip(pairs["touch_id"], fraud.suspicions(pairs, Touches.of(touches), bounds), strict=True))


def by_itself(touches: pd.DataFrame, bounds: Fraud) -> pd.Series:
    """What is said of each touch, row by row."""
    found = fraud.touch_suspicions(Touches.of(touches), bounds)
    return found.reindex(touches["touch_id"]).set_axis(touches.index)


def test_a_click_seconds_before_an_install_is_injected() -> None:
    shown = frame(
        a_click("11:59:55", touch_id="late"), a_click("11:59:45", touch_id="fair"), a_touch("11:59:58", touch_id="view")
    )
    found = said(frame(a_conversion("12:00", kind="install")), shown)
    assert found == {"late": CLICK_INJECTION, "fair": "", "view": ""}
    assert said(frame(a_conversion("12:00")), shown)["late"] == ""


def test_who_clicks_all_day_floods() -> None:
    shown = frame(*(a_click(f"0{i % 10}:{i:02d}", cookie_id="k", touch_id=f"t{i}") for i in range(51)), person=None)
    shown["person_id"] = ["p", *[None] * 50]
    found = said(frame(a_conversion("12:00")), shown)
    assert found == {"t0": CLICK_FLOOD}
    assert said(frame(a_conversion("12:00")), shown.head(50)) == {"t0": ""}


def test_a_network_floods_by_clicks_for_each_person_and_not_by_clicks_alone() -> None:
    clicks = [a_click(f"{8 + i % 3:02d}:{i:02d}", ip_key="n") for i in range(40)]
    few = frame(*clicks).assign(person_id=[f"p{i % 4}" for i in range(40)])
    many = frame(*clicks).assign(person_id=[f"p{i}" for i in range(40)])
    assert (by_itself(few, BOUNDS) == CLICK_FLOOD).all()
    assert (by_itself(many, BOUNDS) == "").all()


def test_a_device_of_many_persons_is_a_hub_and_so_is_a_network_of_too_many() -> None:
    shown = frame(*(a_touch("10:00", device_id="d", ip_key="n") for _ in range(11))).assign(
        person_id=[f"p{i}" for i in range(11)]
    )
    assert (by_itself(shown, BOUNDS) == HUB).all()
    assert (by_itself(shown.drop(columns="device_id"), BOUNDS) == "").all()
    assert (by_itself(shown.drop(columns="device_id"), replace(BOUNDS, persons_per_network=10)) == HUB).all()
    assert (by_itself(shown.head(10), BOUNDS) == "").all()


def test_a_touch_seen_before_it_happened_is_impossible_beyond_what_clocks_differ() -> None:
    shown = frame(
        a_touch("10:00", touch_id="early", seen_at="2026-05-01T09:54:00+00:00"),
        a_touch("10:00", touch_id="clock", seen_at="2026-05-01T09:56:00+00:00"),
    )
    assert said(frame(a_conversion("12:00")), shown) == {"early": IMPOSSIBLE_ORDER, "clock": ""}


def test_a_click_that_is_clicked_again_after_the_conversion_is_impossible() -> None:
    once, twice = a_click("10:00", touch_id="once", click_id="k"), a_click("10:00", touch_id="twice", click_id="l")
    shown = frame(once, twice, a_click("13:00", touch_id="again", click_id="l"))
    assert said(frame(a_conversion("12:00", click_id="l")), shown) == {"once": "", "twice": IMPOSSIBLE_ORDER}
    before = frame(once, twice, a_click("11:00", touch_id="again", click_id="l"))
    assert set(said(frame(a_conversion("12:00", click_id="l")), before).values()) == {""}


@pytest.mark.parametrize(("is_flat", "clicks", "is_found"), [(True, 700, True), (False, 700, False), (True, 5, False)])
def test_a_source_floods_when_its_times_are_flat_and_its_clicks_many(is_flat: bool, clicks: int, is_found: bool) -> None:
    n, rng = 120, np.random.default_rng(2)
    hours = rng.uniform(0, 168, n) if is_flat else rng.exponential(8.0, n).clip(max=160)
    hours[0] = 168
    converted = pd.Timestamp(an_instant("12:00", "2026-05-20"))
    bounds = replace(BOUNDS, flat_clicks_per_conversion=5.0)
    pairs = pd.DataFrame(
        {
            "conversion_id": [f"c{i:03d}" for i in range(n)],
            "touch_id": [f"t{i}" for i in range(n)],
            "touch_kind": "click",
            "conversion_kind": "purchase",
            "converted_at": converted,
            "hours_before": hours,
        }
    )
    at = converted - pd.to_timedelta(np.concatenate([hours, rng.uniform(0, 168, clicks)]), unit="h")
    shown = pd.DataFrame({"touch_id": [f"t{i}" for i in range(n + clicks)], "happened_at": at, "seen_at": at})
    shown = shown.assign(kind="click", campaign_id="m", placement="feed", click_id=None)
    found = fraud.suspicions(pairs, Touches.of(shown), bounds)
    assert set(found) == {CLICK_FLOOD if is_found else ""}


def test_a_ghost_is_never_suspect_and_reasons_are_joined() -> None:
    bounds = replace(BOUNDS, persons_per_network=1)
    shown = frame(
        a_click("10:00", ip_key="n", seen_at="2026-05-01T09:00:00+00:00"), a_touch("10:00", kind="eligible", ip_key="n")
    ).assign(person_id=["p", "q"])
    assert by_itself(shown, bounds).tolist() == [f"{HUB},{IMPOSSIBLE_ORDER}", ""]


def test_order_and_time_zone_do_not_matter() -> None:
    shown = frame(*(a_click(f"{i % 24:02d}:{i:02d}", ip_key="n", cookie_id=f"k{i % 2}") for i in range(59)))
    found = by_itself(shown, BOUNDS)
    assert set(found) == {CLICK_FLOOD}
    there = shown.assign(happened_at=shown["happened_at"].dt.tz_convert("Asia/Tokyo"))
    assert by_itself(there, BOUNDS).equals(found)
    assert by_itself(shown.iloc[::-1], BOUNDS).sort_index().equals(found)
    assert by_itself(shown.head(0), BOUNDS).empty


def _told(folder: Path, *scenarios: Scenario) -> pd.DataFrame:
    """The touches of a world, each once, with whether they are a bot's; people by cookie or device."""
    settings = some_settings(folder, world=World(people=1500, days=2, first_day=date(2026, 5, 1), scenarios=scenarios))
    simulate(settings)
    both = [
        pd.concat([pd.read_parquet(file) for file in sorted(settings.world_events.glob(f"day=*/{name}-*.parquet"))])
        for name in ("touches", "truth_signals")
    ]
    told = both[0].drop_duplicates("touch_id").merge(both[1].drop_duplicates("event_id"), on="event_id")
    return told.assign(person_id=told["cookie_id"].fillna(told["device_id"]))


@pytest.mark.service
def test_a_flood_of_bots_is_found_and_honest_people_are_left_alone(tmp_path: Path) -> None:
    quiet = _told(tmp_path / "quiet")
    assert (by_itself(quiet, BOUNDS) != "").mean() < 0.005
    flooded = _told(tmp_path / "flooded", Scenario("bot_flood", date(2026, 5, 2)))
    suspect = by_itself(flooded, BOUNDS) != ""
    is_robot = flooded["is_bot"].astype(bool)
    assert suspect[~is_robot].mean() < 0.005
    assert suspect[is_robot & (flooded["happened_at"].dt.day == 2)].mean() > 0.6
