"""What is remembered of a source's files: of which days their rows are, so that a day is taken in without reading all others again."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.times import Window
from whence.ingest.batch import Batch
from whence.ingest.places import File

NO_DAY = -1_000_000  # sorts before all days
FORM = 2
"""Raised when files are read in another way, so that what was remembered is forgotten."""


@dataclass(frozen=True)
class Days:
    """Of which days a file's rows are."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """How many rows have a time on a day, by day, as 2026-05-01."""
    sums: Mapping[str, int] = field(default_factory=dict)
    """A checksum of these rows, as they are read, by day: a file that is delivered again with other amounts has as many of them."""
    has_strays: bool = False
    """Whether some are filed under another day than their own, since they may have no usable one."""

    def joined(self, batch: Batch) -> Days:
        """With the rows of a batch."""
        told = pc.value_counts(batch.rows["seen_at"].drop_null().cast(pa.timestamp("us")).cast(pa.date32())).to_pylist()
        rows = dict(Counter(self.rows) + Counter({each["values"].isoformat(): each["counts"] for each in told}))
        return Days(rows, {**self.sums, **_summed(batch, self.sums)}, self.has_strays or needs_day(batch))

    def meet(self, window: Window) -> bool:
        """Whether rows may lie in the window by their own time."""
        return not self.rows.keys().isdisjoint(window.days)


def _summed(batch: Batch, before: Mapping[str, int]) -> dict[str, int]:
    """The checksums of the batch's days, each going on from what it was before."""
    days = batch.rows["seen_at"].cast(pa.timestamp("us")).cast(pa.date32())
    cells = [_plain(column).cast(pa.string()) for column in batch.rows.columns]
    lines = pc.binary_join_element_wise(*cells, "\x1e", "\x1f", null_handling="replace", null_replacement="")
    place = days.cast(pa.int32()).fill_null(NO_DAY).to_numpy(zero_copy_only=False)
    order = np.argsort(place, kind="stable")
    _, offsets, text = lines.take(pa.array(order)).buffers()
    at, found = np.frombuffer(offsets, np.int32), {}
    for number, first, count in zip(*np.unique(place[order], return_index=True, return_counts=True), strict=True):
        if number != NO_DAY:
            day = str(np.datetime64(int(number), "D"))
            found[day] = zlib.crc32(memoryview(text)[at[first] : at[first + count]], before.get(day, 0))
    return found


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


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

    def last(self, file: File, kind: str) -> Days:
        """What was remembered of it last, whatever it was like then."""
        return self._all.get((kind, file.name), ("", Days()))[1]

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
