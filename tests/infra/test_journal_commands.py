"""`whence journal` as a person on call types it: what is listed, what served then, and what is said of a changed row."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra import doctor, journal_commands
from infra.commands import app
from registry.alarms import Alarm, Alarms
from registry.journal import CANARY, Journal
from registry.rows import stamp
from tests.builders import some_settings
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (each * 64 for each in "abc")
MADE_OF = {"data": {"touches": 3}, "identity": {"persons": 2}, "policy": {"gate": "d" * 64}, "libraries": {"lightgbm": "4.7.0"}}


def whence(settings: Settings, *words: str) -> Any:
    return CliRunner().invoke(app, [*words], obj=settings)


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    """A champion since noon, another since two, and a challenger that has a twentieth of the people since three."""
    settings = some_settings(tmp_path)
    journal = Journal.of(settings)
    journal.promote(IDENTITY_RANKER, FIRST, "v", ("it is the first",), "ana", 0, NOON)
    journal.promote(IDENTITY_RANKER, SECOND, "v", ("better for sure",), "ana", 1, NOON + timedelta(hours=2), MADE_OF)
    journal.step(CANARY, IDENTITY_RANKER, THIRD, {"share": 0.05}, ("calm so far",), "rollout", 2, NOON + timedelta(hours=3))
    return settings


def test_the_journal_lists_every_row_and_says_that_it_holds(shop: Settings):
    told = whence(shop, "journal")
    assert told.exit_code == 0
    assert "3 rows; every seal and signature holds" in told.stdout
    assert [row["kind"] for row in json.loads(whence(shop, "journal", "--json").stdout)] == ["promote", "promote", "canary"]
    assert json.loads(whence(shop, "journal", "--model", "conversion-value", "--json").stdout) == []
    assert json.loads(whence(shop, "journal", "verify", "--json").stdout)["rows"] == 3


@pytest.mark.parametrize("command", ["judge", "promote"])
def test_a_day_without_candidates_says_how_to_make_one(shop: Settings, command: str):
    told = whence(shop, command, "2026-05-04")
    assert (told.exit_code, told.stdout) == (
        0,
        "There are no candidates of 2026-05-04. `whence train MODEL 2026-05-04` makes one.\n",
    )


def test_what_served_at_an_instant_is_told_with_what_it_was_made_of(shop: Settings):
    def told(instant: str) -> dict[str, Any]:
        answer = whence(shop, "journal", "at", instant, "--model", IDENTITY_RANKER, "--json")
        assert answer.exit_code == 0, answer.stderr
        return dict(json.loads(answer.stdout)[0])

    assert told("2026-05-03T11:59Z")["bundle"] is None
    assert told("2026-05-03T13:59:59Z")["bundle"] == FIRST
    assert told("2026-05-03T16:05+02:00") == {
        "model": IDENTITY_RANKER,
        "bundle": SECOND,
        "epoch": 2,
        "since": "2026-05-03T14:00:00.000000Z",
        "who": "ana",
        "versions": MADE_OF,
        "challenger": None,
    }
    assert told("2026-05-04T00:00Z")["challenger"] == {"bundle": THIRD, "kind": "canary", "share": 0.05}
    words = whence(shop, "journal", "at", "2026-05-03T14:05Z").stdout
    assert "data: touches 3" in words
    assert "none yet" in words, "the other models"


def test_an_instant_without_a_zone_is_refused(shop: Settings):
    told = whence(shop, "journal", "at", "2026-05-03T14:05")
    assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
    assert "has no time zone" in told.stderr


def test_a_changed_row_is_named_beneath_the_list_and_for_programs(shop: Settings):
    with sqlite3.connect(shop.journal_url.removeprefix("sqlite:///")) as raw:
        raw.execute("DROP TRIGGER promotions_no_UPDATE")
        raw.execute("UPDATE promotions SET who = 'eve' WHERE epoch = 2")
    raw.close()

    told = whence(shop, "journal")
    assert told.exit_code == 1
    assert "Row 2 of the journal (promote of identity-ranker" in told.stdout.replace("\n", " ")
    verdict = whence(shop, "journal", "verify", "--json")
    assert (verdict.exit_code, json.loads(verdict.stdout)["holds"]) == (1, False)
    assert "is not the row that was written" in whence(shop, "journal", "at", "2026-05-04T00:00Z").stderr


def test_a_rollback_is_typed_with_its_reason_and_told_as_a_row(shop: Settings):
    told = whence(shop, "rollback", IDENTITY_RANKER, "--reason", "credit fell", "--json")
    assert told.exit_code == 0, told.stderr
    row = json.loads(told.stdout)
    assert (row["kind"], row["bundle"], row["previous"], row["reasons"]) == ("rollback", FIRST, SECOND, ["credit fell"])
    refused = whence(shop, "rollback", "no-such-model", "--reason", "x")
    assert (refused.exit_code, "There is no model 'no-such-model'" in refused.stderr) == (1, True)


def test_an_alias_that_was_moved_is_told_by_status_and_doctor_for_a_day(shop: Settings, capsys: pytest.CaptureFixture[str]):
    moved = Alarm("2026-05-03T15:00:00.000000Z", IDENTITY_RANKER, "moved", 2, "moved by hand")
    Alarms.of(shop).settle([moved], (), NOON)
    journal_commands.say_alarms(shop, NOON + timedelta(hours=20))
    assert "2026-05-03T15:00:00  moved by hand" in capsys.readouterr().out
    journal_commands.say_alarms(shop, NOON + timedelta(hours=30))
    assert capsys.readouterr().out == ""
    assert doctor._alarms(shop) == doctor.Symptom("alarms", True, "none of a day"), "it was long ago"
    Alarms.of(shop).settle([replace(moved, at=stamp(datetime.now(UTC)))], (), NOON)
    assert not doctor._alarms(shop).is_well


def test_a_champion_that_is_lost_is_told_by_doctor_until_it_is_found_however_long_that_takes(shop: Settings):
    lost = Alarm("2026-05-01T15:00:00.000000Z", IDENTITY_RANKER, "lost", 2, "the champion is not registered in MLflow")
    Alarms.of(shop).settle([lost], ("lost",), NOON)
    told = "2026-05-01T15:00: the champion is not registered in MLflow"
    assert doctor._alarms(shop) == doctor.Symptom("alarms", False, told)
    Alarms.of(shop).settle([], ("lost",), NOON)
    assert doctor._alarms(shop).is_well
