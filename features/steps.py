"""A window's feature tables, made day by day from the events, and then its latest rows put online."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from whence.contracts.tables import FEATURES
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

EVENTS = ("touches", "conversions", "sightings")

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


@dataclass(frozen=True)
class MaterialiseReport:
    """What became of a window: rows by table, and the tables that changed."""

    window: str
    rows: dict[str, int]
    changed: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return asdict(self)


def run(settings: Settings, window: Window, progress: Progress | None = None) -> MaterialiseReport:
    """Make the five feature tables for each day of the window, then write the window's latest rows online."""
    from features.store import write_online

    lake = Lake.of(settings)
    rows = dict.fromkeys(FEATURES, 0)
    changed = set()
    for done, day in enumerate(window, start=1):
        for name, table in tables_of(lake, day).items():
            rows[name] += table.num_rows
            if lake.replace(name, table, Window(day, day)):
                changed.add(name)
        if progress:
            progress(done, len(window.days) + 1)
    write_online(settings, window)
    if progress:
        progress(len(window.days) + 1, len(window.days) + 1)
    return MaterialiseReport(str(window), rows, tuple(sorted(changed)))


def tables_of(lake: Lake, day: date) -> dict[str, Any]:
    """The rows of each feature table at the end of the day, as Arrow tables."""
    import pyarrow as pa

    texts = _texts()
    with lake.connect(_span(lake, day), *EVENTS, "persons") as con:
        con.register("today", pa.table({"day": [day.isoformat()], "seen_at": [Window(day, day).end]}))
        for name in ("owners", "signals"):
            con.execute(f"CREATE TEMP TABLE {name} AS {texts[name]}")
        return {name: con.sql(texts[name]).to_arrow_table() for name in FEATURES}


@cache
def _texts() -> dict[str, str]:
    """The SQL of each step, the same for every day; Ibis takes half a second to write it."""
    import ibis

    from features import transforms

    today = ibis.table(transforms.TODAY, name="today")
    owners = ibis.table(transforms.OWNERS, name="owners")
    signals = ibis.table(transforms.SIGNALS, name="signals")
    touches, conversions, sightings, persons = (transforms.named(name) for name in (*EVENTS, "persons"))
    steps = {
        "owners": transforms.owners(persons, today),
        "signals": transforms.signals(touches, conversions, sightings, owners, today),
        **{name: make(signals, owners, today) for name, make in transforms.TRANSFORMS.items()},
    }
    return {name: str(ibis.to_sql(step, dialect="duckdb")) for name, step in steps.items()}


def _span(lake: Lake, day: date) -> Window:
    """The days to read: 14 of events, and every day that said whose an identifier is."""
    from features.transforms import LOOK_BACK_DAYS

    first = day - timedelta(days=LOOK_BACK_DAYS - 1)
    known = [date.fromisoformat(each) for each in lake.days("persons")[:1]]
    return Window(min([first, *known]), day)
