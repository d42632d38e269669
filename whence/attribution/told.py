"""All touches of some time, as a table of DuckDB: what is asked of all of them is counted there, and none is held here for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from whence.attribution import journeys

if TYPE_CHECKING:
    import duckdb

COLUMNS = ("event_id", *journeys.TOUCH_COLUMNS, "placement")
ONCE = "QUALIFY row_number() OVER (PARTITION BY touch_id ORDER BY seen_at, event_id) = 1"
"""Of one touch the telling that was seen first."""


@dataclass(frozen=True)
class Touches:
    """A table or view of a connection with COLUMNS, each touch once; the connection, in UTC, has its own limit of memory."""

    con: duckdb.DuckDBPyConnection
    name: str

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Touches:
        """The touches of a frame; a column that it lacks counts as missing."""
        con = _database(os.getpid()).cursor()
        con.execute("SET TimeZone = 'UTC'")
        con.register("rows", journeys.table(rows, COLUMNS))
        con.execute(f"CREATE TEMP TABLE told AS SELECT * FROM rows {ONCE}")
        return cls(con, "told")

    def frame(self) -> pd.DataFrame:
        """All of them in memory, by (seen_at, event_id)."""
        found: pd.DataFrame = self.con.sql(f"SELECT * FROM {self.name} ORDER BY seen_at, event_id").df()
        return found


@cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """For frames: opening one takes longer than most questions do, and a fork has its own."""
    import duckdb

    return duckdb.connect(config={"threads": 1})
