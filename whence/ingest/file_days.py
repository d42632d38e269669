"""What is remembered of a source's files: of which days their rows are, so that a day is taken in without reading all others again."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import pyarrow.compute as pc

from whence.contracts.times import Window
from whence.ingest.batch import Batch
from whence.ingest.places import File

FORM = 1
"""Raised when files are read in another way, so that what was remembered is forgotten."""


@dataclass(frozen=True)
class Days:
    """Of which days, as 2026-05-01, a file's rows are: from `first` to `last`, both empty when no row has a time."""

    first: str = ""
    last: str = ""
    has_strays: bool = False
    """Whether some rows are filed under another day than their own, since they have no usable one."""

    def joined(self, batch: Batch) -> Days:
        """With the rows of a batch."""
        seen = batch.rows["seen_at"]
        has_strays = self.has_strays or needs_day(batch)
        if seen.null_count == len(seen):
            return Days(self.first, self.last, has_strays)
        told = pc.min_max(seen).as_py()
        first, last = (told[name].date().isoformat() for name in ("min", "max"))
        return Days(min(self.first or first, first), max(self.last, last), has_strays)

    def meet(self, window: Window) -> bool:
        """Whether rows may lie in the window by their own time."""
        return bool(self.first) and self.first <= window.last.isoformat() and self.last >= window.first.isoformat()


def needs_day(batch: Batch) -> bool:
    """Whether rows of it may lack a usable time."""
    return bool(batch.faults) or batch.rows["seen_at"].null_count > 0


@dataclass
class FileDays:
    """The memory, a file of JSON; whatever is wrong with it, or was made of rows read in another way, is as if it were not there."""

    path: Path
    read_as: str
    """Tells the ways of reading rows apart: the mapping, and by how much times are moved."""

    def __post_init__(self) -> None:
        """Read it once."""
        self._all, self._new = self._kept(), dict[tuple[str, str], tuple[str, Days]]()

    def of(self, file: File, kind: str = "rows") -> Days | None:
        """The days of a file that is as it was; `kind` rows for all of them, good for those that keep the contract."""
        mark, days = self._all.get((kind, file.name), ("", None))
        return days if mark == file.mark else None

    def note(self, file: File, days: Days, kind: str = "rows") -> None:
        """Remember them, on the disk at the end of a `with`."""
        self._all[kind, file.name] = self._new[kind, file.name] = (file.mark, days)

    def __enter__(self) -> FileDays:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what was noted. Of two who do so at once, one may be forgotten, and its files are read once more."""
        if not self._new:
            return
        found = [[*key, mark, asdict(days)] for key, (mark, days) in {**self._kept(), **self._new}.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(6)}")
        draft.write_text(json.dumps({"form": FORM, "read_as": self.read_as, "files": found}))
        os.replace(draft, self.path)
        self._new.clear()

    def _kept(self) -> dict[tuple[str, str], tuple[str, Days]]:
        try:
            told = json.loads(self.path.read_text())
            if (told["form"], told["read_as"]) != (FORM, self.read_as):
                return {}
            return {(kind, name): (mark, Days(**days)) for kind, name, mark, days in told["files"]}
        except (OSError, ValueError, TypeError, KeyError):
            return {}


def first_and_last(days: list[Days]) -> tuple[date, date] | None:
    """Of several files; None where no row has a time."""
    there = [each for each in days if each.first]
    if not there:
        return None
    return date.fromisoformat(min(each.first for each in there)), date.fromisoformat(max(each.last for each in there))
