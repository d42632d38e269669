"""Takes in any CSV, JSON, Parquet or SQL table through a mapping file that says which column is which field.

A mapping is TOML: a section for each table, `[touches]`, `[conversions]`, `[sightings]`, with a line a field; or several of
one, `[[touches]]`, where its rows lie in different forms. A text names a column, a value within others, as `user.id`, or a parameter
of an address, as `page?utm_campaign`; a list names several, of which the first that is not empty counts; an inline table says more:

    happened_at = { column = "ts", unit = "s" }              # seconds, ms or us since 1970
    seen_at     = { column = "stored", zone = "Europe/Paris" }  # for times that carry no zone
    kind        = { column = "type", map = { imp = "view", clk = "click" } }
    currency    = { value = "EUR" }                          # a constant
    channel     = { column = "medium", empty = "direct" }    # and one for the cells that are empty
    value_micros = { column = "amount", scale = 1_000_000 }
    value_micros = { column = "betrag", scale = 1_000_000, decimal = "," }  # for 1.234,56
    email_hash  = { column = "email", hash = "email" }       # email, phone, ip, keyed
    phone_hash  = { column = "tel", hash = "phone", region = "GB" }  # whose numbers without a country code are
    event_id    = { column = ["device", "click_time"], joined = true }  # of several, all together
    only        = { column = "type", is = ["imp", "clk"] }   # which rows are the table's
    only        = { column = "utm_campaign", filled = true } # or those whose cell is not empty
    only        = { column = "utm_campaign", not = ["(direct)"] }  # nor one of these words
    only        = { column = "amount", negative = true }     # or those with a minus, as of a refund; false for the others
    only        = [{ column = "type", is = ["clk"] }, { column = "test", not = ["true"], empty = true }]  # all of these; an empty cell, too
    each        = "refunds"                                  # a row for each object of a list in a row: then refunds.amount
    files       = "clicks-*.csv"                             # of several files, those that hold the section's rows
    touched_at  = "click_time"                               # of a conversion's own touch, to be checked

Left out, `event_id` follows from the whole row and its kind, `touch_id` and `conversion_id` from the event id,
`seen_at` from `happened_at`, and `consent` is unknown. `[source]` may name a delimiter; for SQL a table, a list of some, a query,
or several by names of their own, which `files` then chooses among as among files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import EVENTS, INSTANT
from whence.contracts.settings import Settings
from whence.ingest import hashing, nested, shape
from whence.ingest.batch import Batch, Fault
from whence.ingest.check import PERSONAL
from whence.ingest.errors import IngestError
from whence.ingest.files import FileSource, remembered
from whence.ingest.guessing import COMMAS, GROUPED
from whence.ingest.places import Place
from whence.ingest.read import Chunk
from whence.normalise import networks, phones
from whence.normalise.placeholders import is_placeholder

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
HASHES = ("email", "phone", "ip", "keyed")
THOUSANDS = ".' \u00a0\u202f"
"""What may stand between thousands where a comma stands before the parts of one."""
DERIVED = {"touch_id": "event_id", "conversion_id": "event_id", "seen_at": "happened_at"}
EARLIEST, LATEST = (pa.scalar(datetime(year, 1, 1, tzinfo=UTC), INSTANT) for year in (1990, 2200))
"""Of what comes in; a time outside is a clock that was never set, or counts in another unit, and no day would ever ask for it."""
PLACE = "\0place"
MINUS = "^\\s*[-\u2212]"
WORDS = {"true": True, "1": True, "t": True, "yes": True, "false": False, "0": False, "f": False, "no": False}


@dataclass(frozen=True)
class Cell:
    """How one field is made."""

    columns: tuple[str, ...] = ()
    """Of several, the first whose cell is not empty counts; nor, of identifiers, names nobody."""
    joined: bool = False
    """Of several, all together count instead."""
    value: Any = None
    unit: str = ""
    zone: str = ""
    form: str = ""
    """For times that are not ISO 8601: as strptime writes it."""
    scale: int = 1
    decimal: str = "."
    """Of numbers, what stands before the parts of one; what then parts their thousands is not looked at."""
    hash: str = ""
    region: str = ""
    """For phone numbers without a country code: whose they are, in two letters."""
    map: Mapping[str, str] = field(default_factory=dict)
    empty: str | int | None = None
    """What an empty cell stands for, as the source would write it."""


@dataclass(frozen=True)
class Only:
    """Which of the source's rows are the table's: those whose column holds one of the words, or anything where there are none."""

    column: str
    words: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """Words that it may not hold."""
    empty: bool = False
    """Whether an empty cell will do, where some words will not."""
    negative: bool | None = None
    """Whether its number has a minus, where that is asked instead; an empty cell has none."""

    def chosen(self, rows: pa.RecordBatch) -> pa.Array:
        """For each row whether it is."""
        told = rows[self.column].cast(pa.string())
        if self.words:
            return pc.is_in(told, pa.array(self.words, pa.string()))
        if self.negative is not None:
            return pc.equal(pc.fill_null(pc.match_substring_regex(told, MINUS), False), self.negative)
        is_filled = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(told), ""), False)
        if not self.others:
            return is_filled
        return pc.and_not(pc.or_(is_filled, self.empty), pc.is_in(told, pa.array(self.others, pa.string())))


@dataclass(frozen=True)
class TableMap:
    """How rows of one table are made."""

    table: str
    cells: Mapping[str, Cell]
    only: tuple[Only, ...] = ()
    """All of them have to hold."""
    touched_at: Cell | None = None
    files: tuple[str, ...] = ()
    """Patterns of the names of the files that it reads; all of them when empty."""
    each: str = ""
    """What leads to a list in a row, of whose objects each is a row of its own."""

    def reads(self, file: str) -> bool:
        """Whether a file holds its rows."""
        names = (file, file.rsplit("/", 1)[-1])
        return not self.files or any(fnmatchcase(name, pattern) for name in names for pattern in self.files)

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns that it needs."""
        cells = [*self.cells.values(), *([self.touched_at] if self.touched_at else [])]
        named = [name for cell in cells for name in cell.columns]
        return tuple(
            dict.fromkeys(map(self._read_as, [*named, *(each.column for each in self.only), *filter(None, [self.each])]))
        )

    def _read_as(self, name: str) -> str:
        """The column that holds the lists, for what lies in them."""
        outer = self.each.split(".")[0]
        return outer if self.each and name.split(".")[0] == outer else name

    def apart(self, rows: pa.RecordBatch, numbers: pa.Array) -> tuple[pa.RecordBatch, pa.Array]:
        """A row for each object of the lists, where the section asks for that; all that it says beside stands in each."""
        if not self.each:
            return rows, numbers
        outer, *inner = self.each.split(".")
        told = [list(nested.apart(nested.value(cell), inner)) for cell in rows[outer].to_pylist()]
        of = pa.array([at for at, objects in enumerate(told) for _ in objects], pa.int64())
        flat = [nested.flat({outer: each}) for objects in told for each in objects]
        names = [name for cell in self.cells.values() for name in cell.columns] + [each.column for each in self.only]
        own = {name: pa.array([each.get(name) for each in flat], pa.string()) for name in names if name.split(".")[0] == outer}
        place = pa.array([at for objects in told for at, _ in enumerate(objects)], pa.int64())  # two that are alike are two
        kept = {name: rows[name].take(of) for name in rows.schema.names if name != outer}
        return pa.record_batch({**kept, **own, PLACE: place}), numbers.take(of)


