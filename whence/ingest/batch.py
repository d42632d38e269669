"""What a source hands over: some rows meant for one table, each with its place in the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from whence.contracts.times import Window


@dataclass(frozen=True)
class Fault:
    """A row that its source could not even shape into an event."""

    row: int
    field: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Rows for one table in the shape of its contract.

    `numbers` are the rows' places in the source, from 1 without the header. `faults` are found by the
    reader by row number: a row that has one is not taken, and its values do not matter. `day` is the
    day that the source itself files the rows under, for rows whose own time is of no use.
    `touched_at`, where a source row holds a conversion and its touch, is the touch's time.
    """

    table: str
    source: str
    rows: pa.RecordBatch
    numbers: pa.Array
    day: str
    faults: tuple[Fault, ...] = field(default=())
    touched_at: pa.Array | None = None


class Source(Protocol):
    """Anything that events come from."""

    def days(self) -> Window:
        """The first and the last day it has; reads the whole source when it must."""
        ...

    def batches(self, window: Window) -> Iterator[Batch]:
        """Rows that may lie in the window, a bounded number at a time; others are let fall later."""
        ...
