"""Simulated worlds taken through the real steps, day by day, without Airflow; a history is lived once, and branched by copying."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from whence.contracts.models import MODELS
from whence.contracts.settings import Scenario, Settings, World
from whence.contracts.times import Window

FIRST = date(2026, 5, 1)
NOW = datetime(2026, 9, 1, tzinfo=UTC)
FOLDER = Path(tempfile.gettempdir()) / "whence-bench-monitoring"
"""Homes lie here; what was lived already is not lived again, so that a second run measures the watching alone."""

WATCHED = ("checks", "findings")


def a_world(home: Path, *, seed: int, people: int, days: int) -> Settings:
    """Settings of a calm world."""
    return Settings(home=home, world=World(seed=seed, people=people, first_day=FIRST, days=days))


def on(number: int) -> date:
    """The day of a number, 0 being the world's first."""
    return FIRST + timedelta(days=number)


def live(settings: Settings, days: int, history: int) -> None:
    """Live the first days: a history in one window, then the models are trained and made champions, then day by day.

    The models win whatever the gate says, for that has a benchmark of its own.
    """
    if not was_lived(settings, "history"):
        _steps(settings, Window(FIRST, on(history - 1)))
        _crown(settings, on(history - 1))
        note_lived(settings, "history")
    for number in range(history, days):
        one_day(settings, on(number))


def one_day(settings: Settings, day: date) -> None:
    """Take a day through the steps before watching, as the DAGs do."""
    if not was_lived(settings, str(day)):
        _steps(settings, Window(day, day))
        note_lived(settings, str(day))


def watched_anew(settings: Settings) -> None:
    """Forget what watching wrote, so that it begins with the first day."""
    for name in WATCHED:
        shutil.rmtree(Path(settings.tables_uri) / name, ignore_errors=True)


def branch(settings: Settings, home: Path, scenario: str, first: date, days: int) -> Settings:
    """A copy of everything that was written, in a world that goes wrong from a day on; until then both worlds are the same.

    A copy that has lived the day takes over what watching has written since.
    """
    wrong = replace(settings, home=home, world=replace(settings.world, days=days, scenarios=(Scenario(scenario, first),)))
    if not was_lived(wrong, str(first)):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(settings.home, home, ignore=shutil.ignore_patterns("world", "world.*", "evidently"))
        return wrong
    watched_anew(wrong)
    for name in WATCHED:
        shutil.copytree(Path(settings.tables_uri) / name, Path(wrong.tables_uri) / name)
    return wrong


def _steps(settings: Settings, window: Window) -> None:
    from features import materialise
    from serving.daily.batch import attribute_conversions, resolve_identities
    from whence.ingest import ingest

    ingest(settings, window)
    resolve_identities(settings, window, now=NOW)
    materialise(settings, window)
    attribute_conversions(settings, window, now=NOW)


def _crown(settings: Settings, as_of: date) -> None:
    import training
    from registry.journal import Journal

    journal = Journal.of(settings)
    for model in MODELS:
        candidate = training.train(settings, model, as_of)
        row = journal.champion(model)
        journal.promote(model, candidate.bundle, "", ("first of its kind",), "bench", row.epoch if row else 0, NOW)


def was_lived(settings: Settings, name: str) -> bool:
    """Whether this part of a home's days was lived already."""
    file = settings.home / "lived.json"
    return file.exists() and name in json.loads(file.read_text())


def note_lived(settings: Settings, name: str) -> None:
    """Note that it was."""
    file = settings.home / "lived.json"
    lived = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([*lived, name]))
