"""What the columns of a table are: guessed from the data, read from a file, and brought into one form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.identity.records import happenings, headers, kinds, near, spellings
from whence.identity.records.table import KINDS, MISSING, Codes, Column, Field, Fields, Records
from whence.identity.records.texts import texts
from whence.normalise import normalise


@dataclass(frozen=True)
class Guess:
    """What the columns seem to be, and why; also for those that are left out."""

    fields: Fields
    why: Mapping[str, str]


def guess(table: pa.Table) -> Fields:
    """The kinds of the columns, from their values first and their names second."""
    return study(table).fields


def study(table: pa.Table, source: str | None = None) -> Guess:
    """The kinds of the columns as `guess` finds them, with the reason for each; `source` tells files apart where one does."""
    looks = [kinds.look(name, texts(table[name])) for name in table.column_names]
    source = source or next((look.name for look in looks if _is_source(look)), None)
    parts = _parts(table, source)
    ids = {look.name: reason for look in looks if look.name != source and (reason := _names_rows(look, parts))}
    key = max(ids, key=lambda name: headers.names_a_row(name), default=None)
    fields, why = [], {}
    for look in looks:
        if look.name == source:
            why[look.name] = "tells the sources apart"
        elif look.name == key:
            why[look.name] = f"names the row: {ids[look.name]}"
        elif reason := _useless(look, ids, parts):
            why[look.name] = reason
        else:
            kind, reason = look.kind
            fields.append(Field(look.name, kind))
            why[look.name] = reason
    fields = _whole_names(fields, {look.name: look for look in looks})
    of_what_happens = happenings.columns(table, fields)
    fields = [field for field in fields if field.name not in of_what_happens]
    why |= {name: f"differs in rows of one {names}: of what happens, not of whom" for name, names in of_what_happens.items()}
    days = _days(table, fields)
    fields = [Field(field.name, "day") if field.name in days else field for field in fields]
    why |= {name: f"{why[name]}, which come close where other columns share a rare value" for name in days}
    return Guess(Fields(tuple(fields), id=key, source=source), why)


def _whole_names(fields: Sequence[Field], looks: Mapping[str, kinds.Look]) -> list[Field]:
    """A lone `nombre` or `nom` of several words is the whole name."""
    parts = {field.kind for field in fields} & {"given_name", "surname"}
    return [Field(field.name, "name") if {field.kind} == parts and looks[field.name].words > 1.4 else field for field in fields]


def _days(table: pa.Table, fields: Sequence[Field]) -> set[str]:
    """Columns of dates that only come close in rows that share a rare value; births are never looked at."""
    dated = [field for field in fields if field.kind == "date" and not headers.is_birth(field.name)]
    if not dated:
        return set()
    order = np.arange(len(table))
    columns = [_column(table[field.name], field, order, None) for field in dated]
    naming = [Column(field, *_coded(texts(table[field.name]), order)) for field in fields if field.kind in near.NAMING]
    records = Records(tuple(map(str, order)), (*columns, *naming))
    return {column.field.name for column in columns if (said := near.said(records, column)) and said.is_close}


def read(path: Path | str) -> Fields:
    """The fields that a TOML file describes; ValueError names what is wrong with which field."""
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as wrong:
        raise ValueError(
            f'{path} is no TOML in UTF-8 ({wrong}). It has a line [fields], and below it one such as "surname" = "surname" for '
            "each column to compare, both in quotes."
        ) from None
    known = {"id", "source", "label", "unique", "unique_sources", "fields", "same", "login"}
    for name in settings:
        if name not in known:
            raise ValueError(f"{path}: {name!r} is not a setting; expected one of {', '.join(sorted(known))}.")
    columns = settings.get("fields")
    if not isinstance(columns, dict) or not columns:
        raise ValueError(f'{path}: no [fields]; write a line such as `surname = "surname"` for each column to compare.')
    for name, kind in columns.items():
        if kind not in KINDS:
            raise ValueError(f"{path}: field {name!r} has kind {kind!r}; expected one of {', '.join(KINDS)}.")
    if settings.get("login") in columns:
        raise ValueError(
            f"{path}: {settings['login']!r} is the log-in, so that it cannot be compared as well. Take it out of [fields]."
        )
    unique = settings.get("unique", [])
    if not isinstance(unique, list) or not all(isinstance(name, str) for name in unique):
        raise ValueError(f'{path}: unique is a list of columns, such as `unique = ["account"]`: a person has one value of each.')
    same = settings.get("same")
    if same is not None and not (isinstance(same, dict) and all(isinstance(of, str) for of in same.values())):
        raise ValueError(f'{path}: [same] has lines such as `Ort = "town"`: a column of one file, and its name in another.')
    return Fields(
        tuple(Field(name, kind) for name, kind in columns.items()),
        same=same,
        id=settings.get("id"),
        source=settings.get("source"),
        label=settings.get("label"),
        login=settings.get("login"),
        unique_sources=bool(settings.get("unique_sources", False)),
        unique=tuple(unique),
    )


def to_toml(fields: Fields, why: Mapping[str, str] | None = None) -> str:
    """The file that `read` reads, with the reasons as comments, and the columns left out as comments too."""
    why = why or {}
    lines = [f"{role} = {_quoted(name)}{_comment(why, name)}" for role, name in _roles(fields)]
    if fields.unique_sources:
        lines.append("unique_sources = true")
    if fields.unique:
        lines.append(f"unique = [{', '.join(map(_quoted, fields.unique))}]")
    lines += ["", "[fields]"]
    lines += [f"{_quoted(field.name)} = {_quoted(field.kind)}{_comment(why, field.name)}" for field in fields.fields]
    if fields.same is not None:
        lines += ["", "[same]"]
        lines += [f"{_quoted(name)} = {_quoted(of)}{_comment(why, name)}" for name, of in fields.same.items()]
    named = {*(fields.same or {})} | {field.name for field in fields.fields} | {name for _, name in _roles(fields)}
    lines += [f"# {_quoted(name)} is left out: {reason}" for name, reason in why.items() if name not in named]
    return "\n".join(lines) + "\n"


def prepare(table: pa.Table, fields: Fields) -> Records:
    """The records of a table, each field normalised and coded, sorted by id.

    ValueError when a column is not there or an id comes twice; an id may come in two sources, and is then written
    `source/id`.
    """
    for name in [*(name for _, name in _roles(fields)), *(field.name for field in fields.fields), *fields.unique]:
        if name not in table.column_names:
            raise ValueError(f"There is no column {name!r}; the table has {', '.join(map(repr, table.column_names))}.")
    ids = _ids(table, fields)
    order = pc.sort_indices(pa.array(ids, type=pa.string())).to_numpy()
    source = _coded(texts(table[fields.source]), order)[0] if fields.source else None
    columns = tuple(_column(table[field.name], field, order, source) for field in fields.fields)
    labels = _coded(texts(table[fields.label]), order)[0] if fields.label else None
    login = _coded(texts(table[fields.login]), order)[0] if fields.login else None
    compared = {column.field.name: column for column in columns}
    unique = tuple(compared.get(name) or _column(table[name], Field(name, "code"), order, None) for name in fields.unique)
    records = Records(
        tuple(pa.array(ids, type=pa.string()).take(order).to_pylist()),
        columns,
        source,
        labels,
        fields.unique_sources,
        unique,
        login,
    )
    _refuse_contradictions(records)
    return records


def _roles(fields: Fields) -> list[tuple[str, str]]:
    roles = (("id", fields.id), ("source", fields.source), ("label", fields.label), ("login", fields.login))
    return [(role, name) for role, name in roles if name is not None]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _comment(why: Mapping[str, str], name: str) -> str:
    return f"  # {why[name]}" if name in why else ""


def _ids(table: pa.Table, fields: Fields) -> list[str]:
    if fields.id is None:
        width = len(str(max(len(table) - 1, 0)))
        return [f"{row:0{width}d}" for row in range(len(table))]
    ids: list[str] = texts(table[fields.id]).to_pylist()
    for row, value in enumerate(ids):
        if not value or value.isspace():
            raise ValueError(f"Row {row + 1} has no {fields.id!r}. Give it one, or name no id so that rows are numbered.")
    if fields.source is not None and len(set(ids)) < len(ids):
        ids = [f"{source}/{value}" for source, value in zip(texts(table[fields.source]).to_pylist(), ids, strict=True)]
    _refuse_twice(ids, fields.id)
    return ids


def _refuse_twice(ids: Sequence[str], column: str) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    for row, value in enumerate(ids):
        if value in first:
            raise ValueError(
                f"The id {value!r} comes twice in {column!r}, in rows {first[value] + 1} and {row + 1}. "
                "Take one of the rows out, name a source if two tables use the same ids, or name no id."
            )
        first[value] = row


def _coded(texts: pa.Array, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[Codes, tuple[str, ...]]:
    encoded = texts.dictionary_encode()
    return _recoded(encoded.indices, encoded.dictionary.to_pylist(), order)


def _recoded(
    indices: pa.Array, texts: Sequence[str | None], order: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Codes, tuple[str, ...]]:
    """Codes into the sorted distinct texts, for rows in the given order."""
    found = pa.array([text or None for text in texts], type=pa.string()).dictionary_encode()
    by_text = pc.sort_indices(found.dictionary)
    rank = np.full(len(by_text) + 1, MISSING, dtype=np.int32)
    rank[by_text.to_numpy()] = np.arange(len(by_text))
    mapped = np.append(rank[found.indices.fill_null(MISSING).to_numpy(zero_copy_only=False)], np.int32(MISSING))
    codes = mapped[indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)][order]
    return codes, tuple(found.dictionary.take(by_text).to_pylist())


def _column(
    column: pa.ChunkedArray, field: Field, order: np.ndarray[tuple[int], np.dtype[np.int64]], source: Codes | None
) -> Column:
    encoded = texts(column).dictionary_encode()
    written = encoded.dictionary.to_pylist()
    if source is None or field.kind not in BY_SOURCE:
        codes, values = _recoded(encoded.indices, _normalised(field.kind, written), order)
        return Column(field, codes, values)
    rows = np.empty(len(order), dtype=np.int32)
    rows[order] = source
    held = encoded.indices.fill_null(len(written)).to_numpy(zero_copy_only=False).astype(np.int64)
    pairs, back = np.unique(rows.astype(np.int64) * (len(written) + 1) + held, return_inverse=True)
    whose, which = np.divmod(pairs, len(written) + 1)
    found: list[str | None] = [None] * len(pairs)
    for each in np.unique(whose):
        places = np.flatnonzero((whose == each) & (which < len(written)))
        for place, value in zip(places, _normalised(field.kind, [written[at] for at in which[places]]), strict=True):
            found[place] = value
    codes, values = _recoded(pa.array(back.astype(np.int32)), found, order)
    return Column(field, codes, values)


BY_SOURCE = ("date", "day", "phone", "number")
"""Kinds whose values are written as their source writes them: the day first, without a country, with a decimal comma."""


def _normalised(kind: str, values: Sequence[str]) -> list[str | None]:
    """Values in the form that is compared; what a kind's own rules cannot know of a column is settled before."""
    return normalise(kind, spellings.plain(kind, values))