@dataclass(frozen=True)
class Plan:
    """A whole mapping file."""

    tables: tuple[TableMap, ...]
    delimiter: str = ""
    queries: Mapping[str, str] = field(default_factory=dict)

    def columns(self, file: str) -> tuple[str, ...]:
        """The columns that it needs of a file, each once. Raises IngestError for a file that no table reads."""
        tables = [table for table in self.tables if table.reads(file)]
        if not tables:
            raise IngestError(f"No section of the mapping reads {file}. Name it under `files`, or take it out of the source.")
        return tuple(dict.fromkeys(column for table in tables for column in table.columns))


def mapped(settings: Settings) -> FileSource:
    """The source that the settings' path and mapping name; raises IngestError for a mapping that cannot be."""
    path = settings.source.mapping
    if not path:
        raise IngestError("source.mapping is empty. Name a mapping file; `whence ingest --suggest FILE` writes a first one.")
    if not Path(path).exists():
        raise IngestError(f"There is no mapping file {path}. `whence ingest --suggest FILE` writes a first one.")
    text = Path(path).read_text()
    plan = parse(text, path)
    place = Place(settings.source.path, settings.tables.options, plan.delimiter, plan.queries)
    if place.is_sql and not plan.queries:
        raise IngestError(f"{path}: a database needs [source] with a table or a query.")
    keyed = hashing.keyed(hashing.secret(settings.home))
    shift = timedelta(days=settings.source.shift_days)
    return FileSource(place, plan.columns, lambda chunk: batches(chunk, plan, keyed, shift), remembered(settings, text))


