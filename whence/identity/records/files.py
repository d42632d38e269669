"""One file as a table of texts: CSV of any delimiter and encoding, JSON, JSON lines or Parquet, packed or not."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from whence.identity.records import headers

DELIMITERS = ",;\t|"
RARE_DELIMITERS = "%#^~\x01\x1f"
"""Looked for where none of the usual ones is there."""
BLOCK = 1 << 26
SHOWN = 3
"""Bad rows that a message names."""
LOOKED_AT = 200
"""Rows from which the delimiter, and whether there is a header, are found."""
BEGINNING = 1_000_000
ALIKE = 0.8
"""The share of rows that must agree."""
MOST_ABOVE = 10
"""Rows that an export may have above the line with names."""


class InputError(ValueError):
    """A file that cannot be read as a table; the message names the row and what to do."""


@dataclass(frozen=True)
class Part:
    """What one file held."""

    table: pa.Table
    notes: tuple[str, ...] = ()


def file(path: Path) -> Part:
    """The table in a file; InputError says what is wrong with it and what to do."""
    if not path.exists():
        raise InputError(f"There is no file {path}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give the file itself; --input may be repeated.")
    data = _unpacked(path)
    named = path.name.casefold()
    if data[:4] == b"PAR1" or named.endswith((".parquet", ".pq")):
        part = _parquet(path, data)
    elif data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path} is a workbook or an archive. Save the sheet as CSV, or unpack it, and give that.")
    else:
        part = _text(path, data)
    if not len(part.table):
        raise InputError(f"{path} has no rows.")
    return part


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    unpack = next((each for mark, each in PACKED.items() if data.startswith(mark)), None)
    if unpack is None:
        return data
    try:
        return unpack(data)
    except (OSError, EOFError, lzma.LZMAError) as wrong:
        raise InputError(f"{path} is packed, and cannot be unpacked ({wrong}). Was it cut short?") from None


PACKED: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
}


def _parquet(path: Path, data: bytes) -> Part:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except pa.ArrowInvalid as wrong:
        raise InputError(f"{path} is no Parquet file ({str(wrong).splitlines()[0]}).") from None
    while any(pa.types.is_struct(each.type) for each in table.schema):
        table = table.flatten()
    for place, each in enumerate(table.schema):
        if pa.types.is_nested(each.type):
            table = table.set_column(place, each.name, pa.array(map(_told, table[place].to_pylist()), pa.string()))
        elif pa.types.is_binary(each.type) or pa.types.is_large_binary(each.type) or pa.types.is_fixed_size_binary(each.type):
            table = table.set_column(place, each.name, pa.array(map(_of_bytes, table[place].to_pylist()), pa.string()))
        elif pa.types.is_duration(each.type):
            table = table.set_column(place, each.name, table[place].cast(pa.int64()).cast(pa.string()))
    _refuse_twice(path, table.column_names)
    return Part(table)


def _of_bytes(value: bytes | None) -> str | None:
    """Text where the bytes are text, else their hexadecimal digits."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _text(path: Path, data: bytes) -> Part:
    text, notes = _decoded(path, data)
    if not text.strip():
        raise InputError(f"{path} is empty. It needs a line with the names of the columns, and rows.")
    if PAGE.match(text) or sum(map(_is_strange, text[:LOOKED_INTO])) > STRANGE * len(text[:LOOKED_INTO]):
        raise InputError(f"{path} is no table: it begins with {text[:20]!r}. Give CSV, JSON or Parquet.")
    if text.lstrip()[0] in "[{" and _is_json(text):
        return Part(_json(path, text), tuple(notes))
    return _csv(path, text, notes)


PAGE = re.compile(r"(?i)\s*<(?:!doctype|html|\?xml)|%PDF")
LOOKED_INTO = 4000
STRANGE = 0.01
"""The share of signs that no text has, from which a file is a picture, or whatever else."""


def _is_strange(sign: str) -> bool:
    return sign < " " and not sign.isspace() and sign not in RARE_DELIMITERS


def _decoded(path: Path, data: bytes) -> tuple[str, list[str]]:
    """The text of a file: UTF-8, UTF-16 by its mark or its zeros, and line by line where lines differ."""
    wide = _wide(data)
    if wide:
        return data.decode(wide, "replace").replace("\0", "").removeprefix("\ufeff"), []
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


