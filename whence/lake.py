"""The one door to the Delta tables: whole days are replaced, and a day that would not change is left alone."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whence.contracts.tables import TABLES
from whence.contracts.times import Window

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

    from whence.contracts.settings import Settings

ATTEMPTS = 12
MOST_KNOWN = 100
"""Tables that a thread remembers the log of."""
AT_ONCE = 10_000
"""Rows that are handed to a writer together."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class LakeError(RuntimeError):
    """A table cannot be read or written; the message says what to do."""


class BrokenTable(LakeError):
    """A data file is cut off or gone."""


class Filled(NamedTuple):
    """What became of rows that were written."""

    changed: bool
    rows: int


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
        A file of the days that cannot be read is written anew, see `mend`.
        Raises LakeError for a row outside the window, a missing column, or a key that is there twice.
        """
        part = part or {}
        wanted = self._conform(name, rows, window, part)
        return self.mended(
            name,
            window,
            lambda: _tried(lambda: self._is(name, wanted, window, part), lambda: self._commit(name, wanted, window, part)),
        )

    def fill(self, name: str, parts: Iterable[pa.Table], window: Window, part: Mapping[str, str] | None = None) -> Filled:
        """The same as `replace` for rows that come some at a time and may be more than memory likes: they wait on disk."""
        part, table = part or {}, TABLES[name]
        with TemporaryDirectory() as folder, self.mended(name, window, lambda: self.connect(window, name)) as con:
            file, key = str(Path(folder, "rows.parquet")), _listed(table.key)
            with pq.ParquetWriter(file, table.schema) as writer:
                for rows in parts:
                    writer.write_table(self._conform(name, rows, window, part))
            con.execute(f"CREATE TEMP VIEW waiting AS SELECT * FROM read_parquet('{_escaped(file)}')")
            if con.sql(f"SELECT 1 FROM waiting GROUP BY {key} HAVING count(*) > 1 LIMIT 1").fetchall():
                raise _repeats(name)
            changed = self.mended(
                name,
                window,
                lambda: _tried(
                    lambda: self._holds(name, window, part, file),
                    lambda: self._commit(name, _streamed(con, f"FROM waiting ORDER BY {key}", table.schema), window, part),
                ),
            )
            return Filled(changed, con.sql("SELECT count(*) FROM waiting").fetchall()[0][0])

    def read(
        self,
        name: str,
        window: Window | None = None,
        columns: list[str] | None = None,
        part: Mapping[str, str] | None = None,
    ) -> pa.Table:
        """The rows of the window's days (all days without one), of a `part` those with its values alone, sorted by the table's key."""
        table = TABLES[name]
        with self.connect(window, name) as con, _naming(name):
            chosen = columns or table.schema.names
            order = _listed(c for c in table.key if c in chosen) or "1"
            rows = con.sql(
                f'SELECT {_listed(chosen)} FROM "{name}" WHERE {_of_part(part or {})} ORDER BY {order}'
            ).to_arrow_table()
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
        self.show(con, window, *(names or TABLES))
        return con

    def show(self, con: duckdb.DuckDBPyConnection, window: Window | None, *names: str) -> None:
        """Make the views of more tables on a connection that has none of them, cut to a window of their own."""
        for name in names:
            empty = TABLES[name].schema.empty_table()
            if files := self.files(name, window):
                _look_into(con, name, files)
            elif held := self._remote(name, window):
                con.register(name, held)
            else:
                con.register(name, empty)

    def files(self, name: str, window: Window | None = None) -> list[str]:
        """The table's data files for the window's days; empty when it is not on this machine."""
        table = self._open(name)
        return [] if table is None or self._is_remote else _files(table, window)

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

    def mended(self, name: str, window: Window, ask: Callable[[], T]) -> T:
        """What `ask` gives; where it stumbles over broken files of the window's days, once the table is mended."""
        import duckdb

        try:
            return ask()
        except (BrokenTable, duckdb.Error):
            self.mend(name, window)
        return ask()

    def mend(self, name: str, window: Window) -> bool:
        """Leave out of the table the files of the window's days that cannot be read, and say what they held; whether there were any.

        The steps that made their rows can write them anew then. The files themselves stay where they are.
        """
        return _tried(lambda: not self._broken(name, window), lambda: self._leave_out(name, window))

    def _broken(self, name: str, window: Window) -> list[str]:
        return [file for file in self.files(name, window) if not _is_whole(Path(file))]

    def _leave_out(self, name: str, window: Window) -> None:
        """Write the days anew with the rows of their whole files; of one version, so that a writer meanwhile is a conflict."""
        table = self._open(name)
        assert table is not None
        files = _files(table, window)
        whole = [file for file in files if _is_whole(Path(file))]
        rows = TABLES[name].schema.empty_table()
        if whole:
            with _database(os.getpid(), self.memory_limit).cursor() as con, _naming(name):
                _look_into(con, name, whole)
                rows = con.sql(f'FROM "{name}"').to_arrow_table().cast(rows.schema)
        told = [_said(name, row, f"{self._address(name)}/{unquote(row['path'])}") for row in _rows_of(table, {*files} - {*whole})]
        self._overwrite(name, table, rows, window, {})
        for words in told:
            log.warning("%s", words)

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
            raise _repeats(name)
        return wanted.sort_by([(key, "ascending") for key in table.key])

    def _is(self, name: str, wanted: pa.Table, window: Window, part: Mapping[str, str]) -> bool:
        """Whether the part of the table is just this; whole days of which a file is broken are not, and are written anew as they are."""
        try:
            return bool(self.read(name, window, part=part).equals(wanted))
        except BrokenTable:
            if part:
                raise
            return False

    def _holds(self, name: str, window: Window, part: Mapping[str, str], file: str) -> bool:
        """Whether the part of the table is just what the file has; no key is there twice."""
        columns, wanted = _listed(TABLES[name].schema.names), f"read_parquet('{_escaped(file)}')"
        with self.connect(window, name) as con, _naming(name):
            held = f'SELECT {columns} FROM "{name}" WHERE {_of_part(part)}'
            counts = con.sql(f"SELECT (SELECT count(*) FROM ({held})) = (SELECT count(*) FROM {wanted})").fetchall()
            return counts == [(True,)] and not con.sql(f"(SELECT {columns} FROM {wanted}) EXCEPT ({held}) LIMIT 1").fetchall()

    def _commit(self, name: str, rows: pa.Table | pa.RecordBatchReader, window: Window, part: Mapping[str, str]) -> None:
        self._overwrite(name, self._open(name), rows, window, part)

    def _overwrite(
        self,
        name: str,
        table: DeltaTable | None,
        rows: pa.Table | pa.RecordBatchReader,
        window: Window,
        part: Mapping[str, str],
    ) -> None:
        from deltalake import write_deltalake

        if not self._is_remote:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        days = ", ".join(f"'{day}'" for day in window.days)
        mine = "".join(f" AND {column} = '{value}'" for column, value in sorted(part.items()))
        write_deltalake(
            self._address(name) if table is None else table,
            rows if table is None else _in_words_of(table, rows),
            mode="error" if table is None else "overwrite",
            schema_mode=None if table is None else "merge",  # a table of an older version gets its new columns
            partition_by=["day"] if table is None else None,
            predicate=None if table is None else f"day in ({days}){mine}",
            storage_options=dict(self.options) if table is None else None,
        )


