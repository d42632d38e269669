"""Reads CSV, JSON, Parquet and SQL a bounded number of rows at a time, wherever they lie, and says clearly when it cannot."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from whence.contracts.times import Window
from whence.ingest import nested, urls
from whence.ingest.batch import Fault
from whence.ingest.errors import IngestError
from whence.ingest.places import JSON, File, Place, files

ROWS = 50_000
BLOCK = 4 << 20
NAMED_BY = 2000
"""Rows of a JSON file whose names are looked at, where somebody asks for its columns."""

ALL_TIMES = ("1970-01-01 00:00:00+00:00", "9999-12-31 00:00:00+00:00")
Needed = Callable[[str], tuple[str, ...]]
"""Of a file, by its name, the columns that are read."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a source as it holds them: text for CSV and JSON, the column's own type otherwise.

    `numbers` count from 1 without the header; `faults` are lines that have too many or too few cells, or are no JSON object.
    """

    source: str
    rows: pa.RecordBatch
    numbers: pa.Array
    faults: tuple[Fault, ...] = ()


def chunks(place: Place, needed: Needed, window: Window | None = None) -> Iterator[Chunk]:
    """The rows of the source, file by file; of each, by its name, only the needed columns are read.

    A query that has :start and :end in it is asked for the window alone.
    `payload.user.id` lies within the column `payload`, which holds objects, or JSON as text;
    `page?utm_campaign` is a parameter of the addresses in the column `page`. Raises IngestError for a source that is not there, is empty
    or broken, or lacks a needed column.
    """
    if place.is_sql:
        for each in place.queries:
            yield from _with_parameters(place.called(each), needed, partial(_sql_chunks, place, each, window))
        return
    with files(place) as found:
        for file in found:
            yield from file_chunks(file, needed, place.delimiter)


def file_chunks(file: File, needed: Needed, delimiter: str = "") -> Iterator[Chunk]:
    """The rows of one of its files, see `chunks`."""
    with file.opened() as path:
        if path.name.endswith(".parquet"):
            yield from _with_parameters(file.name, needed, lambda columns: _parquet_chunks(file.name, path, columns))
        elif is_json(path.name):
            yield from _with_parameters(file.name, needed, lambda columns: _json_chunks(file.name, path, columns))
        else:
            yield from _with_parameters(file.name, needed, lambda columns: _csv_chunks(file.name, path, columns, delimiter))


def _with_parameters(name: str, needed: Needed, read: Callable[[tuple[str, ...]], Iterator[Chunk]]) -> Iterator[Chunk]:
    names = needed(name)
    for chunk in read(tuple(dict.fromkeys(map(urls.column, names)))):
        yield replace(chunk, rows=urls.with_parameters(chunk.rows, names))


def is_json(name: str) -> bool:
    """Whether a file of this name has a row's values by names of their own in every row, so that a rare one may be missing."""
    return name.endswith(JSON)


def headers(place: Place) -> dict[str, tuple[str, ...]]:
    """The names of the columns of each of the source's files, or queries."""
    if place.is_sql:
        return {place.called(each): tuple(next(_sql_chunks(place, each, None, ())).rows.schema.names) for each in place.queries}
    with files(place) as found:
        return {file.name: _names(file, place.delimiter) for file in found}


def sql_tables(place: Place) -> list[str]:
    """The tables and views of a database."""
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    try:
        looked = sa.inspect(sa.create_engine(place.path))
        return sorted([*looked.get_table_names(), *looked.get_view_names()])
    except (SQLAlchemyError, ImportError) as wrong:
        raise IngestError(f"{place.name} cannot be opened: {_short(wrong)}.") from None


def header_line(place: Place) -> str:
    """The first line of a CSV, or of the first one of several; empty where the source is none."""
    if place.is_sql:
        return ""
    with files(place) as found:
        plain = next((file for file in found if not file.name.endswith((".parquet", *JSON))), None)
        if plain is None:
            return ""
        with plain.opened() as path:
            return _first_line(plain.name, path)


def _names(file: File, delimiter: str) -> tuple[str, ...]:
    with file.opened() as path:
        if path.name.endswith(".parquet"):
            return _parquet_names(file.name, path)
        if is_json(path.name):
            with _open(path) as raw:
                rows = islice(nested.json_rows(file.name, raw), NAMED_BY)
                return _names_of(each for _, each in rows if not isinstance(each, Fault))
        return _header(file.name, path, delimiter)


def _names_of(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in nested.flat(row)))


