"""Journeys: which touches a conversion could owe itself to, judged by brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_click, a_conversion, a_touch
from whence.attribution import evidence, journeys
from whence.attribution.policy import Policy, Reach


def candidate_touches(conversions: pd.DataFrame, touches: pd.DataFrame, policy: Policy | None = None) -> pd.DataFrame:
    return journeys.candidate_touches(conversions, touches, policy or Policy())


def frame(*rows: dict[str, Any], person: str | None = "p") -> pd.DataFrame:
    return pd.DataFrame(list(rows)).assign(person_id=person)


def test_a_touch_counts_inside_its_window_and_before_the_conversion() -> None:
    bought = frame(a_conversion("12:00", "2026-05-09", conversion_id="c"))
    shown = frame(
        a_click("13:00", "2026-05-02", touch_id="click within 7 days"),
        a_click("11:00", "2026-05-02", touch_id="click too old"),
        a_touch("13:00", "2026-05-08", touch_id="view within a day"),
        a_touch("11:00", "2026-05-08", touch_id="view too old"),
        a_click("12:00", "2026-05-09", touch_id="at once"),
        a_click("12:01", "2026-05-09", touch_id="after"),
    )
    pairs = candidate_touches(bought, shown)
    assert pairs["touch_id"].tolist() == ["click within 7 days", "view within a day"]
    assert pairs["place"].tolist() == [0, 1]
    assert pairs["from_last"].tolist() == [1, 0]
    assert pairs["hours_before"].tolist() == [167, 23]
    assert pairs["clicks_in_path"].tolist() == [1, 1]


def test_a_touch_that_was_delivered_late_is_not_known_on_the_conversions_day() -> None:
    bought = frame(a_conversion("12:00", "2026-05-09", conversion_id="c"))
    shown = frame(
        a_click("10:00", "2026-05-09", touch_id="seen the same day", seen_at="2026-05-09T23:59:00+00:00"),
        a_click("10:30", "2026-05-09", touch_id="seen the day after", seen_at="2026-05-10T00:00:00+00:00"),
    )
    assert candidate_touches(bought, shown)["touch_id"].tolist() == ["seen the same day"]
    at_once = bought.assign(known_by=pd.Timestamp("2026-05-09T12:00Z"))
    assert candidate_touches(at_once, shown).empty


def test_a_ghost_is_context_and_never_a_candidate() -> None:
    bought = frame(a_conversion("12:00", conversion_id="c"))
    shown = frame(
        a_touch("10:00", touch_id="t", campaign_id="shoes"),
        a_touch("10:10", kind="eligible", campaign_id="shoes"),
        a_touch("10:20", kind="eligible", campaign_id="hats"),
    )
    pairs = candidate_touches(bought, shown)
    assert pairs[["touch_id", "eligible_campaign", "eligible_any"]].to_numpy().tolist() == [["t", 1, 2]]


def test_a_click_id_finds_its_touch_where_nobody_knows_the_person() -> None:
    bought = frame(a_conversion("12:00", conversion_id="c", click_id="k"), person=None)
    shown = frame(a_click("10:00", touch_id="t", click_id="k"), a_click("10:30", click_id="other"), person=None)
    pairs = candidate_touches(bought, shown)
    assert pairs[["touch_id", "via"]].to_numpy().tolist() == [["t", "click_id"]]
    assert evidence.labels(pairs).isna().all()  # finding it gives the answer away


def test_the_label_is_told_only_where_a_click_id_decides() -> None:
    bought = frame(
        a_conversion("12:00", conversion_id="told", click_id="k"),
        a_conversion("12:00", conversion_id="no click id"),
        a_conversion("12:00", conversion_id="click unknown", click_id="lost"),
    )
    shown = frame(a_click("10:00", touch_id="t", click_id="k"), a_touch("10:30", touch_id="view"))
    pairs = candidate_touches(bought, shown)
    told = pairs.assign(label=evidence.labels(pairs)).dropna(subset="label")
    assert told[["conversion_id", "touch_id", "label"]].to_numpy().tolist() == [["told", "t", 1.0], ["told", "view", 0.0]]


def test_the_inputs_do_not_know_the_click_id() -> None:
    bought, shown = frame(a_conversion("12:00", click_id="k")), frame(a_click("10:00", click_id="k"), a_touch("11:00"))
    other = shown.assign(click_id="another")
    inputs = [evidence.pair_frame(p, pd.DataFrame(index=p.index)) for p in (candidate_touches(bought, s) for s in (shown, other))]
    pd.testing.assert_frame_equal(*inputs)


def test_only_the_latest_touches_are_kept() -> None:
    bought = frame(a_conversion("12:00", conversion_id="c"))
    shown = frame(*(a_touch(f"10:{i:02d}", touch_id=f"t{i:02d}") for i in range(9)))
    assert candidate_touches(bought, shown, Policy(max_touches=3))["touch_id"].tolist() == ["t06", "t07", "t08"]


def test_no_conversions_or_no_touches_make_no_pairs_with_the_same_columns() -> None:
    bought, shown = frame(a_conversion("12:00")), frame(a_click("10:00"))
    some = candidate_touches(bought, shown)
    for pairs in (candidate_touches(bought.head(0), shown), candidate_touches(bought, shown.head(0))):
        assert pairs.empty
        assert pairs.columns.tolist() == some.columns.tolist()
        assert evidence.pair_frame(pairs, pd.DataFrame()).columns.tolist() == [
            *evidence.SCHEMA_NUMBERS,
            *evidence.SCHEMA_CATEGORIES,
        ]


people = st.sampled_from([None, "p", "q"])
touches = st.tuples(
    st.integers(0, 240),
    st.integers(0, 48),
    people,
    st.sampled_from(["view", "click", "eligible"]),
    st.sampled_from([None, "k", "l"]),
)
bought_at = st.tuples(st.integers(0, 240), st.integers(0, 30), people, st.sampled_from([None, "k", "l"]))
START = pd.Timestamp("2026-05-01T00:00Z")


@pytest.mark.service
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(touches, max_size=12),
    st.lists(bought_at, max_size=6),
    st.sampled_from([0.5, 1.0, 7.0]),
    st.sampled_from([0.25, 1.0, 9.0]),
)
def test_brute_force_finds_the_same_pairs(shown: list[Any], bought: list[Any], click_days: float, view_days: float) -> None:
    t = _hours([(*row[:3], row[3], row[4]) for row in shown], "touch_id")
    c = _hours([(*row[:3], "purchase", row[3]) for row in bought], "conversion_id")
    pairs = candidate_touches(c, t, Policy(windows=(Reach(click_days, "click"), Reach(view_days, "view"))))
    found = {(row.conversion_id, row.touch_id, row.via) for row in pairs.itertuples()}
    assert len(found) == len(pairs)
    assert found == {pair for a in c.itertuples() for b in t.itertuples() if (pair := _judged(a, b, click_days, view_days))}


def _hours(rows: list[Any], key: str) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["hour", "late", "person_id", "kind", "click_id"])
    at = START + pd.to_timedelta(table["hour"].astype("int64"), unit="h")
    seen = at + pd.to_timedelta(table["late"].astype("int64"), unit="h")
    return table.assign(**{key: [f"{key}{i}" for i in table.index]}, happened_at=at, seen_at=seen, campaign_id="m", channel="s")


def _judged(conversion: Any, touch: Any, click_days: float, view_days: float) -> tuple[str, str, str] | None:
    days = (conversion.happened_at - touch.happened_at) / pd.Timedelta(days=1)
    window = click_days if touch.kind == "click" else view_days
    known = touch.seen_at < conversion.seen_at.floor("D") + pd.Timedelta(days=1)
    same_person = conversion.person_id is not None and conversion.person_id == touch.person_id
    same_click = conversion.click_id is not None and conversion.click_id == touch.click_id
    if touch.kind == "eligible" or not known or not 0 < days <= window or not (same_person or same_click):
        return None
    return conversion.conversion_id, touch.touch_id, "person" if same_person else "click_id"


def test_same_is_missing_where_one_side_is() -> None:
    bought = frame(a_conversion("12:00", cookie_id="k", ip_key="i"))
    pairs = candidate_touches(bought, frame(a_touch("10:00", cookie_id="k", ip_key="j")))
    assert (pairs["same_cookie"].item(), pairs["same_ip"].item()) == (1, 0)
    assert math.isnan(pairs["same_device"].item())
    assert np.isnan(pairs["same_click"].item())
