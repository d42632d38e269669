"""A source that is read from one end to the other: a log file, a folder of them, or a query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import pyarrow.compute as pc

from whence.contracts.times import Window
from whence.ingest.batch import Batch
from whence.ingest.check import check
from whence.ingest.errors import IngestError
from whence.ingest.read import Chunk, Place, chunks


@dataclass(frozen=True)
class FileSource:
    """Rows of a place, shaped into batches by `shape`, which leaves their `day` empty.

    A row without a usable time of its own is filed under the source's first day, so that it is
    refused once, whatever windows the source is taken in by.
    """

    place: Place
    needed: Callable[[str], tuple[str, ...]]
    """Of a file by its name, the columns."""
    shape: Callable[[Chunk], Iterable[Batch]]

    def days(self) -> Window:
        """The first and the last day of delivery of the rows that keep the contract."""
        return self._days

    def batches(self, window: Window) -> Iterator[Batch]:
        """All rows; the file does not say where a day begins."""
        for batch in self._batches():
            needs_day = bool(batch.faults) or batch.rows["seen_at"].null_count > 0
            yield replace(batch, day=self._days.first.isoformat()) if needs_day else batch

    def _batches(self) -> Iterator[Batch]:
        for chunk in chunks(self.place, self.needed):
            yield from self.shape(chunk)

    @cached_property
    def _days(self) -> Window:
        found: set[date] = set()
        for batch in self._batches():
            seen = check(batch).rows["seen_at"]
            if len(seen):
                found.update(each.date() for each in pc.min_max(seen).as_py().values())
        if not found:
            raise IngestError(
                f"{self.place.name} has no row with a usable time. Look at its first lines, and how its times are read."
            )
        return Window(min(found), max(found))