def _wide(data: bytes) -> str | None:
    """The name of a file's encoding where each character takes two bytes."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    some = data[:4000]
    zeros = some[0::2].count(0), some[1::2].count(0)
    if max(zeros) < 0.3 * len(some) / 2 or min(zeros) > 0.1 * max(zeros):
        return None
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _csv(path: Path, text: str, notes: Sequence[str]) -> Part:
    said = re.match(r'"?sep=(.)"?\r?\n', text)
    if said:
        text = text[said.end() :]
    elif above := _title(text):
        text = text[len(above) :]
        notes = [*notes, f"{path.name}: what is above the line with names was left out: '{above.strip()[:60]}'."]
    delimiter = said[1] if said else _delimiter(text)
    rows = _rows(text, delimiter)
    if _is_headless(rows):
        names, header_lines = [f"column_{place}" for place in range(1, len(rows[0]) + 1)], 0
        told = f"{path.name} has no line with names: its first looks like data. The columns are called {names[0]} to {names[-1]}."
        notes = [*notes, told]
    else:
        names, header_lines = _header(path, text, delimiter)
    if len(rows) > 1 and all(len(row) == len(names) + 1 and not row[-1].strip() for row in rows[1:]):
        names = [*names, free(f"column_{len(names) + 1}", set(names))]  # each row ends with a delimiter, and the header does not
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
    return Part(table, tuple(notes))


def _title(text: str) -> str:
    """What an export says above the line with names: rows narrower than that line, which is as wide as those below it."""
    for delimiter in DELIMITERS:
        rows = _rows(text, delimiter)
        width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
        at = next((at for at, row in enumerate(rows) if len(row) == width), 0)
        below = rows[at + 1 :]
        if width < 3 or not 0 < at <= MOST_ABOVE or sum(len(row) == width for row in below) < max(ALIKE * len(below), 1):
            continue
        if all(map(str.strip, rows[at])) and not any(any(map(str.isdecimal, cell)) for cell in rows[at]):
            return _above(text, delimiter, width)
    return ""


def _above(text: str, delimiter: str, width: int) -> str:
    reader, lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 0
    for row in reader:
        if len(row) == width:
            break
        lines = reader.line_num
    stream = io.StringIO(text, newline="")
    return "".join(stream.readline() for _ in range(lines))


def _refuse_ragged(path: Path, bad: Sequence[Any], rows: int) -> None:
    told = "; ".join(f"{each.actual_columns} in '{each.text[:60]}'" for each in bad[:SHOWN])
    raise InputError(
        f"{path}: {len(bad):,} of {rows:,} rows do not have the {bad[0].expected_columns} values that the header names: {told}"
        f"{' …' if len(bad) > SHOWN else ''}. Put a value that holds the delimiter into quotes, or take the rows out."
    )


def _delimiter(text: str) -> str:
    """The one that parts the first rows into the most pieces, as many in each; a comma where none does."""
    for candidates in (DELIMITERS, RARE_DELIMITERS):
        found = {each: _parted(_rows(text, each)) for each in candidates}
        best = max(found, key=lambda each: found[each])
        if found[best] > (0, 0) and (candidates == DELIMITERS or found[best][0]):
            return best
    return ","


def _parted(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Whether most rows have as many values as the first, and how many those are; zeros where it has one."""
    if not rows or len(rows[0]) < 2:
        return 0, 0
    alike = sum(len(row) == len(rows[0]) for row in rows)
    return int(len(rows) > 1 and alike >= ALIKE * len(rows)), len(rows[0])


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The first rows that are not blank; none where quotes do not close."""
    reader, rows = csv.reader(io.StringIO(text[:BEGINNING], newline=""), delimiter=delimiter), []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > LOOKED_AT:
                break
    except csv.Error:
        return rows
    return rows


def _header(path: Path, text: str, delimiter: str) -> tuple[list[str], int]:
    """The names, and how many lines they take."""
    reader = csv.reader(io.StringIO(text[:BEGINNING], newline=""), delimiter=delimiter)
    names: list[str] = []
    for names in reader:
        if names:
            break
    names = [name.strip() for name in names]
    names = [name or free(f"column_{place}", set(names)) for place, name in enumerate(names, 1)]
    _refuse_twice(path, names)
    return names, reader.line_num


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(f"{path}: the column '{twice[0]}' is there {names.count(twice[0])} times. Rename all but one.")


def free(wanted: str, taken: set[str]) -> str:
    """A name that is not taken."""
    name = wanted
    while name in taken:
        name = f"{name}_"
    return name


def _is_headless(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is one of values: it has numbers, dates or addresses as the rows below, and no word for a column."""
    if len(rows) < 3:
        return False
    columns = [[row[at].strip() for row in rows[1:] if at < len(row) and row[at].strip()] for at in range(len(rows[0]))]
    first = [cell.strip() for cell in rows[0]]
    if any(map(_names_a_column, first, columns)):
        return False
    if any(_shape(cell) and _alike(cell, column) for cell, column in zip(first, columns, strict=True)):
        return True
    again = sum(cell in column for cell, column in zip(first, columns, strict=True) if cell)
    return again >= max(2, len(first) / 2)


