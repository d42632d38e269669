"""Bad input is told: a torn log, an order told in two ways, a champion that decides nothing or has nothing to be compared with."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from monitoring import inputs
from monitoring.checks import Check
from monitoring.findings import Today, judge
from serving import appending, decision_frames, decision_log, decisions
from tests.builders import a_conversion, rows
from tests.serving.test_decision_log import a_decision, an_old_line, frames_of, write_old
from whence.contracts.times import Window

DAY = "2026-05-01"


def causes(*found: Check) -> list[str]:
    return [each.cause for each in judge(Today(date.fromisoformat(DAY), found), []) if each.level != "calm"]


def of_log(folder: Path) -> list[Check]:
    held = decisions.files(Window.parse(DAY), decision_log.read(folder, DAY).files)
    with duckdb.connect() as con:
        con.register("decision_files", held)
        return inputs.log_checks(con, DAY)


def test_a_log_that_ends_in_half_a_decision_is_a_finding_and_its_whole_decisions_count(tmp_path: Path) -> None:
    path = tmp_path / f"day={DAY}" / "10-1.frames"
    whole, more = frames_of(a_decision("a")), frames_of(a_decision("a"), a_decision("b"))
    for cut in (len(whole), len(more)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(more[:cut])
        assert causes(*of_log(tmp_path)) == []
    for cut in (3, len(whole) + 1, len(more) - 1):
        path.write_bytes(more[:cut])
        assert decision_frames.is_torn(path)
        assert causes(*of_log(tmp_path)) == ["torn_log"]


def test_damage_in_the_midst_of_a_log_is_a_finding_and_half_a_line_of_an_old_one_too(tmp_path: Path) -> None:
    path = tmp_path / f"day={DAY}" / "10-1.jsonl"
    write_old(path, an_old_line("a"))
    assert causes(*of_log(tmp_path)) == []
    appending.add(path, b"no decision\n")
    assert causes(*of_log(tmp_path)) == ["torn_log"]
    appending.add(path, b'{"decision_id": "b"')
    assert [check.value for check in of_log(tmp_path)] == [1.0, 1.0]


def test_a_day_without_a_log_says_nothing(tmp_path: Path) -> None:
    assert of_log(tmp_path) == []


@pytest.mark.parametrize(
    ("again", "found"),
    [
        ({}, []),
        ({"source": "server"}, []),
        ({"click_id": "c1"}, []),
        ({"value_micros": 1_000_000_000}, ["contradicting_labels"]),
        ({"currency": "EUR"}, ["contradicting_labels"]),
        ({"click_id": "other"}, ["contradicting_labels"]),
        ({"refund_of": "conversion", "value_micros": -10_000_000}, []),
    ],
    ids=["the same", "by another source", "with its click", "another value", "another currency", "another click", "a refund"],
)
def test_an_order_that_is_told_again_must_say_what_it_said_before(again: dict[str, Any], found: list[str]) -> None:
    first = a_conversion("10:00", order_id="o", click_id=None if again == {"click_id": "c1"} else "c1")
    told = rows("conversions", first, a_conversion("12:00", **{"order_id": "o", "click_id": None, **again}))
    with duckdb.connect() as con:
        con.register("conversions", told)
        assert causes(*inputs.told_twice_checks(con, DAY)) == found


def test_a_champion_that_decides_nothing_and_a_model_that_has_no_reference_are_findings() -> None:
    def of(decided: int, days: int, reference: int, champion: bool = True) -> list[str]:
        return causes(*inputs.serving_checks("identity-ranker", champion, decided, days, reference))

    assert of(0, 5, 100) == ["model_silent"]
    assert of(0, 0, 0, champion=False) == []
    assert of(50, 5, 0) == ["no_reference"]
    assert of(50, 5, 100) == []
    assert of(50, 1, 0) == [], "a new champion has no clean days yet"
