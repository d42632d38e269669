"""Tables from files as strangers have them: any delimiter, any encoding, several files as sources of one table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

DELIMITERS = ",;\t|"
BLOCK = 1 << 26
SHOWN = 3
"""Bad rows that a message names."""


class InputError(ValueError):
    """A file that cannot be read as a table; the message names the row and what to do."""


@dataclass(frozen=True)
class Input:
    """What was read."""

    table: pa.Table
    notes: tuple[str, ...] = ()
    """What a reader should know: encodings that were mended, columns that one file lacks."""
    source: str | None = None
    """The column that tells several files apart, where there are several."""


def read(paths: Sequence[Path]) -> Input:
    """One table of all files, CSV or Parquet; of several, each row says in a column of its own which file it is from."""
    if not paths:
        raise InputError("Which file? Give one with --input.")
    parts = [_file(path) for path in paths]
    notes = [note for part in parts for note in part.notes]
    if len(parts) == 1:
        return Input(parts[0].table, tuple(notes))
    shared = set.intersection(*(set(part.table.column_names) for part in parts))
    if not shared:
        raise InputError(
            f"{paths[0].name} and {paths[1].name} have no column in common "
            f"({', '.join(parts[0].table.column_names)}; {', '.join(parts[1].table.column_names)}). "
            "Give the same things the same names."
        )
    for path, part in zip(paths, parts, strict=True):
        alone = [name for name in part.table.column_names if name not in shared]
        if alone:
            notes.append(f"{path.name} has columns that others lack: {', '.join(alone)}.")
    name = _free("source", {column for part in parts for column in part.table.column_names})
    labels = _names(paths)
    tables = [
        part.table.append_column(name, pa.array([label] * len(part.table), pa.string()))
        for label, part in zip(labels, parts, strict=True)
    ]
    return Input(pa.concat_tables(_aligned(tables)), tuple(notes), name)


def _file(path: Path) -> Input:
    if not path.exists():
        raise InputError(f"There is no file {path}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give the file itself; --input may be repeated.")
    if path.suffix.casefold() in (".parquet", ".pq"):
        try:
            return _checked(path, pq.read_table(path), ())
        except pa.ArrowInvalid as wrong:
            raise InputError(f"{path} is no Parquet file ({str(wrong).splitlines()[0]}).") from None
    return _csv(path)


def _csv(path: Path) -> Input:
    text, notes = _decoded(path)
    if not text.strip():
        raise InputError(f"{path} is empty. It needs a line with the names of the columns, and rows.")
    delimiter = _delimiter(text)
    names, header_lines = _header(path, text, delimiter)
    bad: list[Any] = []

    def note(row: Any) -> str:
        bad.append(row)
        return "skip"

    table = pc.read_csv(
        pa.BufferReader(text.encode()),
        read_options=pc.ReadOptions(use_threads=False, column_names=names, skip_rows=header_lines, block_size=BLOCK),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note),
        convert_options=pc.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=[""],
        ),
    )
    if bad:
        _refuse_ragged(path, bad, len(table) + len(bad))
    return _checked(path, table, notes)


def _refuse_ragged(path: Path, bad: Sequence[Any], rows: int) -> None:
    told = "; ".join(f"{each.actual_columns} in '{each.text[:60]}'" for each in bad[:SHOWN])
    raise InputError(
        f"{path}: {len(bad):,} of {rows:,} rows do not have the {bad[0].expected_columns} values that the header names: {told}"
        f"{' …' if len(bad) > SHOWN else ''}. Put a value that holds the delimiter into quotes, or take the rows out."
    )


def _checked(path: Path, table: pa.Table, notes: Sequence[str]) -> Input:
    if not len(table):
        raise InputError(f"{path} has no rows.")
    return Input(table, tuple(notes))


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file: UTF-8, UTF-16 by its mark, and line by line where lines differ."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16").replace("\0", ""), []
    try:
        return data.decode("utf-8-sig").replace("\0", ""), []
    except UnicodeDecodeError:
        pass
    lines, mended, first = [], 0, 0
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            lines.append(line.decode("cp1252", "replace"))
            mended, first = mended + 1, first or number
    note = f"{path.name}: {mended:,} of {len(lines):,} lines are not UTF-8 and were read as Windows-1252, the first in line {first:,}."
    return "\n".join(lines).replace("\0", ""), [note]


def _delimiter(text: str) -> str:
    """The one that is most often in the first line, outside quotes."""
    outside = "".join(text.split("\n", 1)[0].split('"')[::2])
    counts = {each: outside.count(each) for each in DELIMITERS}
    return max(counts, key=lambda each: counts[each]) if any(counts.values()) else ","


def _header(path: Path, text: str, delimiter: str) -> tuple[list[str], int]:
    """The names, and how many lines they take."""
    reader = csv.reader(io.StringIO(text[:1_000_000], newline=""), delimiter=delimiter)
    names = [name.strip() for name in next(reader)]
    names = [name or _free(f"column_{place}", set(names)) for place, name in enumerate(names, 1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(f"{path}: the column '{twice[0]}' is there {names.count(twice[0])} times. Rename all but one.")
    return names, reader.line_num


def _aligned(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The same columns in all; where types differ, texts."""
    columns: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            same = columns.setdefault(field.name, field.type)
            columns[field.name] = field.type if same.equals(field.type) else pa.string()
    return [
        pa.table(
            {
                name: table[name].cast(kind) if name in table.column_names else pa.nulls(len(table), kind)
                for name, kind in columns.items()
            }
        )
        for table in tables
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """The stems of the files, numbered where two are the same."""
    stems = [path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}-{place}" for place, stem in enumerate(stems, 1)]


def _free(wanted: str, taken: set[str]) -> str:
    name = wanted
    while name in taken:
        name = f"{name}_"
    return name
