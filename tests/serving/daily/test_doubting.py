"""Intervals with identities drawn anew: who an anonymous cookie may be is asked of everybody that it was compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.daily import doubting
from serving.daily.doubting import DoubtError
from tests.attribution.test_summary import DAY
from tests.builders import FIRST_DAY, a_click, a_conversion, a_lake, some_settings
from whence.attribution.near import near
from whence.attribution.statements import current
from whence.attribution.summary import ENDS, View, marked
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake

VIEW = View((DAY,), "last_touch")
SEEN = pd.Timestamp(f"{DAY}T00:00Z") + pd.Timedelta(days=1)
Row = dict[str, Any]


def an_answer(identifier: str, person: str, method: str = "exact", probability: float = 1.0) -> Row:
    plain = {"day": DAY, "seen_at": SEEN, "bundle": None}
    return {**plain, "identifier": identifier, "person_id": person, "method": method, "probability": probability}


def beneath(identifier: str, person: str) -> Row:
    return {"day": DAY, "seen_at": SEEN, "identifier": identifier, "person_id": person}


def a_comparison(event: str, person: str, probability: float, chosen: bool = False) -> Row:
    plain = {
        "day": DAY,
        "made_at": SEEN,
        "route": "batch",
        "model": IDENTITY_RANKER,
        "bundle": "b",
        "features": "{}",
        "score": 0.0,
    }
    return {
        **plain, "decision_id": f"{event} {person}", "subject": event, "option": person, "probability": probability, "chosen": chosen,
    }  # fmt: skip


ANN = [an_answer("email_hash:ann", "p-ann"), an_answer("cookie_id:known", "p-ann")]
BOB = [an_answer("email_hash:bob", "p-bob")]
STRANGER = an_answer("cookie_id:stranger", "p-stranger")


def options(folder: Path, persons: list[Row], decisions: list[Row], exact: list[Row] | None = None) -> list[tuple[Any, ...]]:
    touches = [a_click(cookie_id="stranger", event_id="e1"), a_click(cookie_id="stranger", event_id="e2")]
    lake = a_lake(folder, touches=touches, persons=persons, decisions=decisions, exact_persons=exact or [])
    found = doubting.options(lake, VIEW, FIRST_DAY).round(6)
    return sorted(found[["owner", "target", "probability", "is_linked"]].itertuples(index=False, name=None))


def test_what_was_said_of_several_signals_is_averaged(tmp_path: Path) -> None:
    said = [a_comparison("e1", "p-ann", 0.6), a_comparison("e2", "p-ann", 0.2), a_comparison("e2", "p-bob", 0.1)]
    assert options(tmp_path, [*ANN, *BOB, STRANGER], said) == [
        ("p-stranger", "p-ann", 0.4, False),
        ("p-stranger", "p-bob", 0.1, False),
    ]


def test_the_links_that_hold_are_those_of_the_table_of_persons(tmp_path: Path) -> None:
    linked = an_answer("cookie_id:stranger", "p-ann", "ranked", 0.8)
    said = [a_comparison("e1", "p-ann", 0.9, chosen=True), a_comparison("e1", "p-bob", 0.6)]
    assert options(tmp_path, [*ANN, *BOB, linked], said, [beneath("cookie_id:stranger", "p-stranger")]) == [
        ("p-stranger", "p-ann", 0.6, True),
        ("p-stranger", "p-bob", 0.4, False),
    ]


def test_a_link_of_long_ago_is_an_option_by_its_own_probability(tmp_path: Path) -> None:
    linked = an_answer("cookie_id:stranger", "p-ann", "ranked", 0.8)
    assert options(tmp_path, [*ANN, linked], [], [beneath("cookie_id:stranger", "p-stranger")]) == [
        ("p-stranger", "p-ann", 0.8, True)
    ]


def test_who_has_logged_in_since_is_nobody_elses(tmp_path: Path) -> None:
    logged_in = [an_answer("cookie_id:stranger", "p-stranger"), an_answer("email_hash:s", "p-stranger")]
    assert options(tmp_path, [*ANN, *logged_in], [a_comparison("e1", "p-ann", 0.6)]) == []


def test_people_who_were_never_compared_have_no_options(tmp_path: Path) -> None:
    assert options(tmp_path, [*ANN, STRANGER], []) == []


def a_home(folder: Path, *decisions: Row) -> tuple[Settings, pd.DataFrame]:
    """Ann buys without a known touch; a stranger's cookie clicked before. As stated, no ad earns it."""
    settings = some_settings(folder)
    bought = a_conversion("12:00", email_hash="ann", conversion_id="c")
    clicked = a_click("10:00", cookie_id="stranger", event_id="e1", touch_id="t")
    a_lake(folder / "home", touches=[clicked], conversions=[bought], persons=[*ANN, STRANGER], decisions=list(decisions))
    from serving.daily.batch import attribute_conversions

    attribute_conversions(settings, Window(FIRST_DAY, FIRST_DAY))
    rows = Lake.of(settings).read("credits").to_pandas()
    return settings, marked(current(rows), ())


@pytest.mark.service
def test_a_link_that_may_have_been_missed_shows_in_the_interval(tmp_path: Path) -> None:
    settings, rows = a_home(tmp_path, a_comparison("e1", "p-ann", 0.5))
    assert rows.loc[rows["algorithm"] == "last_touch", "touch_id"].tolist() == [""]
    found = doubting.credit_intervals(settings, rows, VIEW).set_index("campaign_id")
    assert found.loc["", "identity_low_micros"] < 10_000_000
    assert found.loc["campaign-1", "identity_high_micros"] > 0
    sure = doubting.credit_intervals(*a_home(tmp_path / "sure"), VIEW).set_index("campaign_id")
    assert sure.loc["", "identity_low_micros"] == sure.loc["", "identity_high_micros"] == 10_000_000
    assert set(ENDS) <= set(found.columns)


@pytest.mark.service
def test_it_makes_no_difference_that_the_touches_of_nobody_who_may_have_bought_are_left_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, rows = a_home(tmp_path, a_comparison("e1", "p-ann", 0.5))
    others = [a_click(f"1{number % 2}:0{number % 6}", cookie_id=f"c{number % 4}", campaign_id="z") for number in range(20)]
    known = [a_click("09:30", cookie_id="known", campaign_id="y"), a_click("10:00", cookie_id="stranger", event_id="e1")]
    a_lake(tmp_path / "home", touches=[*others, *known])
    asked = []

    def all_of_them(con: Any, touches: str, conversions: pd.DataFrame, policy: Any) -> Any:
        asked.append(near(con, touches, conversions, policy).num_rows)
        return con.sql(f"SELECT * FROM {touches}").to_arrow_table()

    found = doubting.credit_intervals(settings, rows, VIEW)
    monkeypatch.setattr(doubting, "near", all_of_them)
    pd.testing.assert_frame_equal(found, doubting.credit_intervals(settings, rows, VIEW))
    assert asked == [2], "of 22 touches"
    assert found["identity_low_micros"].lt(found["identity_high_micros"]).any()


@pytest.mark.service
def test_what_cannot_be_drawn_anew_is_refused_with_what_can(tmp_path: Path) -> None:
    settings, rows = a_home(tmp_path)
    learned = rows.assign(algorithm="ranker")
    with pytest.raises(DoubtError, match=r"Full intervals are for last_touch, .* Take --intervals quick\."):
        doubting.credit_intervals(settings, learned, View((DAY,), "ranker"))
    with pytest.raises(DoubtError, match="go by the date of the conversion"):
        doubting.credit_intervals(settings, rows, replace(VIEW, reporting_date="touch"))