def _files(table: DeltaTable, window: Window | None) -> list[str]:
    parts = [("day", "in", list(window.days))] if window else None
    return sorted(unquote(each) for each in table.file_uris(file_pruning_predicate=parts))


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


def _in_words_of(table: DeltaTable, rows: pa.Table | pa.RecordBatchReader) -> pa.Table | pa.RecordBatchReader:
    """The rows with the column descriptions that the table was made with: it takes no other ones for columns that it has."""
    told = {column.name: column.metadata for column in table.schema().fields}
    fields = [each.with_metadata(told[each.name] or None) if each.name in told else each for each in rows.schema]
    return rows.cast(pa.schema(fields))


def _streamed(con: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> pa.RecordBatchReader:
    found = con.sql(query).to_arrow_reader(AT_ONCE)
    return pa.RecordBatchReader.from_batches(schema, (pa.RecordBatch.from_arrays(each.columns, schema=schema) for each in found))


def _tried(is_done: Callable[[], bool], write: Callable[[], None]) -> bool:
    """Write unless it is done, again where another writer was first; whether anything was written."""
    for attempt in range(ATTEMPTS):
        if is_done():
            return False
        try:
            write()
            return True
        except Exception as clash:
            if not _is_conflict(clash) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.05 * 2 ** min(attempt, 6))
    raise AssertionError("unreachable")


