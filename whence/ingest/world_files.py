"""Reads the simulator's files, day by day of delivery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whence.contracts.events import EVENTS
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.ingest.batch import Batch
from whence.ingest.errors import IngestError
from whence.ingest.load import TRUTH
from whence.world import simulate

ROWS = 100_000


@dataclass(frozen=True)
class WorldFiles:
    """The world's event files; the world is made when it is not there."""

    settings: Settings

    def days(self) -> Window:
        """The world's days."""
        world, shift = self.settings.world, timedelta(days=self.settings.source.shift_days)
        return Window(world.first_day + shift, world.first_day + shift + timedelta(days=world.days - 1))

    def batches(self, window: Window) -> Iterator[Batch]:
        """The files of the window's days, table by table."""
        shift = timedelta(days=self.settings.source.shift_days)
        simulate(self.settings)
        for day in window:
            folder = self.settings.world_events / f"day={day - shift}"
            for table in (*EVENTS, *TRUTH):
                for path in sorted(folder.glob(f"{table}-*.parquet")):
                    yield from self._read(path, table, day, shift)

    def _read(self, path: Path, table: str, day: date, shift: timedelta) -> Iterator[Batch]:
        first, source = 1, f"{path.parent.name}/{path.name}"
        try:
            for part in pq.ParquetFile(path).iter_batches(ROWS):
                rows = _shifted(part, shift)
                numbers = pa.array(np.arange(first, first + rows.num_rows))
                first += rows.num_rows
                yield Batch(table, source, rows, numbers, day.isoformat())
        except pa.ArrowInvalid as broken:
            raise IngestError(
                f"{source} is no whole Parquet file ({broken}). Delete the world's folder to make it again."
            ) from None


def _shifted(rows: pa.RecordBatch, shift: timedelta) -> pa.RecordBatch:
    for name in ("happened_at", "seen_at"):
        if shift and name in rows.column_names:
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, rows.schema.field(at), pc.add(rows[name], pa.scalar(shift, pa.duration("us"))))
    return rows