def parse(text: str, where: str) -> Plan:
    """A plan from a mapping's text; every mistake is named with its place.

    >>> parse('[sightings]\\nhappened_at = "at"\\nkind = {value = "login"}', "map.toml").columns("log.csv")
    ('at',)
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise IngestError(f"{where} is no TOML: {wrong}") from None
    source = given.pop("source", {})
    if unknown := sorted(set(source) - {"delimiter", "table", "query"}):
        raise IngestError(f"{where}: [source] has no '{unknown[0]}'. It may have delimiter, table, query.")
    if unknown := sorted(set(given) - set(EVENTS)):
        raise IngestError(f"{where}: there is no table '{unknown[0]}'. The tables are {', '.join(EVENTS)}.")
    if not given:
        raise IngestError(f"{where} maps no table. Add a section for one of {', '.join(EVENTS)}.")
    sections = [(table, each) for table, told in given.items() for each in (told if isinstance(told, list) else [told])]
    tables = tuple(_table_map(table, dict(section), f"{where}: [{table}]") for table, section in sections)
    return Plan(tables, source.get("delimiter", ""), _queries(source, where))


def _queries(source: Mapping[str, Any], where: str) -> dict[str, str]:
    """What to select from a database, by name."""
    named, query = source.get("table", []), source.get("query", {})
    found = {name: f"SELECT * FROM {name}" for name in (named if isinstance(named, list) else [named])}
    found |= query if isinstance(query, dict) else {"query": query}
    if not all(isinstance(each, str) for pair in found.items() for each in pair):
        raise IngestError(
            f'{where}: [source] has table {named!r} and query {query!r}. Write table = "events", table = ["clicks", "orders"], '
            'query = "SELECT …", or query = { clicks = "SELECT …", orders = "SELECT …" }.'
        )
    return found


def _table_map(table: str, section: dict[str, Any], where: str) -> TableMap:
    only = section.pop("only", [])
    touched = section.pop("touched_at", None)
    files = section.pop("files", [])
    each = section.pop("each", "")
    if not isinstance(each, str):
        raise IngestError(f'{where} each is {each!r}. Write what leads to one list, as "refunds" or "refunds.transactions".')
    named = files if isinstance(files, list) else [files]
    if not all(isinstance(each, str) for each in named):
        raise IngestError(f'{where} files is {files!r}. Write a pattern, as "clicks-*.csv", or a list of some.')
    schema = EVENTS[table]
    if unknown := sorted(set(section) - set(schema.names)):
        raise IngestError(f"{where} has no field '{unknown[0]}'. Its fields are {', '.join(schema.names)}.")
    optional = {"event_id", "consent", *DERIVED}
    if missing := [c.name for c in schema if not c.nullable and c.name not in section and c.name not in optional]:
        raise IngestError(f"{where} does not say where {missing[0]} comes from. Name a column, or a constant as {{ value = … }}.")
    cells = {name: _cell(given, f"{where} {name}") for name, given in section.items()}
    touched_at = _cell(touched, f"{where} touched_at") if touched else None
    conditions = tuple(_only(each, where) for each in (only if isinstance(only, list) else [only]))
    return TableMap(table, cells, conditions, touched_at, tuple(named), each)


def _cell(given: Any, where: str) -> Cell:
    if isinstance(given, str | list):
        return Cell(_columns(given, where))
    known = ["column", *(f.name for f in fields(Cell)[1:])]
    if not isinstance(given, dict) or set(given) - set(known):
        raise IngestError(f"{where} is {given!r}. Write a column's name, or an inline table with {', '.join(known)}.")
    cell = Cell(_columns(given.get("column", []), where), **{name: said for name, said in given.items() if name != "column"})
    if bool(cell.columns) == (cell.value is not None):
        raise IngestError(f"{where} needs either a column or a value.")
    if cell.unit and cell.unit not in UNITS:
        raise IngestError(f"{where}: unit is '{cell.unit}'. Expected {', '.join(UNITS)}.")
    if not isinstance(cell.scale, int) or isinstance(cell.scale, bool) or not cell.scale:
        raise IngestError(f"{where}: scale is {cell.scale!r}. Expected a whole number, as 1_000_000.")
    if cell.decimal not in (".", ","):
        raise IngestError(f"{where}: decimal is '{cell.decimal}'. Expected a point or a comma.")
    if cell.hash and cell.hash not in HASHES:
        raise IngestError(f"{where}: hash is '{cell.hash}'. Expected {', '.join(HASHES)}.")
    if cell.region and (cell.hash != "phone" or not phones.is_region(cell.region)):
        raise IngestError(
            f"{where}: region is '{cell.region}'. Expected a country in two letters, such as GB, beside hash = \"phone\"."
        )
    if cell.zone:
        _zone(cell.zone, where)
    return cell


def _columns(given: Any, where: str) -> tuple[str, ...]:
    names = given if isinstance(given, list) else [given] if given != "" else []
    if not all(isinstance(each, str) and each for each in names):
        raise IngestError(f'{where}: column is {given!r}. Write a name, or a list of some, as ["idfa", "gaid"].')
    return tuple(names)


def _zone(name: str, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise IngestError(f"{where}: there is no time zone '{name}'. Write one as Europe/Paris, or UTC.") from None


def _only(given: Any, where: str) -> Only:
    said = set(given) - {"column"} if isinstance(given, dict) and isinstance(given.get("column"), str) else set()
    if said == {"filled"} and given["filled"] is True:
        return Only(given["column"])
    if said == {"negative"} and isinstance(given["negative"], bool):
        return Only(given["column"], negative=given["negative"])
    empty = given.get("empty", False) if "not" in said else False
    said -= {"empty"} if isinstance(empty, bool) and "not" in said else set()
    if said not in ({"is"}, {"not"}) or given[min(said)] == []:
        raise IngestError(
            f'{where} only is {given!r}. Write {{ column = "type", is = ["click"] }}, {{ column = "utm_campaign", filled = true }}, '
            '{ column = "utm_campaign", not = ["(direct)"] }, { column = "amount", negative = true }, or a list of some.'
        )
    told = given[min(said)]
    words = tuple(str(word) for word in (told if isinstance(told, list) else [told]))
    return Only(given["column"], words) if "is" in said else Only(given["column"], others=words, empty=empty)


def batches(chunk: Chunk, plan: Plan, keyed: Callable[[str], str], shift: timedelta) -> Iterator[Batch]:
    """What a chunk has for each of the plan's tables; `keyed` hashes what only we may repeat, `shift` moves every time."""
    broken_lines = chunk.faults
    for table in plan.tables:
        if not table.reads(chunk.source):
            continue
        rows, numbers = _chosen(chunk, table)
        made = _Maker(rows, numbers, keyed, shift, chunk.source)
        given = {name: made.column(name, cell, EVENTS[table.table].field(name).type) for name, cell in table.cells.items()}
        given.setdefault("event_id", shape.row_ids(table.table, rows, given["kind"]))
        for name, other in DERIVED.items():
            if name in EVENTS[table.table].names:
                given.setdefault(name, given[other])
        touched = made.column("touched_at", table.touched_at, INSTANT) if table.touched_at else None
        filled = shape.contract_rows(table.table, rows.num_rows, given)
        yield Batch(table.table, chunk.source, filled, numbers, "", (*broken_lines, *made.faults), touched)
        broken_lines = ()  # a broken line belongs to no table, so the first takes it


