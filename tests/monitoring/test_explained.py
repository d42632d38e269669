"""A conversion explained: who was paid and why, how sure, by what was known then; and what cannot be told is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from monitoring.explained.page import html
from monitoring.explained.story import Story, StoryError, tell
from monitoring.explained.words import in_short
from tests.builders import a_click, a_conversion, a_touch, an_instant, rows, some_settings
from whence.contracts.settings import Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

DAY = date(2026, 5, 1)
KNOWN = datetime(2026, 5, 2, tzinfo=UTC)


def stated(algorithm: str, touch: str, micros: int, **changes: Any) -> dict[str, Any]:
    """A row of credit for the conversion c1, worth 10 units."""
    plain = {
        "day": str(DAY), "conversion_id": "c1", "algorithm": algorithm, "touch_id": touch, "stated_on": str(DAY), "version": 1,
        "cause": "first", "known_at": KNOWN, "campaign_id": f"of {touch}" if touch else "", "channel": "search" if touch else "",
        "person_id": "ann", "touched_at": an_instant("10:00") if touch else None, "share": micros / 10e6, "credit_micros": micros,
        "currency": "EUR", "suspect": "", "clean_micros": micros, "certainty": 0.9 if touch == "t1" else 1.0,
        "new_to_brand": False, "policy": "f" * 64, "bundle": None, "data": "touches 1",
    }  # fmt: skip
    return plain | changes


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = some_settings(tmp_path)
    lake, window = Lake.of(made), Window(DAY, DAY)
    lake.replace(
        "conversions",
        rows("conversions", a_conversion(conversion_id="c1", value_micros=10_000_000, currency="EUR", cookie_id="k1")),
        window,
    )
    lake.replace(
        "touches",
        rows("touches", a_click(touch_id="t1", cookie_id="k1"), a_touch("11:00", touch_id="t2", cookie_id="k2")),
        window,
    )
    credit = [
        stated("last_touch", "t1", 10_000_000, version=1),
        stated("last_touch", "t2", 6_000_000, version=2, cause="late_events"),
        stated("last_touch", "t1", 3_000_000, version=2, cause="late_events"),
        stated("last_touch", "", 1_000_000, version=2, cause="late_events"),
        stated("linear", "t1", 5_000_000),
        stated("linear", "t2", 5_000_000),
    ]
    lake.replace("credits", pa.Table.from_pylist(credit, schema=TABLES["credits"].schema), window)
    event = {"day": "2026-05-01", "event_id": "e1", "kind": "assign", "identifier": "cookie_id:k1", "person_id": "ann", "from_person": None,
             "valid_at": an_instant("00:00"), "known_at": an_instant("10:30"), "cause": "resolve 2026-05-01"}  # fmt: skip
    lake.replace("person_events", pa.Table.from_pylist([event], schema=TABLES["person_events"].schema), window)
    person = {"day": "2026-05-01", "seen_at": an_instant("10:30"), "identifier": "cookie_id:k1", "person_id": "ann", "probability": 0.9,
              "method": "ranked", "bundle": "b" * 64}  # fmt: skip
    lake.replace("persons", pa.Table.from_pylist([person], schema=TABLES["persons"].schema), window)
    return made


@pytest.fixture
def story(settings: Settings) -> Story:
    return tell(settings, "c1")


def test_what_holds_now_pays_and_what_was_said_before_is_kept(story: Story) -> None:
    assert [(each.touch_id, each.credit_micros) for each in story.paying.earned] == [
        ("t2", 6_000_000),
        ("t1", 3_000_000),
        ("", 1_000_000),
    ]
    assert [each.version for each in story.superseded] == [1]
    assert [each.algorithm for each in story.statements] == ["last_touch", "linear"]


def test_the_weakest_tie_says_how_sure_the_credit_is(story: Story) -> None:
    assert story.certainty == 0.9
    assert [(each.identifier, each.method, each.on_conversion) for each in story.links] == [("cookie_id:k1", "ranked", True)]
    assert any("0.90 sure" in each for each in in_short(story))


def test_the_story_says_that_late_events_changed_it(story: Story) -> None:
    assert any("stated 2 times" in each and "late events" in each for each in in_short(story))


def test_the_page_says_all_of_it_and_escapes_what_came_from_outside(settings: Settings) -> None:
    odd = a_conversion(conversion_id="c1", value_micros=10_000_000, currency="EUR", cookie_id="k1", product="<script>x</script>")
    Lake.of(settings).replace("conversions", rows("conversions", odd), Window(DAY, DAY))
    said = html(tell(settings, "c1"))
    assert "<script>" not in said
    for words in ("Who it was", "By every algorithm", "superseded", "of t2", "The ranker was not asked"):
        assert words in said


def test_a_conversion_that_is_not_there_is_named_with_its_neighbours(settings: Settings) -> None:
    with pytest.raises(StoryError, match=r"no conversion 'c9'"):
        tell(settings, "c9")


def test_a_refund_says_which_order_to_explain(settings: Settings) -> None:
    back = a_conversion("13:00", conversion_id="r1", value_micros=-1, refund_of="o7")
    lake = Lake.of(settings)
    lake.replace("conversions", pa.concat_tables([lake.read("conversions"), rows("conversions", back)]), Window(DAY, DAY))
    with pytest.raises(StoryError, match="takes back money of o7"):
        tell(settings, "r1")