def _refuse_contradictions(records: Records) -> None:
    """A source that holds a person twice, although it was said that none does."""
    if records.labels is None or records.source is None or not records.unique_sources:
        return
    seen: dict[tuple[int, int], int] = {}
    for row, (label, source) in enumerate(zip(records.labels.tolist(), records.source.tolist(), strict=True)):
        if label == MISSING:
            continue
        if (label, source) in seen:
            raise ValueError(
                f"Records {records.ids[seen[label, source]]!r} and {records.ids[row]!r} are of one source and have one label, "
                "but unique_sources says that no source holds a person twice. Correct the labels, or take unique_sources out."
            )
        seen[label, source] = row


def _is_source(look: kinds.Look) -> bool:
    return 2 <= look.distinct <= kinds.FEW and look.filled == look.rows and headers.is_source(look.name)


def _parts(table: pa.Table, source: str | None) -> list[pa.Table]:
    """The rows of each source."""
    if source is None:
        return [table]
    coded = texts(table[source]).dictionary_encode()
    return [table.filter(pc.equal(coded.indices, code)) for code in range(len(coded.dictionary))]


def _names_rows(look: kinds.Look, parts: Sequence[pa.Table]) -> str | None:
    if look.filled < look.rows:
        return None
    return kinds.names_rows(look, [kinds.look(look.name, texts(part[look.name])) for part in parts] if len(parts) > 1 else ())


def _useless(look: kinds.Look, ids: Mapping[str, str], parts: Sequence[pa.Table]) -> str | None:
    """Why a column is no evidence."""
    if not look.filled:
        return "no row has a value"
    if look.distinct == 1 and look.rows > 1:
        return f"every value is {look.sample[0]!r}"
    if headers.is_known_answer(look.name) and not kinds.is_called(look):
        return "looks like a known answer; name it as label to learn from it"
    if look.name in ids:
        return f"one more that names the row: {ids[look.name]}"
    if len(parts) > 1 and sum(part[look.name].null_count < len(part) for part in parts) < 2:
        return "only one of the sources has it"
    return None
