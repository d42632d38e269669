"""Drafts a mapping for a source that nobody has mapped yet, and tries it on the source's first rows."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from whence.contracts.events import EVENTS
from whence.ingest import guessing, urls
from whence.ingest.check import check
from whence.ingest.errors import IngestError
from whence.ingest.fields import listed, quoted, written
from whence.ingest.guessing import CONVERSIONS, SIGHTINGS, TOUCHES, Column
from whence.ingest.mapping import batches, parse
from whence.ingest.places import Place
from whence.ingest.read import chunks, header_line, headers, is_json, sql_tables
from whence.ingest.sections import Section, found_in

TRIED = 1000
"""Rows on which the draft is tried."""
READ = 200_000
"""Rows that are read for the words of kinds: rare ones may come late."""
DELIMITERS = ",;\t|"
COUNTING = "0123456789-_"
"""What the names of one day's files differ in from another's."""
WITHOUT = {TOUCHES: "without them nothing can earn credit.", CONVERSIONS: "without them there is no credit to give."}


class _Group(NamedTuple):
    """Files of the same columns."""

    names: tuple[str, ...]
    first: Place
    file: str = ""
    """The name of the first as the source has it."""
    line: str = ""
    """How the mapping names them; empty when there are no others."""


def draft(path: str, table: str = "") -> str:
    """A mapping as TOML, with a note wherever a person has to decide; raises IngestError for a file that cannot be read.

    A folder of files with different columns gets sections for each kind of file.
    """
    place = _place(path, table)
    lines = [
        f"# A first mapping for {table or path.rsplit('/', 1)[-1]}, from a look at its columns. Read every line before you use it."
    ]
    if place.delimiter or table:
        lines += ["", "[source]"]
    if place.delimiter:
        lines += [f"delimiter = {quoted(place.delimiter)}"]
    if table:
        lines += [f"table = {listed(list(place.queries))}"]
    groups = _groups(place)
    found: list[Section] = []
    unused, nameless = list[str](), list[str]()
    for group in groups:
        rows = _read(group)
        mine = [part._replace(files=group.line) for part in found_in(rows)]
        found, nameless = [*found, *mine], [*nameless, *_nameless(mine, rows), *_rows_within(rows), *_paid_back(mine, rows)]
        taken = {urls.column(name) for part in mine for column in part.found.values() for name in (column.name, *column.others)}
        asked = " ".join(each for part in mine for each in part.only)
        unused += [name for name in group.names if name not in taken and quoted(name) not in asked]
    found = _one_order_each(found)
    often = Counter(part.table for part in found)
    for part in sorted(found, key=lambda part: list(EVENTS).index(part.table)):
        lines += ["", f"[[{part.table}]]" if often[part.table] > 1 else f"[{part.table}]", *written(part)]
    lines += ["", f"# Columns that were not used: {', '.join(unused) or 'none'}."]
    lines += nameless
    lines += [f"# No {table} were found; {WITHOUT[table]}" for table in WITHOUT if not often[table]]
    text = "\n".join(lines) + "\n"
    return text + _tried(text, groups)


def _one_order_each(found: Sequence[Section]) -> list[Section]:
    """Sections whose orders go by the same name as those of the sections before: in two systems an order has several."""
    told: set[str] = set()
    agreed = []
    for part in found:
        own = part.found.get("order_id")
        if part.table == CONVERSIONS and own is not None:
            others = [name for name in part.rows.column_names if name != own.name]
            named = {name: {*map(str, part.rows[name].to_pylist())} - {"None"} for name in (own.name, *others)}
            best = max(named, key=lambda name: len(named[name] & told))
            if not named[own.name] & told and 2 * len(named[best] & told) > min(len(named[best]), len(told)):
                part = part._replace(found={**part.found, "order_id": Column(best, sorted(named[best]))})
                own = part.found["order_id"]
            told |= named[own.name]
        agreed.append(part)
    return agreed


def _nameless(parts: Sequence[Section], rows: pa.Table) -> list[str]:
    """What to look at where no column is taken for the id of a touch or a conversion."""
    lacking = [each.table for each in parts if each.table != SIGHTINGS and "event_id" not in each.found]
    if not lacking:
        return []
    named = {column.name for each in parts for column in each.found.values()}
    columns = [(name, rows[name]) for name in rows.column_names if name not in named]
    whole = max(rows.num_rows, 1)
    better = guessing.event_ids(
        [Column(name, told.drop_null().to_pylist(), 1 - told.null_count / whole) for name, told in columns]
    )
    where = f" ({parts[0].files})" if parts[0].files else ""
    return [
        f"# {' and '.join(dict.fromkeys(lacking))}{where}: no column is called as an event's id usually is. A row that comes again is known "
        "as the same if all of it that is read is the same."
        + (
            f" {better.name} differs from row to row: if it names the event, write event_id = {quoted(better.name)}."
            if better
            else ""
        )
    ]


def _rows_within(rows: pa.Table) -> list[str]:
    """What to do about columns that hold lists of objects: rows of their own, as the refunds of an order."""
    names = [name for name in rows.column_names if any(str(cell).startswith("[{") for cell in rows[name].to_pylist())]
    return [
        f"# {name} holds lists of objects, which this draft leaves alone. Are refunds in them, or orders? "
        f"A section with each = {quoted(name)} makes a row of each."
        for name in names
    ]


def _paid_back(parts: Sequence[Section], rows: pa.Table) -> list[str]:
    """What to do about amounts that were paid back, which stand beside those of the orders."""
    if not any(each.table == CONVERSIONS for each in parts):
        return []
    columns = guessing.paid_back([Column(name, rows[name].drop_null().to_pylist()) for name in rows.column_names])
    taken = {each.found["value_micros"].name for each in parts if "value_micros" in each.found}
    return [
        f'# {each.name} may hold what was paid back. A further section of conversions takes it, with kind = {{ value = "refund" }}, '
        f'only = {{ column = {quoted(each.name)}, not = ["0", "0.00"] }} and scale = -1_000_000.'
        for each in columns
        if each.name not in taken
    ]


def _place(path: str, table: str) -> Place:
    place = Place(path, {}, queries={each: f"SELECT * FROM {each}" for each in table.replace(",", " ").split()})
    if place.is_sql and not table:
        raise IngestError(
            f"{place.name} is a database. Name the tables that hold events with --table, as clicks,orders: {', '.join(sql_tables(place)) or 'it has none'}."
        )
    if table and not place.is_sql:
        raise IngestError(f"{path} is no database, so it has no table {table}. Leave out --table.")
    return replace(place, delimiter=_delimiter(place))


def _groups(place: Place) -> list[_Group]:
    """The source's files, or tables, by their columns."""
    by_names = _by_names(headers(place))
    if len(by_names) == 1:
        return [_Group(next(iter(by_names)), place)]
    return [
        _Group(names, _alone(place, files[0]), files[0], f"files = {listed(_pattern(files, by_names))}")
        for names, files in by_names.items()
    ]


