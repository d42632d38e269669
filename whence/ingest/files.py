"""A source that is read from one end to the other: a log file, a folder of them, or a query."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.ingest import urls
from whence.ingest.batch import Batch
from whence.ingest.check import check
from whence.ingest.errors import IngestError
from whence.ingest.file_days import Days, FileDays, needs_day
from whence.ingest.places import File, Place, files
from whence.ingest.read import Chunk, Needed, chunks, file_chunks, headers

TAKEN, ASKED = "taken", "asked"
"""The kinds of what is remembered of a file when its rows were taken in, and of all files together: the days that were asked for."""
ALL_FILES = File("", "", lambda: nullcontext(Path()))


@dataclass(frozen=True)
class FileSource:
    """Rows of a place, shaped into batches by `shape`, which leaves their `day` empty.

    A row without a usable time of its own is filed under the source's first day, so that it is
    refused once, whatever windows the source is taken in by. Files that were read before, are as they were, and have
    no row of the window are not read again.
    """

    place: Place
    needed: Needed
    """Of a file by its name, the columns."""
    shape: Callable[[Chunk], Iterable[Batch]]
    known: FileDays

    def days(self) -> Window:
        """The first and the last day of delivery of the rows that keep the contract."""
        return self._days

    def batches(self, window: Window) -> Iterator[Batch]:
        """All rows of the files that may have some in the window."""
        for batch in self._read(lambda file: self._may_hold(file, window), window):
            yield replace(batch, day=self._days.first.isoformat()) if needs_day(batch) else batch

    def note_taken(self, window: Window) -> None:
        """Remember that the tables hold what the files have of these days now, be it nothing."""
        if self.place.is_sql:
            return
        with files(self.place) as found, self.known:
            asked = Days(dict.fromkeys([*self.known.last(ALL_FILES, ASKED).rows, *window.days], 0))
            self.known.note(ALL_FILES, asked, ASKED)
            for file in found:
                days = self.known.of(file)
                if days is not None and days.meet(window):
                    sums = {day: each for day, each in days.sums.items() if day in window.days}
                    self.known.note(file, Days(sums={**self.known.last(file, TAKEN).sums, **sums}), TAKEN)

    @property
    def asked(self) -> frozenset[str]:
        """The days that were taken in, those among them of which there was no row."""
        return frozenset(self.known.last(ALL_FILES, ASKED).rows)

    def late(self, taken: Mapping[tuple[str, str], int]) -> dict[str, int]:
        """The days of which a file that was read holds more rows than were taken in, by (file, day), or other ones; and how many all files hold.

        Of a database nobody knows.
        """
        if self.place.is_sql:
            return {}
        with files(self.place) as found:
            known = {file.name: days for file in found if (days := self.known.of(file))}
            held = {file.name: self.known.last(file, TAKEN).sums for file in found}
        late = {day for name, days in known.items() for day, rows in days.rows.items() if rows > taken.get((name, day), 0)}
        late |= {day for name, days in known.items() for day, was in held[name].items() if days.sums.get(day, 0) != was}
        return {day: sum(days.rows.get(day, 0) for days in known.values()) for day in late}

    def _may_hold(self, file: File, window: Window) -> bool:
        days = self.known.of(file)
        return days is None or days.meet(window) or (days.has_strays and self._days.first in window)

    def _read(self, is_wanted: Callable[[File], bool], window: Window | None = None) -> Iterator[Batch]:
        """The batches of the files that are wanted, and of which days their rows are is remembered; or what a query has of a window."""
        if self.place.is_sql:
            for chunk in chunks(self.place, self.needed, window):
                yield from self.shape(chunk)
            return
        with files(self.place) as found, self.known:
            for file in filter(is_wanted, found):
                days = Days()
                for batch in self._of(file):
                    days = days.joined(batch)
                    yield batch
                self.known.note(file, days)

    def _of(self, file: File) -> Iterator[Batch]:
        for chunk in file_chunks(file, self.needed, self.place.delimiter):
            yield from self.shape(chunk)

    @cached_property
    def _days(self) -> Window:
        found = sorted({day for each in self._good_days() for day in each.rows})
        if not found:
            raise IngestError(
                f"{self.place.name} has no row with a usable time. Look at its first lines, and how its times are read.{self._lacking()}"
            )
        return Window(date.fromisoformat(found[0]), date.fromisoformat(found[-1]))

    def _lacking(self) -> str:
        """In words, a column that is wanted and that none of the first rows has: in JSON nobody else says so."""
        for name, there in headers(self.place).items():
            for column in map(urls.column, self.needed(name)):
                if column not in there:
                    return f" In {name} nothing is called '{column}'; there are {', '.join(there)}."
        return ""

    def _good_days(self) -> Iterator[Days]:
        """Of each file's rows that keep the contract."""
        if self.place.is_sql:
            yield _good(self._read(lambda _: True))
            return
        with files(self.place) as found, self.known:
            for file in found:
                days = self.known.of(file, "good")
                if days is None:
                    days = _good(self._of(file))
                    self.known.note(file, days, "good")
                yield days


def remembered(settings: Settings, mapping: str = "") -> FileDays:
    """What is remembered of the files of the settings' source, as it is read by them and a mapping's text."""
    source = settings.source
    told = json.dumps([source.kind, source.path, source.shift_days, mapping])
    return FileDays(settings.home / "ingest-files.json", hashlib.sha256(told.encode()).hexdigest())


def _good(batches: Iterable[Batch]) -> Days:
    days = Days()
    for batch in batches:
        days = days.joined(replace(batch, rows=check(batch).rows, faults=()))
    return days
