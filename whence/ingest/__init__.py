"""The door that events come in by: `ingest` takes a window of days in, `suggest` drafts a mapping for a new source."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.ingest.errors import IngestError

if TYPE_CHECKING:
    import pyarrow as pa

    from whence.ingest.batch import Source
    from whence.ingest.load import IngestReport

log = logging.getLogger(__name__)
LESS = (
    "Rows of %s came or changed since it was taken in, but its files hold %d now and %d were taken in: one is gone, or is shorter. "
    "Taken in again, the day would lose rows. Bring the file back, or let the rows go, then `whence ingest %s`."
)
NEVER = "Nobody has asked for %s yet, of which the source has %d rows. `whence ingest %s` takes them in."
__all__ = ["IngestError", "days_to_repeat", "ingest", "late_days", "peek", "source_days", "suggest", "unfilled"]


def ingest(settings: Settings, window: Window, progress: Callable[[int, int], None] | None = None) -> IngestReport:
    """Take the events that were seen in the window's days into the tables; a second time changes nothing.

    Each of the tables' days becomes exactly what the source gives for it. Rows that break the
    contract go to `quarantine` with the reason, rows whose event id was there already are counted
    and let fall, and `ingest_counts` tells what became of every row. `progress` is called with the
    rows so far and 0, since nobody knows how many will come.
    Raises IngestError, with nothing written, for a source that cannot be read.
    """
    from whence.ingest.files import FileSource
    from whence.ingest.load import load

    source = _source(settings)
    found = load(settings, source, window, progress)
    if isinstance(source, FileSource):
        source.note_taken(window)
    return found


def source_days(settings: Settings) -> Window:
    """The first and the last day that the source has; reads through it unless it is the world."""
    return _source(settings).days()


def late_days(settings: Settings, window: Window) -> list[Window]:
    """Days before the window that were taken in, and of whose rows some came, or were changed in their files, since; each run of days as one.

    It goes by what `ingest` last saw of the source's files, and back as far as an event that comes again is known for a duplicate.
    A day of which the files hold fewer rows than were taken in, since one is gone, would lose rows: it is left, with a warning.
    """
    from whence.ingest.files import FileSource
    from whence.ingest.load import REPEATS_FOR
    from whence.lake import Lake

    source = _source(settings)
    if not isinstance(source, FileSource):
        return []
    before = Window(window.first - REPEATS_FOR, window.first - timedelta(days=1))
    counts = Lake.of(settings).read("ingest_counts", before).group_by(["source", "day"]).aggregate([("read", "sum")]).to_pylist()
    by_file = {(row["source"], row["day"]): row["read_sum"] for row in counts}
    taken: Counter[str] = Counter()
    for (_, day), rows in by_file.items():
        taken[day] += rows
    came = dict(sorted(source.late(by_file).items()))
    asked = {*taken, *(source.asked & {*before.days})}
    for day in came:
        if asked and min(asked) < day < str(window.first) and day not in asked:
            log.warning(NEVER, day, came[day], day)
    late = {day: rows for day, rows in came.items() if day in asked}
    for day, rows in late.items():
        if rows < taken[day]:
            log.warning(LESS, day, rows, taken[day], day)
    return Window.runs(date.fromisoformat(day) for day, rows in late.items() if rows >= taken[day])


def days_to_repeat(settings: Settings, late: Iterable[Window], window: Window) -> list[Window]:
    """Days before the window whose steps have to run again when late ones were taken in; each run of days as one.

    Those themselves, and the days after them: who somebody was and what earned a conversion was said there without their
    rows. Of these days no more than the policy lets late events restate.
    """
    from whence.attribution import policy

    days = sorted(day for each in late for day in each)
    if not days:
        return []
    first = max(days[0], window.first - timedelta(days=policy.of(settings).restate_days))
    between = Window(first, window.first - timedelta(days=1))
    return list(Window.runs({*days, *between}))


def unfilled(settings: Settings, window: Window) -> list[tuple[str, str, str]]:
    """Of a mapping, what it reads and no row of the window's days has: table, field, and the columns that it names for it.

    In JSON a name that nothing goes by is an empty cell, so that nobody else says so.
    """
    if settings.source.kind != "mapping":
        return []
    from whence.ingest.mapping import parse
    from whence.lake import Lake

    lake, found = Lake.of(settings), []
    tables = parse(Path(settings.source.mapping).read_text(), settings.source.mapping).tables
    for name in dict.fromkeys(each.table for each in tables):
        rows = lake.read(name, window)
        columns: dict[str, list[str]] = {}
        for field, cell in [pair for each in tables if each.table == name for pair in each.cells.items()]:
            columns.setdefault(field, []).extend(cell.columns)
        empty = [field for field, named in columns.items() if named and len(rows) and rows[field].null_count == len(rows)]
        found += [(name, field, ", ".join(dict.fromkeys(columns[field]))) for field in empty]
    return found


def peek(settings: Settings, window: Window, table: str) -> pa.Table:
    """The good rows that the source has for a table and window, by seen_at, an event once; nothing is written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from whence.contracts.events import EVENTS
    from whence.ingest.check import check

    batches = (batch for batch in _source(settings).batches(window) if batch.table == table)
    good = (check(batch).rows for batch in batches)
    rows = pa.Table.from_batches([part.cast(EVENTS[table]) for part in good], EVENTS[table])
    is_within = pc.and_(pc.greater_equal(rows["seen_at"], window.start), pc.less(rows["seen_at"], window.end))
    ordered = rows.filter(is_within).sort_by([("seen_at", "ascending"), ("event_id", "ascending")])
    seen: set[str] = set()
    first = [event not in seen and not seen.add(event) for event in ordered["event_id"].to_pylist()]  # type: ignore[func-returns-value]
    return ordered.filter(pa.array(first, pa.bool_()))


def suggest(path: str | Path, out: Path | None = None, table: str = "") -> str:
    """A first mapping for a source that nobody has mapped, as TOML, from a look at it; written to `out` if given.

    What stands in `out` already, perhaps a mapping that somebody has corrected, is never overwritten.

    `path` is a file, a folder, an s3:// address, or the address of a database, of which `table` is looked at. Raises IngestError
    for what cannot be read.
    """
    from whence.ingest.drafting import draft

    text = draft(str(path), table)
    if out and not (out.exists() and out.read_text() == text):
        try:
            with out.open("x") as file:
                file.write(text)
        except FileExistsError:
            raise IngestError(
                f"{out} is there already, and is not this draft. Name another file by --out, or remove that one."
            ) from None
    return text


def _source(settings: Settings) -> Source:
    kind = settings.source.kind
    if kind == "world":
        from whence.ingest.world_files import WorldFiles

        return WorldFiles(settings)
    if kind == "talkingdata":
        from whence.ingest.talkingdata import talkingdata

        return talkingdata(settings)
    if kind == "criteo":
        from whence.ingest.criteo import criteo

        return criteo(settings)
    if kind == "mapping":
        from whence.ingest.mapping import mapped

        return mapped(settings)
    raise IngestError(f"source.kind is '{kind}'. Expected world, talkingdata, criteo or mapping.")
