"""One-line builders of rows and worlds for tests; whatever a test does not name gets a plain, valid value."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa

from whence.contracts.events import EVENTS
from whence.contracts.settings import Settings, World
from whence.contracts.tables import TABLES
from whence.contracts.times import Window, utc
from whence.ingest import ingest, source_days
from whence.lake import Lake

FIRST_DAY = date(2026, 5, 1)
Row = dict[str, Any]
_numbers = itertools.count(1)


def an_instant(at: str | datetime, on: date | str = FIRST_DAY) -> datetime:
    """An instant from "10:00", "10:00:30" or a whole ISO time with its zone."""
    if isinstance(at, datetime):
        return utc(at)
    if "T" in at:
        return utc(datetime.fromisoformat(at))
    day = date.fromisoformat(on) if isinstance(on, str) else on
    return datetime.combine(day, time.fromisoformat(at), UTC)


def a_touch(at: str | datetime = "10:00", on: date | str = FIRST_DAY, **changes: Any) -> Row:
    """A view of an ad, seen when it happened."""
    name = f"touch-{next(_numbers)}"
    plain = {
        "touch_id": changes.get("event_id", name),
        "kind": "view",
        "campaign_id": "campaign-1",
        "channel": "social",
        "price_micros": 5_000,
        "currency": "USD",
        "holdout": False,
    }
    return _row("touches", name, at, on, plain, changes)


def a_click(at: str | datetime = "10:00", on: date | str = FIRST_DAY, **changes: Any) -> Row:
    """A click on an ad, with a click id named after its touch."""
    touch = a_touch(at, on, **{"kind": "click", **changes})
    return touch if "click_id" in changes else {**touch, "click_id": f"click-of-{touch['touch_id']}"}


def a_conversion(at: str | datetime = "12:00", on: date | str = FIRST_DAY, **changes: Any) -> Row:
    """A purchase of ten dollars told by the pixel."""
    name = f"conversion-{next(_numbers)}"
    plain = {
        "conversion_id": changes.get("event_id", name),
        "kind": "purchase",
        "value_micros": 10_000_000,
        "currency": "USD",
        "source": "pixel",
    }
    return _row("conversions", name, at, on, plain, changes)


def a_sighting(at: str | datetime = "09:00", on: date | str = FIRST_DAY, **changes: Any) -> Row:
    """A log-in; name the identifiers that came together."""
    return _row("sightings", f"sighting-{next(_numbers)}", at, on, {"kind": "login"}, changes)


def rows(name: str, *given: Row) -> pa.Table:
    """The rows as the named table, with the day of their `seen_at`."""
    schema = TABLES[name].schema
    filled = [{column: row.get(column) for column in schema.names} for row in given]
    return pa.Table.from_pylist(filled, schema=schema)


def a_lake(folder: Path, **tables: Iterable[Row]) -> Lake:
    """A lake below the folder with the given rows by table: `a_lake(tmp_path, touches=[a_touch()])`."""
    lake = Lake(str(folder / "tables"))
    for name, given in tables.items():
        table = rows(name, *given)
        days = sorted(set(table["day"].to_pylist()))
        if days:
            lake.replace(name, table, Window(date.fromisoformat(days[0]), date.fromisoformat(days[-1])))
    return lake


def some_settings(folder: Path, **changes: Any) -> Settings:
    """Settings whose home is below the folder; name sections to change them."""
    return Settings(home=folder / "home", **changes)


def a_world(folder: Path, people: int = 200, days: int = 4, **changes: Any) -> Settings:
    """Settings of a small world that is simulated and ingested already; `changes` go to the world, as `seed=3`."""
    settings = some_settings(folder, world=World(people=people, days=days, first_day=FIRST_DAY, **changes))
    ingest(settings, source_days(settings))
    return settings


def _row(table: str, name: str, at: str | datetime, on: date | str, plain: Row, changes: Row) -> Row:
    happened = an_instant(at, on)
    seen = an_instant(changes.pop("seen_at"), on) if "seen_at" in changes else happened
    if unknown := set(changes) - set(EVENTS[table].names):
        raise TypeError(f"{table} have no column {sorted(unknown)[0]}.")
    times = {"day": seen.date().isoformat(), "event_id": name, "happened_at": happened, "seen_at": seen}
    return {**times, "consent": "granted", **plain, **changes}
