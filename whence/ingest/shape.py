"""Builds contract rows from columns, and remembers which cells could not be understood."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import EVENTS
from whence.ingest import hashing
from whence.ingest.batch import Fault

DEFAULTS = {"consent": "unknown"}


def contract_rows(table: str, size: int, given: dict[str, pa.Array]) -> pa.RecordBatch:
    """Rows of the table from the columns given; the others are null, and consent is unknown."""
    made = []
    for column in EVENTS[table]:
        values = given.get(column.name)
        if values is None:
            values = pa.array([DEFAULTS.get(column.name)] * size).cast(column.type)
        made.append(values.cast(column.type))
    return pa.record_batch(made, schema=pa.schema([column.with_nullable(True) for column in EVENTS[table]]))


def unread(numbers: pa.Array, raw: pa.Array, read: pa.Array, field: str, expected: str) -> Iterator[Fault]:
    """A fault for each cell that holds something and could not be read."""
    lost = pc.and_(pc.is_valid(raw), pc.is_null(read))
    for at in pc.indices_nonzero(lost).to_pylist():
        yield Fault(numbers[at].as_py(), field, f"{field} is '{str(raw[at].as_py())[:60]}'. Expected {expected}.")


def row_ids(table: str, rows: pa.RecordBatch, kinds: pa.Array | None = None) -> pa.Array:
    """An id that follows from a row's whole content: the same row twice is the same event delivered twice.

    Where a row may hold several events of a table, as an order and what was paid back of it, their kinds tell them apart.
    """
    columns = [*([] if kinds is None else [kinds]), *(rows[name] for name in rows.column_names)]
    cells = [pc.fill_null(each.cast(pa.string()), "") for each in columns]
    whole = pc.binary_join_element_wise(*cells, "\x1f")
    return pa.array([hashing.sha256(f"{table}\x1f{each}")[:24] for each in whole.to_pylist()], pa.string())


def same(word: object, size: int, kind: pa.DataType | None = None) -> pa.Array:
    """The same value in every row."""
    return pa.array([word] * size, kind or pa.string())