@cache
def _database(process: int, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """The process's database: opening one takes longer than most questions do. A fork has its own, threads do not survive it."""
    import duckdb

    return duckdb.connect(config={"memory_limit": memory_limit})


def _only(rows: pa.Table, part: Mapping[str, str]) -> pa.Table:
    for column, value in part.items():
        rows = rows.filter(pc.equal(rows[column], value))
    return rows.combine_chunks()


def _of_part(part: Mapping[str, str]) -> str:
    return " AND ".join(f"{column} = '{_escaped(value)}'" for column, value in part.items()) or "true"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _escaped(text: str) -> str:
    return text.replace("'", "''")


def _repeats(name: str) -> LakeError:
    return LakeError(f"Rows for {name} repeat a key ({', '.join(TABLES[name].key)}). Remove the duplicates first.")


def _look_into(con: duckdb.DuckDBPyConnection, name: str, files: list[str]) -> None:
    """A view of the files; a column that none of them has yet, because it came later, is null."""
    import duckdb

    with _naming(name):
        try:
            con.execute(_view(name, files))
        except duckdb.BinderException:
            con.register(f"no {name}", TABLES[name].schema.empty_table())
            con.execute(_view(name, files, f'UNION ALL BY NAME SELECT * FROM "no {name}"'))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """With what DuckDB says of a table's file as a BrokenTable, which says what to do."""
    import duckdb

    try:
        yield
    except duckdb.Error as wrong:  # a broken file may make it say anything
        if isinstance(wrong, duckdb.OutOfMemoryException | duckdb.InterruptException | duckdb.BinderException):
            raise
        raise BrokenTable(f"{name} has a file that cannot be read: {str(wrong).splitlines()[0]}. {TABLES[name].again}") from wrong


def _is_whole(file: Path) -> bool:
    """Whether every value of a data file can be read. Raises PermissionError: nothing is wrong with a file that is not ours to read."""
    try:
        with file.open("rb") as opened, pq.ParquetFile(opened) as parquet:
            for rows in parquet.iter_batches():
                rows.validate(full=True)
    except PermissionError:
        raise
    except (OSError, EOFError, pa.ArrowException):
        return False
    return True


def _rows_of(table: DeltaTable, files: Collection[str]) -> list[dict[str, Any]]:
    """What the table's log knows of some of its files: path, partition.day, num_records, and min. and max. of the columns."""
    known = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [row for row in known if any(file.endswith(f"/{unquote(row['path'])}") for file in files)]


def _said(name: str, held: Mapping[str, Any], file: str) -> str:
    """What was lost with a file, and how it is made again."""
    parts = []
    for column in TABLES[name].parts:
        low, high = held.get(f"min.{column}"), held.get(f"max.{column}")
        parts += [f"{column} {low}" if low == high else f"{column} {low} to {high}"] if low else []
    of = f" ({', '.join(parts)})" if parts else ""
    rows = f"{held['num_records']:,} row{'s' if held['num_records'] != 1 else ''}"
    return (
        f"{name} of {held['partition.day']} has a file that cannot be read: it is left out with its {rows}{of}, and stays at {file}. "
        f"{TABLES[name].again}"
    )


def _view(name: str, files: list[str], more: str = "") -> str:
    paths = ", ".join(f"'{_escaped(path)}'" for path in files)
    columns = _listed(TABLES[name].schema.names)
    source = f"read_parquet([{paths}], hive_partitioning = true, hive_types = {{'day': VARCHAR}}, union_by_name = true)"
    return f'CREATE TEMP VIEW "{name}" AS SELECT {columns} FROM (SELECT * FROM {source} {more})'


def _is_conflict(error: Exception) -> bool:
    from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

    words = str(error).lower()
    return isinstance(error, CommitFailedError | TableNotFoundError) or (
        isinstance(error, DeltaError)
        and ("conflict" in words or "already exists" in words or "concurrent" in words or "version" in words)
    )