def _csv_chunks(name: str, path: Path, needed: tuple[str, ...], delimiter: str) -> Iterator[Chunk]:
    header = _header(name, path, delimiter)
    within = _within(needed, header)
    columns = _columns(name, needed, header, within)
    ragged: dict[int, Fault] = {}

    def note(line: pacsv.InvalidRow) -> str:
        reason = (
            f"The line has {line.actual_columns} cells and the header {line.expected_columns}. Fix or quote it in the source."
        )
        ragged[line.number - 1] = Fault(line.number - 1, "(line)", reason)
        return "skip"

    try:
        with _open(path) as raw:
            reader = pacsv.open_csv(
                raw,
                read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK),
                parse_options=pacsv.ParseOptions(
                    delimiter=delimiter or _delimiter(path), newlines_in_values=True, invalid_row_handler=note
                ),
                convert_options=pacsv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            done = 0
            for part in reader:
                faults, ragged_here = _until(ragged, done, part.num_rows)
                numbers = np.setdiff1d(np.arange(done + 1, done + part.num_rows + len(ragged_here) + 1), ragged_here)
                done += part.num_rows + len(ragged_here)
                yield Chunk(name, _unfolded(part, needed, within), pa.array(numbers, pa.int64()), faults)
            if ragged:
                yield Chunk(name, _nothing(needed), pa.array([], pa.int64()), tuple(ragged[row] for row in sorted(ragged)))
    except (pa.ArrowInvalid, OSError, EOFError) as wrong:
        raise IngestError(f"{name} is no readable CSV: {wrong}. Send it again whole, in UTF-8.") from None


def _until(ragged: dict[int, Fault], done: int, rows: int) -> tuple[tuple[Fault, ...], list[int]]:
    """The ragged lines between the good rows of this part; they leave `ragged`."""
    here: list[int] = []
    for row in sorted(ragged):
        if row > done + rows + len(here):
            break
        here.append(row)
    return tuple(ragged.pop(row) for row in here), here


def _nothing(needed: tuple[str, ...]) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array([], pa.string()) for name in needed})


def _header(name: str, path: Path, delimiter: str) -> tuple[str, ...]:
    return tuple(next(csv.reader([_first_line(name, path)], delimiter=delimiter or _delimiter(path))))


def _first_line(name: str, path: Path) -> str:
    try:
        with _open(path) as raw:
            first = io.TextIOWrapper(raw, "utf-8-sig").readline()
    except (OSError, EOFError, UnicodeDecodeError) as wrong:
        raise IngestError(f"{name} is no readable CSV: {wrong}. Send it again whole, in UTF-8.") from None
    if not first.strip():
        raise IngestError(f"{name} is empty: not even a header. Send it again, or leave it out.")
    return first


def _open(path: Path) -> pa.NativeFile:
    return pa.input_stream(str(path), compression="gzip" if path.name.endswith(".gz") else None)


def _delimiter(path: Path) -> str:
    return "\t" if ".tsv" in path.name else ","


def _json_chunks(name: str, path: Path, needed: tuple[str, ...]) -> Iterator[Chunk]:
    wanted = nested.beginnings(needed)
    with _open(path) as raw:
        rows = nested.json_rows(name, raw)
        while part := list(islice(rows, ROWS)):
            good = [(number, nested.flat(each, wanted)) for number, each in part if not isinstance(each, Fault)]
            faults = tuple(each for _, each in part if isinstance(each, Fault))
            cells = pa.record_batch({each: _texts([row.get(each) for _, row in good]) for each in needed})
            yield Chunk(name, cells, pa.array([number for number, _ in good], pa.int64()), faults)


