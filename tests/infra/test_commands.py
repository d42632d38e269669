"""The verbs for a day's steps: a step without anything to work on says so, and process ids are read as names."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra import show
from infra.commands import app
from tests.builders import some_settings


def test_a_step_on_a_day_without_events_says_what_brings_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["resolve", "2026-05-01", "--json"], obj=some_settings(tmp_path))
    assert done.exit_code == 0, done.output
    assert done.stderr == "No event of 2026-05-01 is in the tables. `whence ingest 2026-05-01` brings them in.\n"
    assert '"persons": 0' in done.stdout


def test_a_process_id_is_shown_without_commas(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows([{"name": "front", "pid": 11704, "rows": 11704}], as_json=False)
    assert capsys.readouterr().out.split()[-3:] == ["front", "11704", "11,704"]