def _names_a_column(cell: str, below: Sequence[str]) -> bool:
    """Whether a cell is a header's: a word for a kind of column, or a word over numbers or dates."""
    if not cell or (any(map(str.isdecimal, cell)) and _shape(cell)):
        return False
    words = headers.split(cell)
    says = len(words) <= 3 and not any(map(str.isdecimal, cell)) and (headers.says(cell) or headers.names_a_row(cell))
    shapes = Counter(map(_shape, below))
    return bool(says) or (not _shape(cell) and bool(below) and shapes[""] <= (1 - ALIKE) * len(below))


def _alike(cell: str, below: Sequence[str]) -> bool:
    return bool(below) and sum(_shape(value) == _shape(cell) for value in below) >= ALIKE * len(below)


def _shape(value: str) -> str:
    """What no column is called: a number, a date, an address; nothing for words."""
    return next((name for name, pattern in SHAPES.items() if pattern.fullmatch(value)), "")


SHAPES = {
    "date": re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[ T].*)?"),
    "number": re.compile(r"[-+$€£]{0,2} ?\d[\d.,' ]*%?"),
    "email": re.compile(r"[^@\s]+@[^@\s]+\.\w+"),
    "url": re.compile(r"https?://\S+|www\.\S+"),
    "code": re.compile(r"[A-Za-z]{0,4}[-/]?\d{3,}[A-Za-z]?"),
}


def _is_json(text: str) -> bool:
    start = text.lstrip()
    try:
        value = json.loads(start.split("\n", 1)[0])
    except ValueError:
        return bool(re.match(r'\[\s*[\[{\]]|\{\s*["}]', start))
    return isinstance(value, dict | list)


def _json(path: Path, text: str) -> pa.Table:
    rows = [dict(_flat(each)) for each in _objects(path, text)]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) or None for row in rows], pa.string()) for name in names})


def _objects(path: Path, text: str) -> list[dict[str, Any]]:
    """The objects of a file that has one a line, or a list of them."""
    try:
        whole: Any = [_parsed(line) for line in text.split("\n") if line.strip()]
    except ValueError:
        whole = _whole(path, text)
    if len(whole) == 1 and not isinstance(whole[0], dict):
        whole = whole[0]
    if len(whole) == 1 and isinstance(whole[0], dict):
        inner = [each for each in whole[0].values() if isinstance(each, list) and each and isinstance(each[0], dict)]
        whole = inner[0] if len(inner) == 1 and len(inner[0]) > 1 else whole
    for number, each in enumerate(whole, 1):
        if not isinstance(each, dict):
            raise InputError(f"{path}: record {number:,} is {str(each)[:60]!r}, not an object with names and values.")
    return list(whole)


def _whole(path: Path, text: str) -> Any:
    try:
        found = _parsed(text)
    except ValueError as wrong:
        for number, line in enumerate(text.split("\n"), 1):
            try:
                _parsed(line or "0")
            except ValueError as here:
                raise InputError(
                    f"{path}: line {number:,} is no JSON ({here}): '{line[:60]}'. Correct it or take it out."
                ) from None
        raise InputError(f"{path} is no JSON ({wrong}).") from None
    return found if isinstance(found, list) else [found]


def _parsed(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)


def _flat(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, str | None]]:
    """Names and texts of an object; those of objects inside it as `outer.inner`."""
    for name, held in value.items():
        if isinstance(held, dict):
            yield from _flat(held, f"{above}{name}.")
        else:
            yield f"{above}{name}", _told(held)


def _told(value: Any) -> str | None:
    """A value as text; the parts of a list parted by commas."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(_told(each) or "" for each in value) or None
    return json.dumps(value, default=str, sort_keys=True, ensure_ascii=False) if isinstance(value, dict) else str(value)