def _alone(place: Place, name: str) -> Place:
    """One of its files, or tables, alone."""
    if place.is_sql:
        return replace(place, queries={_short(name): place.queries[_short(name)]})
    return replace(place, path=name if name.startswith("s3://") else str(Path(place.path) / name))


def _by_names(found: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """Files by their columns; those of JSON, where a day may lack what is rare, belong together where they share more than half."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for file, names in found.items():
        alike = next((each for each in groups if _is_alike(file, names, each, groups[each])), names)
        files = groups.pop(alike, [])
        groups[tuple(dict.fromkeys((*alike, *names)))] = [*files, file]
    return groups


def _is_alike(file: str, names: tuple[str, ...], others: tuple[str, ...], files: list[str]) -> bool:
    if not is_json(file) or not is_json(files[0]):
        return names == others
    return 2 * len({*names} & {*others}) > len({*names} | {*others})


def _pattern(files: list[str], by_names: Mapping[tuple[str, ...], list[str]]) -> list[str]:
    """What names these files and no others: one pattern, if what they begin and end with does."""
    mine = [_short(name) for name in files]
    if len(mine) == 1:
        return mine
    begin, end = _beginning(mine), _beginning([name[::-1] for name in mine])[::-1]
    pattern = f"{begin.rstrip(COUNTING)}*{end.lstrip(COUNTING)}"
    others = [_short(name) for group in by_names.values() if group is not files for name in group]
    return mine if any(fnmatchcase(name, pattern) for name in others) else [pattern]


def _short(name: str) -> str:
    """A file's name below the source's folder; of a bucket's, and of a database's table, the last part."""
    return name.rsplit("/", 1)[-1] if "://" in name else name


def _beginning(names: list[str]) -> str:
    return os.path.commonprefix(names)  # noqa: RUF071 - of their letters, and not of their folders


def _read(group: _Group) -> pa.Table:
    parts: list[pa.RecordBatch] = []
    for chunk in chunks(group.first, lambda _: group.names):
        parts.append(chunk.rows)
        if sum(part.num_rows for part in parts) >= READ:
            break
    rows = pa.Table.from_batches(parts) if parts else pa.table({name: pa.array([], pa.string()) for name in group.names})
    return rows.slice(0, READ)


def _delimiter(place: Place) -> str:
    """What parts the cells of a CSV where that is no comma, nor the tab of a .tsv; the header tells."""
    if ".tsv" in place.path:
        return ""
    first = header_line(place)
    counts = {each: len(next(csv.reader([first], delimiter=each), ())) for each in DELIMITERS}
    best = max(counts, key=lambda each: counts[each])
    return "" if counts[best] == counts[","] else best


def _tried(text: str, groups: Sequence[_Group]) -> str:
    """What becomes of the first rows by this draft, as comments."""
    taken, refused, looked_at, reasons = Counter[str](), 0, 0, dict[tuple[str, str], int]()
    try:
        plan = parse(text, "the draft")
        for group in groups:
            chunk = next(chunks(group.first, lambda name, file=group.file: plan.columns(file or name)), None)  # type: ignore[misc]
            if chunk is None:
                continue
            first = replace(chunk, rows=chunk.rows.slice(0, TRIED), numbers=chunk.numbers.slice(0, TRIED), faults=())
            first = replace(first, source=group.file or chunk.source)
            looked_at += first.rows.num_rows
            for batch in batches(first, plan, lambda word: "0" * 16, timedelta()):
                checked = check(batch)
                taken[batch.table] += checked.rows.num_rows
                refused += len(checked.faults)
                for fault in checked.faults:
                    reasons.setdefault((batch.table, fault.reason), fault.row)
    except IngestError as wrong:
        return f"# It cannot be used as it is: {wrong}\n"
    if not looked_at:
        return "# It holds no rows yet, so that nothing could be tried.\n"
    told = ", ".join(f"{count:,} of {table}" for table, count in taken.items())
    which = "row" if looked_at == 1 else f"{looked_at:,} rows"
    lines = [f"# Of the first {which} it makes {told}; {refused:,} would go to quarantine."]
    lines += [f"#   row {row}, {table}: {reason}" for (table, reason), row in islice(reasons.items(), 5)]
    return "\n".join(lines) + "\n"
