"""What the columns of a table are: guessed from the data, read from a file, and brought into one form."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.identity.records.table import KINDS, MISSING, Codes, Column, Field, Fields, Records
from whence.normalise import normalise


@dataclass(frozen=True)
class Guess:
    """What the columns seem to be, and why; also for those that are left out."""

    fields: Fields
    why: Mapping[str, str]


def guess(table: pa.Table) -> Fields:
    """The kinds of the columns, from their values first and their names second."""
    return study(table).fields


def study(table: pa.Table) -> Guess:
    """The kinds of the columns as `guess` finds them, with the reason for each."""
    looks = [_look(name, table[name]) for name in table.column_names]
    source = next((look.name for look in looks if look.is_source), None)
    key = next((look.name for look in looks if look.is_named_id and _names_rows(table, look.name, source)), None)
    fields, why = [], {}
    for look in looks:
        if look.name == key:
            why[look.name] = "names the row: no value comes twice"
        elif look.name == source:
            why[look.name] = "tells the sources apart"
        elif reason := look.useless:
            why[look.name] = reason
        else:
            kind, reason = look.kind
            fields.append(Field(look.name, kind))
            why[look.name] = reason
    return Guess(Fields(tuple(fields), id=key, source=source), why)


def read(path: Path | str) -> Fields:
    """The fields that a TOML file describes; ValueError names what is wrong with which field."""
    path = Path(path)
    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {"id", "source", "label", "unique_sources", "fields"}
    for name in settings:
        if name not in known:
            raise ValueError(f"{path}: {name!r} is not a setting; expected one of {', '.join(sorted(known))}.")
    columns = settings.get("fields")
    if not isinstance(columns, dict) or not columns:
        raise ValueError(f'{path}: no [fields]; write a line such as `surname = "surname"` for each column to compare.')
    for name, kind in columns.items():
        if kind not in KINDS:
            raise ValueError(f"{path}: field {name!r} has kind {kind!r}; expected one of {', '.join(KINDS)}.")
    return Fields(
        tuple(Field(name, kind) for name, kind in columns.items()),
        id=settings.get("id"),
        source=settings.get("source"),
        label=settings.get("label"),
        unique_sources=bool(settings.get("unique_sources", False)),
    )


def to_toml(fields: Fields, why: Mapping[str, str] | None = None) -> str:
    """The file that `read` reads, with the reasons as comments, and the columns left out as comments too."""
    why = why or {}
    lines = [f"{role} = {_quoted(name)}{_comment(why, name)}" for role, name in _roles(fields)]
    if fields.unique_sources:
        lines.append("unique_sources = true")
    lines += ["", "[fields]"]
    lines += [f"{_quoted(field.name)} = {_quoted(field.kind)}{_comment(why, field.name)}" for field in fields.fields]
    named = {field.name for field in fields.fields} | {name for _, name in _roles(fields)}
    lines += [f"# {_quoted(name)} is left out: {reason}" for name, reason in why.items() if name not in named]
    return "\n".join(lines) + "\n"


def prepare(table: pa.Table, fields: Fields) -> Records:
    """The records of a table, each field normalised and coded, sorted by id.

    ValueError when a column is not there or an id comes twice; an id may come in two sources, and is then written
    `source/id`.
    """
    for name in [*(name for _, name in _roles(fields)), *(field.name for field in fields.fields)]:
        if name not in table.column_names:
            raise ValueError(f"There is no column {name!r}; the table has {', '.join(map(repr, table.column_names))}.")
    ids = _ids(table, fields)
    order = pc.sort_indices(pa.array(ids, type=pa.string())).to_numpy()
    columns = tuple(_column(table[field.name], field, order) for field in fields.fields)
    source = _coded(_texts(table[fields.source]), order)[0] if fields.source else None
    labels = _coded(_texts(table[fields.label]), order)[0] if fields.label else None
    records = Records(
        tuple(pa.array(ids, type=pa.string()).take(order).to_pylist()), columns, source, labels, fields.unique_sources
    )
    _refuse_contradictions(records)
    return records


def _roles(fields: Fields) -> list[tuple[str, str]]:
    roles = (("id", fields.id), ("source", fields.source), ("label", fields.label))
    return [(role, name) for role, name in roles if name is not None]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _comment(why: Mapping[str, str], name: str) -> str:
    return f"  # {why[name]}" if name in why else ""


def _texts(column: pa.ChunkedArray) -> pa.Array:
    """A column as texts; times of midnight lose their hours, whole floats their point."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), r"\.0$", "")
    if pa.types.is_timestamp(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), r" 00:00:00(\.0+)?Z?$", "")
    if pa.types.is_nested(array.type):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], type=pa.string())
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return pa.array(
            [None if value is None else value.decode("utf-8", "replace") for value in array.to_pylist()], type=pa.string()
        )
    return array.cast(pa.string())


