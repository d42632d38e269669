"""The one door to the Delta tables: whole days are replaced, and a day that would not change is left alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.tables import TABLES
from whence.contracts.times import Window

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

    from whence.contracts.settings import Settings

ATTEMPTS = 12
MOST_KNOWN = 100
"""Tables that a thread remembers the log of."""


class LakeError(RuntimeError):
    """A table cannot be read or written; the message says what to do."""


@dataclass(frozen=True)
class Lake:
    """Delta tables below one address, read a few days at a time.

    `uri` is a folder or an s3:// address; `options` go to the object store as they are. A table named in `versions` is read as
    it was at that version, and cannot be written.
    """

    uri: str
    options: Mapping[str, str] = field(default_factory=dict)
    memory_limit: str = "2GB"
    versions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Lake:
        """The lake that the settings name."""
        return cls(settings.tables_uri, settings.tables.options, settings.tables.memory_limit)

    def replace(self, name: str, rows: pa.Table, window: Window, part: Mapping[str, str] | None = None) -> bool:
        """Make `rows` the table's whole content for the window's days; say whether anything changed.

        With a `part`, as {"route": "online"}, only the days' rows with these values are replaced: several
        steps then own their rows of one table, and a rerun of one loses nothing of another. Rows are cast to the
        table's schema and sorted by its key, so that the same rows give the same files. A writer that meets another on the same days tries again; one of them wins whole.
        Raises LakeError for a row outside the window, a missing column, or a key that is there twice.
        """
        part = part or {}
        wanted = self._conform(name, rows, window, part)
        for attempt in range(ATTEMPTS):
            if _only(self.read(name, window), part).equals(wanted):
                return False
            try:
                self._commit(name, wanted, window, part)
                return True
            except Exception as clash:
                if not _is_conflict(clash) or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.05 * 2 ** min(attempt, 6))
        raise AssertionError("unreachable")

    def read(self, name: str, window: Window | None = None, columns: list[str] | None = None) -> pa.Table:
        """The rows of the window's days (all days without one), sorted by the table's key."""
        table = TABLES[name]
        with self.connect(window, name) as con:
            chosen = ", ".join(f'"{c}"' for c in columns or table.schema.names)
            order = ", ".join(f'"{c}"' for c in table.key if c in (columns or table.schema.names)) or "1"
            rows = con.sql(f'SELECT {chosen} FROM "{name}" ORDER BY {order}').to_arrow_table()
        return rows.cast(pa.schema([table.schema.field(c) for c in rows.column_names]))

    def connect(
        self, window: Window | None = None, *names: str, base: duckdb.DuckDBPyConnection | None = None
    ) -> duckdb.DuckDBPyConnection:
        """A connection to an in-memory DuckDB in UTC with a view for each named table (all by default), cut to the window.

        Close it, or use it in a `with`. All of a process share one database, and so its memory limit, or that of `base`:
        what a connection makes is seen by others unless it is TEMP, as the views are.
        """
        con = (base or _database(os.getpid(), self.memory_limit)).cursor()
        con.execute("SET TimeZone = 'UTC'")
        for name in names or tuple(TABLES):
            empty = TABLES[name].schema.empty_table()
            if files := self.files(name, window):
                _look_into(con, name, files)
            elif held := self._remote(name, window):
                con.register(name, held)
            else:
                con.register(name, empty)
        return con

    def files(self, name: str, window: Window | None = None) -> list[str]:
        """The table's data files for the window's days; empty when it is not on this machine."""
        table = self._open(name)
        if table is None or self._is_remote:
            return []
        parts = [("day", "in", list(window.days))] if window else None
        return sorted(unquote(each) for each in table.file_uris(file_pruning_predicate=parts))

    def days(self, name: str) -> tuple[str, ...]:
        """The days that the table has rows for, in order."""
        table = self._open(name)
        if table is None:
            return ()
        return tuple(sorted({part["day"] for part in table.partitions()}))

    def version(self, name: str) -> int:
        """The table's version, which a training run pins; -1 when there is no table yet."""
        table = self._open(name)
        return -1 if table is None else table.version()

    @property
    def _is_remote(self) -> bool:
        return "://" in self.uri and not self.uri.startswith("file://")

    def _address(self, name: str) -> str:
        return f"{self.uri.rstrip('/')}/{name}"

    def _open(self, name: str) -> DeltaTable | None:
        from deltalake import DeltaTable

        options, address = dict(self.options), self._address(name)
        if not DeltaTable.is_deltatable(address, storage_options=options):
            return None
        if "://" in self.uri or name in self.versions:
            return DeltaTable(address, self.versions.get(name), storage_options=options)
        return _caught_up(address)

    def _remote(self, name: str, window: Window | None) -> pa.Table | None:
        table = self._open(name)
        if table is None:
            return None
        parts = [("day", "in", list(window.days))] if window else None
        return table.to_pyarrow_table(filters=parts)

    def _conform(self, name: str, rows: pa.Table, window: Window, part: Mapping[str, str]) -> pa.Table:
        table = TABLES[name]
        if missing := [c for c in table.schema.names if c not in rows.column_names]:
            raise LakeError(f"Rows for {name} have no column {missing[0]}. Its columns are {', '.join(table.schema.names)}.")
        wanted = rows.select(table.schema.names).cast(table.schema).combine_chunks()
        strays = sorted(set(wanted["day"].unique().to_pylist()) - set(window.days))
        if strays:
            raise LakeError(f"Rows for {name} are of {strays[0]}, outside the window {window}. Write each day in its own window.")
        if _only(wanted, part).num_rows != wanted.num_rows:
            raise LakeError(f"Rows for {name} reach outside their part {dict(part)}. Write each part by itself.")
        keys = wanted.select(list(table.key))
        if wanted.num_rows and keys.group_by(list(table.key)).aggregate([]).num_rows != wanted.num_rows:
            raise LakeError(f"Rows for {name} repeat a key ({', '.join(table.key)}). Remove the duplicates first.")
        return wanted.sort_by([(key, "ascending") for key in table.key])

    def _commit(self, name: str, rows: pa.Table, window: Window, part: Mapping[str, str]) -> None:
        from deltalake import write_deltalake

        if not self._is_remote:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        days = ", ".join(f"'{day}'" for day in window.days)
        mine = "".join(f" AND {column} = '{value}'" for column, value in sorted(part.items()))
        table = self._open(name)
        if table is None and not rows.num_rows:
            return
        write_deltalake(
            self._address(name) if table is None else table,
            rows if table is None else _in_words_of(table, rows),
            mode="error" if table is None else "overwrite",
            schema_mode=None if table is None else "merge",  # a table of an older version gets its new columns
            partition_by=["day"] if table is None else None,
            predicate=None if table is None else f"day in ({days}){mine}",
            storage_options=dict(self.options) if table is None else None,
        )


