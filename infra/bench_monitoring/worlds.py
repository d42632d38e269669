"""A simulated world taken through the real steps, day by day, without Airflow; a history is lived once and branched by copying."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from whence.contracts.models import MODELS
from whence.contracts.settings import Scenario, Settings, World
from whence.contracts.times import Window

FIRST = date(2026, 5, 1)
NOW = datetime(2026, 9, 1, tzinfo=UTC)


def a_world(home: Path, *, seed: int, people: int, days: int, scenario: str = "", on: date | None = None) -> Settings:
    """Settings of a world that nobody has lived yet; with a scenario that holds from `on`."""
    wrong = (Scenario(scenario, on),) if scenario and on else ()
    return Settings(home=home, world=World(seed=seed, people=people, first_day=FIRST, days=days, scenarios=wrong))


def live(settings: Settings, window: Window) -> None:
    """Take the window through the steps before watching, as the DAGs do."""
    from features import materialise
    from serving.daily.batch import attribute_conversions, resolve_identities
    from whence.ingest import ingest

    ingest(settings, window)
    resolve_identities(settings, window, now=NOW)
    materialise(settings, window)
    attribute_conversions(settings, window, now=NOW)


def crown(settings: Settings, as_of: date, models: tuple[str, ...] = MODELS) -> None:
    """Train the models as of a day and make them champions, whatever the gate says: the gate has a benchmark of its own."""
    import training
    from registry.journal import Journal

    journal = Journal.of(settings)
    for model in models:
        candidate = training.train(settings, model, as_of)
        row = journal.champion(model)
        journal.promote(model, candidate.bundle, "", ("first of its kind",), "bench", row.epoch if row else 0, NOW)


def branch(settings: Settings, home: Path, scenario: str, on: date, days: int) -> Settings:
    """A copy of everything that was written, in a world that goes wrong from a day on; until then both worlds are the same."""
    shutil.copytree(settings.home, home, ignore=shutil.ignore_patterns("world", "world.lock"))
    wrong = (Scenario(scenario, on),) if scenario else ()
    return replace(settings, home=home, world=replace(settings.world, days=days, scenarios=wrong))
