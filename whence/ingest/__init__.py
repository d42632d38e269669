"""The door that events come in by: `ingest` takes a window of days in, `suggest` drafts a mapping for a new source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.ingest.errors import IngestError

if TYPE_CHECKING:
    from whence.ingest.batch import Source
    from whence.ingest.load import IngestReport

__all__ = ["IngestError", "ingest", "source_days", "suggest"]


def ingest(settings: Settings, window: Window, progress: Callable[[int, int], None] | None = None) -> IngestReport:
    """Take the events that were seen in the window's days into the tables; a second time changes nothing.

    Each of the tables' days becomes exactly what the source gives for it. Rows that break the
    contract go to `quarantine` with the reason, rows whose event id was there already are counted
    and let fall, and `ingest_counts` tells what became of every row. `progress` is called with the
    rows so far and 0, since nobody knows how many will come.
    Raises IngestError, with nothing written, for a source that cannot be read.
    """
    from whence.ingest.load import load

    return load(settings, _source(settings), window, progress)


def source_days(settings: Settings) -> Window:
    """The first and the last day that the source has; reads through it unless it is the world."""
    return _source(settings).days()


def suggest(path: str | Path, out: Path | None = None) -> str:
    """A first mapping for a CSV or Parquet file, as TOML, from a look at its columns; written to `out` if given."""
    from whence.ingest.suggest import draft

    text = draft(str(path))
    if out:
        out.write_text(text)
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