def _caught_up(address: str) -> DeltaTable:
    """A table on this machine at its newest version: where this thread has read its log before, only what came since is read."""
    from deltalake import DeltaTable

    log = Path(address, "_delta_log")
    first = log / f"{0:020}.json"
    made = (first if first.exists() else log).stat()  # another table may lie here since
    mark = (os.getpid(), made.st_ino, made.st_mtime_ns)  # a fork has no part in another process's table
    tables: dict[str, tuple[Any, DeltaTable]] = _known.__dict__
    if len(tables) > MOST_KNOWN:
        tables.clear()
    if tables.get(address, (None,))[0] != mark:
        tables[address] = mark, DeltaTable(address)
    else:
        tables[address][1].update_incremental()
    return tables[address][1]


_known = threading.local()


def _in_words_of(table: DeltaTable, rows: pa.Table) -> pa.Table:
    """The rows with the column descriptions that the table was made with: it takes no other ones for columns that it has."""
    told = {column.name: column.metadata for column in table.schema().fields}
    fields = [each.with_metadata(told[each.name] or None) if each.name in told else each for each in rows.schema]
    return rows.cast(pa.schema(fields))


@cache
def _database(process: int, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """The process's database: opening one takes longer than most questions do. A fork has its own, threads do not survive it."""
    import duckdb

    return duckdb.connect(config={"memory_limit": memory_limit})


def _only(rows: pa.Table, part: Mapping[str, str]) -> pa.Table:
    for column, value in part.items():
        rows = rows.filter(pc.equal(rows[column], value))
    return rows.combine_chunks()


def _look_into(con: duckdb.DuckDBPyConnection, name: str, files: list[str]) -> None:
    """A view of the files; a column that none of them has yet, because it came later, is null."""
    import duckdb

    try:
        con.execute(_view(name, files))
    except duckdb.BinderException:
        con.register(f"no {name}", TABLES[name].schema.empty_table())
        con.execute(_view(name, files, f'UNION ALL BY NAME SELECT * FROM "no {name}"'))


def _view(name: str, files: list[str], more: str = "") -> str:
    paths = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
    columns = ", ".join(f'"{column}"' for column in TABLES[name].schema.names)
    source = f"read_parquet([{paths}], hive_partitioning = true, hive_types = {{'day': VARCHAR}}, union_by_name = true)"
    return f'CREATE TEMP VIEW "{name}" AS SELECT {columns} FROM (SELECT * FROM {source} {more})'


def _is_conflict(error: Exception) -> bool:
    from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

    words = str(error).lower()
    return isinstance(error, CommitFailedError | TableNotFoundError) or (
        isinstance(error, DeltaError)
        and ("conflict" in words or "already exists" in words or "concurrent" in words or "version" in words)
    )