def _texts(values: list[str | None]) -> pa.Array:
    """Texts; half of a letter, which JSON can write and nothing else can hold, becomes a mark in its place."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        whole = [each and each.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for each in values]
        return pa.array(whole, pa.string())


def _parquet_chunks(name: str, path: Path, needed: tuple[str, ...]) -> Iterator[Chunk]:
    file = _parquet(name, path)
    within = _within(needed, file.schema_arrow.names, _nested_columns(file))
    columns = _columns(name, needed, file.schema_arrow.names, within)
    first = 1
    try:
        for part in file.iter_batches(ROWS, columns=columns):
            yield Chunk(name, _filled(_unfolded(part, needed, within)), pa.array(np.arange(first, first + part.num_rows)))
            first += part.num_rows
    except (pa.ArrowInvalid, OSError) as wrong:
        raise IngestError(f"{name} is broken after row {first - 1}: {wrong}. Send it again whole.") from None


def _parquet_names(name: str, path: Path) -> tuple[str, ...]:
    """The columns; of those that hold objects or lists, what the first rows have in them."""
    file = _parquet(name, path)
    if not (inner := _nested_columns(file)):
        return tuple(file.schema_arrow.names)
    first = next(file.iter_batches(NAMED_BY, columns=inner), None)
    found = _names_of(first.to_pylist() if first is not None else ())
    plain = [each for each in file.schema_arrow.names if each not in inner]
    return (*plain, *found)


def _nested_columns(file: pq.ParquetFile) -> list[str]:
    return [each.name for each in file.schema_arrow if pa.types.is_nested(each.type)]


def _within(needed: Iterable[str], there: Sequence[str], folded: Sequence[str] = ()) -> dict[str, str]:
    """Of the names that lead into a column, as `payload.user.id` into `payload`, that column; of `folded` ones themselves, too."""
    found = {}
    for name in needed:
        parts = name.split(".")
        outer = next((each for count in range(len(parts), 0, -1) if (each := ".".join(parts[:count])) in there), None)
        if outer is not None and (outer != name or name in folded):
            found[name] = outer
    return found


def _columns(name: str, needed: Iterable[str], there: tuple[str, ...] | list[str], within: Mapping[str, str]) -> list[str]:
    """The columns to read; raises IngestError where one lacks."""
    columns = tuple(dict.fromkeys(within.get(each, each) for each in needed))
    _require(name, tuple(there), columns)
    return list(columns)


def _unfolded(part: pa.RecordBatch, needed: tuple[str, ...], within: Mapping[str, str]) -> pa.RecordBatch:
    """The columns that are needed; what lies within others, as objects or as JSON in texts, as texts of its own."""
    if not within:
        return part.select(list(needed)) if needed else part
    wanted = nested.beginnings(within)
    told = {
        column: [nested.flat({column: nested.value(cell)}, wanted) for cell in part.column(column).to_pylist()]
        for column in set(within.values())
    }
    return pa.record_batch(
        {each: _texts([row.get(each) for row in told[within[each]]]) if each in within else part.column(each) for each in needed}
    )


def _filled(rows: pa.RecordBatch) -> pa.RecordBatch:
    """An empty text is no value, as in a CSV."""
    for at, column in enumerate(rows.schema):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            is_empty = pc.equal(rows.column(at), "")
            if pc.any(is_empty).as_py():
                rows = rows.set_column(at, column.name, pc.if_else(is_empty, None, rows.column(at)))
    return rows


def _parquet(name: str, path: Path) -> pq.ParquetFile:
    if path.stat().st_size == 0:
        raise IngestError(f"{name} is empty: no bytes at all. Send it again, or leave it out.")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as wrong:
        raise IngestError(f"{name} is no whole Parquet file, it may be cut off: {wrong}. Send it again whole.") from None


def _sql_chunks(place: Place, chosen: str, window: Window | None, needed: tuple[str, ...]) -> Iterator[Chunk]:
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        name, query, engine = place.called(chosen), place.queries[chosen], sa.create_engine(place.path)
    except (ArgumentError, SQLAlchemyError, ImportError) as wrong:
        raise IngestError(f"source.path is no database address that SQLAlchemy can open: {wrong}.") from None
    first = 1
    try:
        with engine.connect().execution_options(stream_results=True) as link:
            result = link.execute(sa.text(query), _instants(query, window))
            names = tuple(result.keys())
            within = _within(needed, names)
            _columns(name, needed, names, within)
            for part in result.partitions(ROWS):
                rows = pa.record_batch(
                    {each: _column(list(cells)) for each, cells in zip(names, zip(*part, strict=True), strict=True)}
                )
                yield Chunk(name, _filled(_unfolded(rows, needed, within)), pa.array(np.arange(first, first + rows.num_rows)))
                first += rows.num_rows
            if first == 1:
                yield Chunk(name, _nothing(needed or names), pa.array([], pa.int64()))
    except SQLAlchemyError as wrong:
        raise IngestError(f'{name} could not be read with "{query}": {wrong.__class__.__name__}: {_short(wrong)}.') from None
    finally:
        engine.dispose()


def _instants(query: str, window: Window | None) -> dict[str, str]:
    """What stands for :start and :end in the query, where it has them: the window's first instant and the one after, or all times."""
    told = (window.start.isoformat(" "), window.end.isoformat(" ")) if window else ALL_TIMES
    return {name: at for name, at in zip(("start", "end"), told, strict=True) if re.search(rf"(?<![\w:]):{name}\b", query)}


def _short(wrong: Exception) -> str:
    return str(getattr(wrong, "orig", None) or wrong).splitlines()[0][:200]


def _column(cells: list[object]) -> pa.Array:
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())


def _require(name: str, there: tuple[str, ...], needed: tuple[str, ...]) -> None:
    if missing := [each for each in needed if each not in there]:
        raise IngestError(
            f"{name} has no column '{missing[0]}'. Its columns are {', '.join(there)}. Add the column, or change the mapping."
        )
    if doubled := sorted({each for each in needed if there.count(each) > 1}):
        raise IngestError(f"{name} has the column '{doubled[0]}' more than once. Rename one of them.")