def _ids(table: pa.Table, fields: Fields) -> list[str]:
    if fields.id is None:
        width = len(str(max(len(table) - 1, 0)))
        return [f"{row:0{width}d}" for row in range(len(table))]
    ids: list[str] = _texts(table[fields.id]).to_pylist()
    for row, value in enumerate(ids):
        if not value or value.isspace():
            raise ValueError(f"Row {row + 1} has no {fields.id!r}. Give it one, or name no id so that rows are numbered.")
    if fields.source is not None and len(set(ids)) < len(ids):
        ids = [f"{source}/{value}" for source, value in zip(_texts(table[fields.source]).to_pylist(), ids, strict=True)]
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


def _column(column: pa.ChunkedArray, field: Field, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Column:
    encoded = _texts(column).dictionary_encode()
    codes, values = _recoded(encoded.indices, normalise(field.kind, encoded.dictionary.to_pylist()), order)
    return Column(field, codes, values)


PLACEHOLDERS = frozenset({"", "-", "--", ".", "?", "n/a", "na", "nan", "nil", "none", "null", "unknown", "undefined"})


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


@dataclass(frozen=True)
class _Look:
    """What can be seen of a column."""

    name: str
    rows: int
    filled: int
    distinct: int
    sample: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        """The words of the column's name."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.split(r"[/#]", self.name)[-1])
        return frozenset(re.findall(r"[^\W\d_]+", name.casefold()))

    @property
    def is_named_id(self) -> bool:
        return self.filled == self.rows and (
            bool(self.words & {"id", "uid", "uuid", "guid", "key", "rowid", "recid", "index"}) or not self.name
        )

    @property
    def is_source(self) -> bool:
        return (
            2 <= self.distinct <= 20 and self.filled == self.rows and bool(self.words & {"source", "dataset", "quelle", "origen"})
        )

    @property
    def useless(self) -> str | None:
        if not self.filled:
            return "no row has a value"
        if self.distinct == 1 and self.rows > 1:
            return f"every value is {self.sample[0]!r}"
        if self.words & {"cluster", "label", "entity", "truth", "golden", "person"} and self.words & {"id", "cluster", "label"}:
            return "looks like a known answer; name it as label to learn from it"
        return None

    @property
    def digits(self) -> float:
        """The share of values with a digit: products have them in their names, people have not."""
        return sum(any(map(str.isdecimal, value)) for value in self.sample) / max(len(self.sample), 1)

    @property
    def kind(self) -> tuple[str, str]:
        for kind, pattern in PATTERNS:
            share = sum(bool(re.fullmatch(pattern, value)) for value in self.sample) / len(self.sample)
            if share >= 0.8:
                return kind, f"{share:.0%} of the values look so"
        for kind, words in HINTS:
            if self.words & words and not (kind == "name" and self.digits > 0.1):
                return kind, f"its name says {' '.join(sorted(self.words & words))}"
        if all(re.fullmatch(r"-?\d+([.,]\d+)?", value) for value in self.sample):
            return "number", "all values are numbers"
        if self.distinct <= max(20, self.filled * 0.01):
            return "category", f"only {self.distinct} values"
        tokens = sum(len(value.split()) for value in self.sample) / len(self.sample)
        if tokens <= 1.2 and sum(any(c.isdigit() for c in value) for value in self.sample) > 0.5 * len(self.sample):
            return "code", "one word with digits"
        return "text", "texts of many words" if tokens > 3 else "texts"


def _names_rows(table: pa.Table, name: str, source: str | None) -> bool:
    """Whether no value comes twice, or not twice in one source."""
    by = [name] if source is None else [name, source]
    return bool(table.select(by).group_by(by).aggregate([]).num_rows == len(table))


def _look(name: str, column: pa.ChunkedArray) -> _Look:
    counts = _texts(column).dictionary_encode()
    values = sorted({text.strip() for text in counts.dictionary.to_pylist() if text.strip().casefold() not in PLACEHOLDERS})
    step = max(1, len(values) // 2000)
    filled = len(counts) - counts.null_count
    return _Look(name, len(counts), filled if values else 0, len(values), tuple(values[::step]))


PATTERNS: tuple[tuple[str, str], ...] = (
    ("email", r"[^@\s]+@[^@\s]+\.\w+"),
    ("date", r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|(18|19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])"),
    ("year", r"(1[5-9]|20)\d\d"),
    ("ip", r"\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}"),
    ("user_agent", r"Mozilla/.*|\w+/[\d.]+ \(.*"),
)

HINTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("given_name", frozenset({"first", "given", "forename", "firstname", "vorname", "prenom", "nombre"})),
    ("surname", frozenset({"surname", "last", "family", "lastname", "nachname", "nom", "apellido"})),
    ("email", frozenset({"email", "mail"})),
    ("phone", frozenset({"phone", "tel", "telephone", "mobile", "telefon"})),
    ("postcode", frozenset({"postcode", "zip", "zipcode", "postal", "plz"})),
    ("address", frozenset({"address", "street", "strasse", "addr", "rue", "calle"})),
    ("place", frozenset({"city", "town", "place", "suburb", "state", "region", "country", "ort", "stadt", "ville"})),
    ("date", frozenset({"dob", "birth", "date", "born"})),
    ("name", frozenset({"name", "author", "authors"})),
    ("code", frozenset({"ssn", "sku", "isbn", "model", "modelno", "serial"})),
    ("text", frozenset({"title", "description", "abstract", "text"})),
)
