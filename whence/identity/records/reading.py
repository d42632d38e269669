"""Tables from files as strangers have them; several files are the sources of one table, their columns brought together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from whence.identity.records import whole_names
from whence.identity.records.aligning import align
from whence.identity.records.files import InputError, Part, file, free
from whence.identity.records.texts import texts

__all__ = ["Input", "InputError", "read"]

PACKED = (".gz", ".bz2", ".xz")
"""Endings that say how a file is packed, and not what it is."""


@dataclass(frozen=True)
class Input:
    """What was read."""

    table: pa.Table
    notes: tuple[str, ...] = ()
    """What a reader should know: encodings that were mended, columns that one file lacks."""
    source: str | None = None
    """The column that tells several files apart, where there are several."""
    same: Mapping[str, str] | None = None
    """Columns of later files that have the name of an earlier one's column in the table; None for one file."""
    why: Mapping[str, str] = field(default_factory=dict)
    """The reason for each of those."""


def read(paths: Sequence[Path], same: Mapping[str, str] | None = None) -> Input:
    """One table of all files; of several, each row says in a column of its own which file it is from.

    Columns of the same name are one, and those that `same` says; where it is None, what belongs together is found from
    the values. InputError when nothing does.
    """
    if not paths:
        raise InputError("Which file? Give one with --input.")
    parts = [file(path) for path in paths]
    notes = [note for part in parts for note in part.notes]
    if len(parts) == 1:
        return Input(parts[0].table, tuple(notes))
    _refuse_unheard(paths, parts, same or {})
    found = align(whole_names.composed([part.table for part in parts]), same)
    shared = set.intersection(*(set(table.column_names) for table in found.tables))
    if not shared:
        raise InputError(
            f"{paths[0].name} and {paths[1].name} have no column in common "
            f"({', '.join(parts[0].table.column_names)}; {', '.join(parts[1].table.column_names)}), and their values do not tell "
            'which belong together. Say so with --fields FILE, under [same]: "column of the second" = "column of the first".'
        )
    for path, table in zip(paths, found.tables, strict=True):
        alone = [name for name in table.column_names if name not in shared]
        if alone:
            notes.append(f"{path.name} has columns that others lack: {', '.join(alone)}.")
    notes += [f"Taken for the same: {', '.join(f'{name} and {of}' for name, of in found.same.items())}."] if found.same else []
    name = free("source", {column for table in found.tables for column in table.column_names})
    tables = [
        table.append_column(name, pa.array([label] * len(table), pa.string()))
        for label, table in zip(_names(paths), found.tables, strict=True)
    ]
    return Input(pa.concat_tables(_of_one_schema(tables)), tuple(notes), name, found.same, found.why)


def _refuse_unheard(paths: Sequence[Path], parts: Sequence[Part], same: Mapping[str, str]) -> None:
    """A line of [same] that speaks of a column that no file has."""
    names = {name for part in parts for name in part.table.column_names}
    for name in (each for line in same.items() for each in line):
        if name not in names:
            raise InputError(
                f"[same] speaks of a column '{name}', which none of {', '.join(path.name for path in paths)} has. "
                f"They have {', '.join(sorted(names))}."
            )


def _of_one_schema(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The same columns in all; where types differ, texts."""
    columns: dict[str, pa.DataType] = {}
    for table in tables:
        for each in table.schema:
            known = columns.setdefault(each.name, each.type)
            columns[each.name] = each.type if known.equals(each.type) else pa.string()
    return [pa.table({name: _column(table, name, kind) for name, kind in columns.items()}) for table in tables]


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if name not in table.column_names:
        return pa.nulls(len(table), kind)
    return table[name] if table[name].type.equals(kind) else texts(table[name])


def _names(paths: Sequence[Path]) -> list[str]:
    """What the files are called without their endings, numbered where two are the same."""
    stems = [Path(path.stem).stem if path.suffix in PACKED else path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}-{place}" for place, stem in enumerate(stems, 1)]
