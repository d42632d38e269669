"""Statements of credit supersede each other, are never changed, and are made only when there is news."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.attribution.credit import ROW
from whence.attribution.statements import CORRECTION, FIRST, IDENTITY, LATE, MODEL, OF, POLICY, Occasion, current, news, withdrawn


def credit(conversion: str = "c", **micros_of_touches: int) -> pd.DataFrame:
    total = sum(micros_of_touches.values())
    rows = [
        dict.fromkeys(ROW, "")
        | {
            "day": "2026-05-01",
            "conversion_id": conversion,
            "algorithm": "linear",
            "touch_id": touch,
            "person_id": "p",
            "touched_at": pd.Timestamp("2026-05-01", tz="UTC"),
            "share": micros / total,
            "credit_micros": micros,
            "clean_micros": micros,
            "certainty": 1.0,
            "new_to_brand": True,
            "bundle": None,
        }
        for touch, micros in micros_of_touches.items()
    ]
    return pd.DataFrame(rows)


def on(day: int, **changes: Any) -> Occasion:
    stated = date(2026, 5, day)
    return Occasion(
        **{"stated_on": stated, "known_at": datetime(2026, 5, day + 1, tzinfo=UTC), "policy": "a", "data": "1", **changes}
    )


NOTHING = news(credit(t=1).head(0), credit(t=1), on(1)).head(0)


def test_the_first_statement_says_that_it_is_the_first() -> None:
    said = news(NOTHING, credit(t=100), on(1))
    assert said[["cause", "version", "stated_on"]].to_numpy().tolist() == [[FIRST, 1, "2026-05-01"]]


def test_what_was_said_is_not_said_again() -> None:
    said = news(NOTHING, credit(t=60, u=40), on(1))
    assert news(said, credit(u=40, t=60), on(2)).empty


def test_a_late_touch_supersedes_and_leaves_the_old_rows_as_they_were() -> None:
    said = news(NOTHING, credit(t=100), on(1))
    later = news(said, credit(t=50, u=50), on(2))
    assert set(later["cause"]) == {LATE}
    both = pd.concat([said, later], ignore_index=True)
    assert both.head(len(said)).equals(said)
    assert current(both)[["touch_id", "credit_micros"]].to_numpy().tolist() == [["t", 50], ["u", 50]]


def test_a_statement_names_what_changed() -> None:
    said = news(NOTHING, credit(t=100), on(1))
    split = credit(t=50, u=50)
    assert set(news(said, split, on(2, policy="b"))["cause"]) == {POLICY}
    assert set(news(said, split.assign(bundle="m"), on(2))["cause"]) == {MODEL}
    assert set(news(said, split.assign(person_id="q"), on(2))["cause"]) == {IDENTITY}
    assert set(news(said, split.assign(certainty=0.8), on(2))["cause"]) == {IDENTITY}


def test_a_day_that_is_run_again_and_finds_otherwise_corrects_itself() -> None:
    said = news(NOTHING, credit(t=100), on(1))
    again = news(said, credit(t=50, u=50), on(1))
    assert again[["cause", "version"]].drop_duplicates().to_numpy().tolist() == [[CORRECTION, 2]]
    assert current(pd.concat([said, again]))["credit_micros"].tolist() == [50, 50]


def test_other_conversions_are_left_alone() -> None:
    said = news(NOTHING, pd.concat([credit("a", t=1), credit("b", t=1)]), on(1))
    later = news(said, pd.concat([credit("a", t=1), credit("b", u=1)]), on(2))
    assert set(later["conversion_id"]) == {"b"}


def test_what_is_computed_no_more_is_taken_back_once() -> None:
    said = news(NOTHING, pd.concat([credit("a", t=1), credit("b", t=7)]), on(1))
    back = withdrawn(said, credit("a", t=1))
    assert back[["conversion_id", "touch_id", "credit_micros", "share"]].to_numpy().tolist() == [["b", "", 0, 0.0]]
    told = pd.concat([said, news(said, back, on(1))], ignore_index=True)
    assert current(told)["credit_micros"].sum() == 1
    assert withdrawn(told, credit("a", t=1)).empty


@pytest.mark.service
@settings(deadline=None, max_examples=15)
@given(st.lists(st.dictionaries(st.sampled_from("tuv"), st.integers(1, 9), min_size=1), min_size=1, max_size=5))
def test_however_often_it_is_restated_the_last_word_holds_and_is_whole(words: list[dict[str, int]]) -> None:
    told = NOTHING
    for day, micros in enumerate(words, start=1):
        told = pd.concat([told, news(told, credit(**micros), on(day))], ignore_index=True)
    held = current(told)
    assert held.set_index("touch_id")["credit_micros"].to_dict() == words[-1]
    assert not told.duplicated([*OF, "stated_on", "version", "touch_id"]).any()
