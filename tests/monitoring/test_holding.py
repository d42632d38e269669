"""A day that findings say not to publish is held: its report says so, until it is mended or a person lets it go."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import monitoring
from infra.commands import app
from monitoring import acting, holding
from monitoring.findings import Finding, to_arrow
from registry.journal import Journal
from tests.builders import rows
from tests.monitoring.test_attribution_report import a_home, some_credits
from whence.contracts.models import CONVERSION_VALUE, IDENTITY_RANKER
from whence.contracts.settings import Monitoring, Settings
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 5, 4, 6, tzinfo=UTC)
OUTAGE = Finding("touches", "stop", "rows", "search", "Search fell [0, 3] silent.", "tracker_outage", status="open")


def found(settings: Settings, day: Window, *findings: Finding) -> None:
    Lake.of(settings).replace("findings", to_arrow(str(day), findings), day)


def days(settings: Settings, window: Window) -> list[str]:
    return [each.day for each in holding.settle(settings, window)]


def test_a_held_day_is_red_in_its_report_and_lets_itself_go_when_it_is_mended(tmp_path: Path):
    settings = a_home(tmp_path, some_credits())
    first = date.fromisoformat(min(Lake.of(settings).days("credits")))
    day = Window(first, first)
    found(settings, day, OUTAGE)
    assert days(settings, day) == days(settings, day) == [str(day)]
    made = monitoring.report(settings, day, NOW)
    page = (made.folder / "report.html").read_text()
    assert "Held: do not pay by this report." in page
    assert OUTAGE.reason in page
    assert json.loads((made.folder / "report.json").read_text())["held"] == {str(day): OUTAGE.reason}
    assert pd.read_csv(made.folder / "campaigns.csv")["held"].eq(str(day)).all()
    assert set(pd.read_parquet(made.folder / "days.parquet")["held"]) == {str(day)}
    said = CliRunner().invoke(app, ["report", str(day)], obj=settings, catch_exceptions=False)
    assert f"Held {day} is not final: {OUTAGE.reason}" in " ".join(said.output.split())

    found(settings, day, replace(OUTAGE, level="calm", status="closed"))
    assert days(settings, day) == []
    assert monitoring.report(settings, day, NOW).is_new
    assert "Held" not in (made.folder / "report.html").read_text()
    assert "held" not in pd.read_csv(made.folder / "campaigns.csv")


def test_a_person_lets_a_day_go_and_other_findings_hold_it_again(tmp_path: Path):
    settings, day = Settings(home=tmp_path), Window.parse("2026-05-03")
    with pytest.raises(holding.NotHeld, match="whence watch 2026-05-03"):
        holding.release(settings, day.first, "because", "ana", NOW)
    found(settings, day, OUTAGE)
    assert days(settings, day) == [str(day)]
    said = CliRunner().invoke(app, ["release", str(day), "--reason", "search was off on purpose"], obj=settings)
    assert said.exit_code == 0, said.output
    holding.release(settings, day.first, "again", "bo", NOW)
    found(settings, day, replace(OUTAGE, reason="Search fell silent: 0 rows of 81."))
    assert days(settings, day) == [], "the same harm in other words stays released"
    found(settings, day, OUTAGE, Finding("conversions", "stop", "log10_amount", "all", "Cents.", "unit_change", status="open"))
    assert days(settings, day) == [str(day)]
    kept = Lake.of(settings).read("holds", day).to_pylist()
    assert [row["reason"] for row in kept if row["kind"] == "release"] == ["search was off on purpose"]


def test_a_rollback_is_done_once_and_only_where_the_settings_leave_it_to_a_machine(tmp_path: Path):
    settings, day = Settings(home=tmp_path, monitoring=Monitoring(rollback="automatic")), Window.parse("2026-05-03")
    journal = Journal.of(settings)
    for epoch, bundle in enumerate(("good", "bad")):
        journal.promote(CONVERSION_VALUE, bundle, "", (), "gate", epoch, NOW)
    asked = (CONVERSION_VALUE, IDENTITY_RANKER)
    decided = {"day": str(day), "decision_id": "d", "made_at": NOW, "route": "batch", "model": CONVERSION_VALUE, "subject": "s"}
    Lake.of(settings).replace("decisions", rows("decisions", {**decided, "bundle": "bad", "features": "{}"}), day)
    by_hand = replace(settings, monitoring=Monitoring(rollback="person"))
    assert "whence rollback conversion-value" in acting.roll_back(by_hand, day.first, asked, NOW)[CONVERSION_VALUE]
    assert "had not decided anything by 2026-05-02" in acting.roll_back(settings, date(2026, 5, 2), asked, NOW)[CONVERSION_VALUE]
    assert acting.roll_back(settings, day.first, asked, NOW) == {
        CONVERSION_VALUE: "good is champion again",
        IDENTITY_RANKER: "there is no champion",
    }
    assert "nothing to take back" in acting.roll_back(settings, day.first, asked, NOW)[CONVERSION_VALUE]
    champion = journal.champion(CONVERSION_VALUE)
    assert champion is not None
    assert (champion.bundle, champion.who) == ("good", "monitoring")
    with pytest.raises(acting.ActingError, match="cannot be 'sometimes'"):
        acting.roll_back(replace(settings, monitoring=Monitoring(rollback="sometimes")), day.first, asked, NOW)


def test_what_findings_ask_for_is_read_by_day_and_level(tmp_path: Path):
    settings, day = Settings(home=tmp_path), Window.parse("2026-05-03")
    off = Finding(CONVERSION_VALUE, "recalibrate", "observed_over_expected", "all", "Off.", "prior_shift", status="open")
    found(settings, day, OUTAGE, off)
    assert acting.wanted(settings, day.first, "recalibrate") == (CONVERSION_VALUE,)
    assert acting.wanted(settings, date(2026, 5, 4), "recalibrate") == ()