def _chosen(chunk: Chunk, table: TableMap) -> tuple[pa.RecordBatch, pa.Array]:
    rows, numbers = table.apart(chunk.rows, chunk.numbers)
    for each in table.only:
        mine = each.chosen(rows)
        rows, numbers = rows.filter(mine), numbers.filter(mine)
    return rows, numbers


@dataclass
class _Maker:
    """Makes fields from columns and keeps the faults it meets."""

    rows: pa.RecordBatch
    numbers: pa.Array
    keyed: Callable[[str], str]
    shift: timedelta
    source: str
    faults: list[Fault] = field(default_factory=list)

    def column(self, name: str, cell: Cell, kind: pa.DataType) -> pa.Array:
        if not cell.columns:
            return self._constant(name, cell, kind)
        raw = self._told(name, cell)
        if cell.empty is not None and raw.null_count:
            raw = pc.fill_null(raw.cast(pa.string()), str(cell.empty))
        if cell.map:
            raw = hashing.each(raw, lambda word: cell.map.get(word, word))
        if pa.types.is_timestamp(kind):
            return self._times(name, cell, raw)
        if pa.types.is_int64(kind):
            return self._read(name, raw, lambda word: _micros(word, cell), pa.int64(), _number_like(cell))
        if pa.types.is_boolean(kind):
            return self._read(name, raw, lambda word: WORDS.get(word.strip().lower()), pa.bool_(), "true or false")
        return hashing.each(raw, self._change(cell)) if cell.hash else raw.cast(pa.string())

    def _told(self, name: str, cell: Cell) -> pa.Array:
        """A column; of several, as texts, the first that is filled in each row, or all together. A zeroed id fills nothing."""
        if len(cell.columns) == 1:
            return self.rows[cell.columns[0]]
        texts = [self.rows[each].cast(pa.string()) for each in cell.columns]
        if cell.joined:
            return pc.binary_join_element_wise(*texts, "|", null_handling="replace", null_replacement="")
        if name in PERSONAL:
            kind = cell.hash if cell.hash in ("email", "phone") else "identifier"
            texts = [hashing.each(each, lambda word: None if is_placeholder(kind, word) else word) for each in texts]
        return pc.coalesce(*texts)

    def _constant(self, name: str, cell: Cell, kind: pa.DataType) -> pa.Array:
        given = _micros(str(cell.value), cell) if pa.types.is_int64(kind) else cell.value
        expected = _number_like(cell) if pa.types.is_int64(kind) else kind
        try:
            if given is None:
                raise pa.ArrowInvalid  # an amount that cannot be one
            return shape.same(given, self.rows.num_rows, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise IngestError(
                f'The mapping\'s constant for {name} is {cell.value!r}. Expected {expected}. Name the column that has it, as {name} = "…".'
            ) from None

    def _change(self, cell: Cell) -> Callable[[str], str | None]:
        if cell.hash == "email":
            return hashing.email
        if cell.hash == "phone":
            return lambda word: hashing.phone(word, cell.region or None)
        if cell.hash == "ip":
            return self._network
        return lambda word: None if is_placeholder("identifier", word) else self.keyed(word)

    def _network(self, word: str) -> str | None:
        network = networks.network(word)
        return None if network is None or is_placeholder("ip", network) else self.keyed(network)

    def _times(self, name: str, cell: Cell, raw: pa.Array) -> pa.Array:
        return self._within_reach(name, cell, raw, self._shifted(self._instants(name, cell, raw)))

    def _instants(self, name: str, cell: Cell, raw: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(raw.type) or pa.types.is_date(raw.type):
            return self._typed(name, cell, raw)
        if cell.unit:
            scale = UNITS[cell.unit]
            read = self._read(name, raw, lambda word: _whole(word, scale), pa.int64(), f"a number of {cell.unit} since 1970")
            return read.cast(INSTANT)
        if not pa.types.is_string(raw.type) and not pa.types.is_large_string(raw.type):
            raise IngestError(
                f"{self.source}: {cell.columns[0]} holds {raw.type}, not times. If it counts from 1970, add unit = 's', 'ms' or 'us' to {name}."
            )
        zone = ZoneInfo(cell.zone) if cell.zone else None
        if cell.form:
            expected = f"a time in the form {cell.form}" + ("" if zone else " and with its zone")
        elif zone:
            expected = "a time, as 2026-05-01 10:00:00; for another form add one, as form = '%d.%m.%Y %H:%M', to the mapping"
        else:
            expected = "a time with its zone, as 2026-05-01T10:00:00Z; for times without one add zone = 'UTC' to the mapping"
        return self._read(name, raw, lambda word: _instant(word, cell.form, zone), INSTANT, expected + _shown(cell))

    def _typed(self, name: str, cell: Cell, raw: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(raw.type) and raw.type.tz:
            return raw.cast(INSTANT)
        if not cell.zone:
            raise IngestError(
                f"{self.source}: the times in {cell.columns[0]} carry no zone, so nobody can say when they were. "
                f'Add one to the mapping: {name} = {{ column = "{cell.columns[0]}", zone = "UTC" }}.'
            )
        plain = raw.cast(pa.timestamp("us"))
        first, last = (
            pc.assume_timezone(plain, cell.zone, ambiguous="earliest", nonexistent=said).cast(INSTANT)
            for said in ("earliest", "latest")
        )
        read = pc.if_else(pc.equal(first, last), first, pa.scalar(None, INSTANT))
        self.faults.extend(shape.unread(self.numbers, raw, read, name, f"a time{_shown(cell)}"))
        return read

    def _shifted(self, values: pa.Array) -> pa.Array:
        return pc.add(values, pa.scalar(self.shift, pa.duration("us"))).cast(INSTANT)

    def _within_reach(self, name: str, cell: Cell, raw: pa.Array, values: pa.Array) -> pa.Array:
        is_within = pc.and_(pc.greater_equal(values, EARLIEST), pc.less(values, LATEST))
        kept = pc.if_else(is_within, values, pa.scalar(None, INSTANT))
        told = pc.if_else(pc.is_valid(values), raw, pa.scalar(None, raw.type))
        unit = f"; counted in {cell.unit} it is none" if cell.unit else ""
        self.faults.extend(shape.unread(self.numbers, told, kept, name, f"a time of the years 1990 to 2199{unit}"))
        return kept

    def _read(self, name: str, raw: pa.Array, change: Callable[[str], Any], kind: pa.DataType, expected: str) -> pa.Array:
        coded = raw.cast(pa.string()).dictionary_encode()
        read = pa.array([change(word) for word in coded.dictionary.to_pylist()], kind).take(coded.indices)
        self.faults.extend(shape.unread(self.numbers, raw, read, name, expected))
        return read


def _micros(word: str, cell: Cell) -> int | None:
    """An amount in micros; nothing for parts of a micro, which are units whose scale nobody gave."""
    plain = _plain(word, cell.decimal)
    if abs(cell.scale) == 1 and not _is_whole(plain):
        return None
    return _whole(plain, cell.scale)


def _number_like(cell: Cell) -> str:
    if cell.decimal == ",":
        return (
            "a number as 1.234,56, with three digits between points; without decimal = ',' a point stands before the parts of one"
        )
    return "a whole number of micros; for units of the currency add scale = 1_000_000" if abs(cell.scale) == 1 else "a number"


def _plain(word: str, decimal: str) -> str:
    """A number as it is written here; nothing for one whose marks cannot stand between thousands: 12.50 is no 1250.

    >>> _plain("1.234,56", ","), _plain("1,234.56", "."), _plain("12.50", ",")
    ('1234.56', '1234.56', '')
    """
    if decimal == ".":
        return word.replace(",", "") if GROUPED.fullmatch(word.strip()) else word
    if COMMAS.fullmatch(word.strip()) is None:
        return ""
    return word.translate(dict.fromkeys(map(ord, THOUSANDS))).replace(",", ".")


def _is_whole(word: str) -> bool:
    try:
        told = Decimal(word.strip())
        return not told.is_finite() or told == told.to_integral_value()
    except InvalidOperation:
        return False


def _whole(word: str, scale: int) -> int | None:
    """The number times the scale, rounded; money never passes through a float."""
    try:
        scaled = Decimal(word.strip()) * scale
        return int(scaled.to_integral_value()) if scaled.is_finite() and abs(scaled) < 2**63 else None
    except InvalidOperation:
        return None


def _shown(cell: Cell) -> str:
    """What is asked of a time by the clocks of a zone that change: in spring they leave out an hour."""
    return f", which clocks in {cell.zone} show" if cell.zone not in ("", "UTC") else ""


def _instant(word: str, form: str, zone: ZoneInfo | None) -> datetime | None:
    """An instant; of an hour that clocks show twice, in its first run, and none of one that they leave out."""
    try:
        at = datetime.strptime(word, form) if form else datetime.fromisoformat(word.strip())  # noqa: DTZ007 - a zone follows, or it is refused
        if at.tzinfo is not None:
            return at.astimezone(UTC)
        if zone is None:
            return None
        told = at.replace(tzinfo=zone).astimezone(UTC)
        return told if told.astimezone(zone).replace(tzinfo=None) == at else None
    except (ValueError, OverflowError):  # 0001-01-01, a time that nobody set, lies before all times in some zones
        return None
