"""Drafts a mapping for a source that nobody has mapped yet, and tries it on the source's first rows."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import EVENTS
from whence.ingest import guessing, urls
from whence.ingest.check import check
from whence.ingest.errors import IngestError
from whence.ingest.guessing import CONVERSIONS, SHA, SIGHTINGS, TOUCHES, Column
from whence.ingest.mapping import batches, parse
from whence.ingest.read import Place, chunks, header_line, headers, is_json, sql_tables

LOOKED_AT = 1000
"""Values of a column that are looked at."""
READ = 200_000
"""Rows that are read for the words of kinds: rare ones may come late."""
DELIMITERS = ",;\t|"
COUNTING = "0123456789-_"
"""What the names of one day's files differ in from another's."""
USUAL = {"source": "server", "currency": "USD", "channel": "unknown", "campaign_id": "unknown", "value_micros": 0}
"""What stands for a field that no column holds."""
OF_KIND = {TOUCHES: "click", CONVERSIONS: "purchase", SIGHTINGS: "visit"}
DERIVED = ("event_id", "touch_id", "conversion_id", "seen_at", "consent")
MONEY = ("value_micros", "price_micros", "bid_micros")
IDENTIFIERS = {"click_id", "cookie_id", "device_id", "email_hash", "phone_hash", "external_id"}
OWN = {CONVERSIONS: {"value_micros", "order_id"}, TOUCHES: {*MONEY[1:], "campaign_id", "channel"}}
"""Fields whose columns say that a source without kinds is this table."""
WITHOUT = {TOUCHES: "without them nothing can earn credit.", CONVERSIONS: "without them there is no credit to give."}


class _Section(NamedTuple):
    """A part of the draft: the rows of one table that it takes, and how."""

    table: str
    found: Mapping[str, Column]
    """Fields and their columns."""
    rows: pa.Table
    only: str = ""
    kinds: Mapping[str, str] = {}
    """Our kinds for the source's words; empty where no column says them."""
    files: str = ""
    is_refund: bool = False


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
    told = {"delimiter": place.delimiter, "table": table}
    if any(told.values()):
        lines += ["", "[source]", *(f"{name} = {_quoted(said)}" for name, said in told.items() if said)]
    groups = _groups(place)
    sections: list[_Section] = []
    unused: list[str] = []
    for group in groups:
        rows = _with_campaigns(_read(group))
        mine = _sections(_columns(rows), rows)
        sections += [part._replace(files=group.line) for part in mine]
        taken = {name for part in mine for column in part.found.values() for name in (column.name, *column.others)}
        unused += [name for name in group.names if name not in taken]
    often = Counter(part.table for part in sections)
    for part in sorted(sections, key=lambda part: list(EVENTS).index(part.table)):
        lines += ["", f"[[{part.table}]]" if often[part.table] > 1 else f"[{part.table}]", *_written(part)]
    lines += ["", f"# Columns that were not used: {', '.join(unused) or 'none'}."]
    lines += [f"# No {table} were found; {WITHOUT[table]}" for table in WITHOUT if not often[table]]
    text = "\n".join(lines) + "\n"
    return text + _tried(text, groups)


def _place(path: str, table: str) -> Place:
    place = Place(path, {}, query=f"SELECT * FROM {table}" if table else "")
    if place.is_sql and not table:
        raise IngestError(
            f"{place.name} is a database. Name one of its tables with --table: {', '.join(sql_tables(place)) or 'it has none'}."
        )
    if table and not place.is_sql:
        raise IngestError(f"{path} is no database, so it has no table {table}. Leave out --table.")
    return replace(place, delimiter=_delimiter(place))


def _groups(place: Place) -> list[_Group]:
    """The source's files by their columns."""
    by_names = _by_names(headers(place))
    if len(by_names) == 1 or not Path(place.path).is_dir():
        return [_Group(next(iter(by_names)), place)]
    return [
        _Group(
            names,
            replace(place, path=str(Path(place.path) / files[0])),
            files[0],
            f"files = {_listed(_pattern(files, by_names))}",
        )
        for names, files in by_names.items()
    ]


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
    if len(files) == 1:
        return files
    begin, end = _beginning(files), _beginning([name[::-1] for name in files])[::-1]
    pattern = f"{begin.rstrip(COUNTING)}*{end.lstrip(COUNTING)}"
    others = [name for group in by_names.values() if group is not files for name in group]
    return files if any(fnmatchcase(name, pattern) for name in others) else [pattern]


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


def _with_campaigns(rows: pa.Table) -> pa.Table:
    """The rows, with what their addresses say of campaigns as further columns."""
    names = [each for name in rows.column_names for each in urls.of_campaigns(name, _values(rows, name))]
    if not names:
        return rows
    told = urls.with_parameters(rows.combine_chunks().to_batches()[0], [*rows.column_names, *names])
    return pa.Table.from_batches([told])


def _columns(rows: pa.Table) -> list[Column]:
    count = max(rows.num_rows, 1)
    return [Column(name, _values(rows, name), 1 - rows[name].null_count / count) for name in rows.column_names]


def _values(rows: pa.Table, name: str) -> list[object]:
    return list(islice((value for value in rows[name].to_pylist() if value is not None), LOOKED_AT))


def _delimiter(place: Place) -> str:
    """What parts the cells of a CSV where that is no comma, nor the tab of a .tsv; the header tells."""
    if ".tsv" in place.path:
        return ""
    first = header_line(place)
    counts = {each: len(next(csv.reader([first], delimiter=each), ())) for each in DELIMITERS}
    best = max(counts, key=lambda each: counts[each])
    return "" if counts[best] == counts[","] else best


def _sections(columns: list[Column], rows: pa.Table) -> list[_Section]:
    """The tables that the rows seem to belong to: by the words of their kinds, else by the fields that there are."""
    found, touch = guessing.fields(columns), guessing.own_touch(columns)
    kinds = [each for each in guessing.alike("kind", columns) if each is not touch.get("kind")]
    if not any(_is_telling(each, rows) for each in kinds):
        return [_filled(_without_kinds(found, rows))]
    sections = _by_kinds(found, rows, sorted(kinds, key=lambda each: (not _is_telling(each, rows), each.filled)))
    tables = {each.table for each in sections}
    if TOUCHES not in tables and CONVERSIONS in tables:
        sections += _by_campaign(columns, found, rows)
    if len(sections) == 1:
        sections = [sections[0]._replace(only="")]
    return [_filled(part) for each in sections for part in _without_refunds(each)]


def _is_telling(kind: Column, rows: pa.Table) -> bool:
    return any(map(guessing.meaning, _words(kind, rows)))


def _without_kinds(found: Mapping[str, Column], rows: pa.Table) -> _Section:
    """All rows as one table; a row without an amount is no order, as the further lines of one in a shop's export."""
    words = _words(found["kind"], rows) if "kind" in found else []
    table = next((name for name, own in OWN.items() if own & set(found)), SIGHTINGS)
    kinds = {word: guessing.sighting(word) if table == SIGHTINGS else word for word in words}
    if table != CONVERSIONS:
        return _Section(table, found, rows, kinds=kinds)
    if "order_id" not in found and "event_id" in found:
        found = {"order_id" if field == "event_id" else field: column for field, column in found.items()}
    value = found.get("value_micros")
    if value is None or value.filled == 1:
        return _Section(table, found, rows, kinds=kinds)
    only = f"only = {{ column = {_quoted(value.name)}, filled = true }}  # a row without an amount is no order: is it so?"
    return _Section(table, found, rows.filter(pc.is_valid(rows[value.name])), only, kinds)


def _by_kinds(found: Mapping[str, Column], rows: pa.Table, kinds: Sequence[Column]) -> list[_Section]:
    """Sections by the first column's words; rows in which it is empty by the next one's, as an app's events and its installs are."""
    sections: list[_Section] = []
    for kind in kinds:
        parted: dict[str, dict[str, str]] = {TOUCHES: {}, CONVERSIONS: {}, SIGHTINGS: {}}
        for word in _words(kind, rows):
            table, ours = guessing.meaning(word) or (SIGHTINGS, guessing.sighting(word))
            parted[table][word] = ours
        sections += [_chosen(table, {**found, "kind": kind}, rows, said) for table, said in parted.items() if said]
        rows = rows.filter(pc.is_null(rows[kind.name]))
    return sections


def _filled(section: _Section) -> _Section:
    """The section with columns that its own rows fill, where the whole source's would be empty in them; and who stands in for whom."""
    columns = _columns(section.rows)
    values = {each.name: each.values for each in columns}
    mine = guessing.fields([each for each in columns if each.values])
    found = {field: each if values[each.name] else mine.get(field, each) for field, each in section.found.items()}
    taken = {each.name for each in found.values()}
    for field in IDENTIFIERS & set(found):
        first = found[field]
        free = [
            each
            for each in guessing.alike(field, columns)
            if each.name not in taken and _how(field, each, section) == _how(field, first, section)
        ]
        others = _standing_in(section.rows, first.name, free)
        found[field] = replace(first, others=others)
        taken.update(others)
    return section._replace(found=found)


def _standing_in(rows: pa.Table, first: str, others: Sequence[Column]) -> tuple[str, ...]:
    """Those that are filled in rows where all before them are empty."""
    is_empty, found = pc.is_null(rows[first]), list[str]()
    for each in others:
        is_there = pc.is_valid(rows[each.name])
        if pc.any(pc.and_(is_empty, is_there)).as_py():
            found.append(each.name)
            is_empty = pc.and_not(is_empty, is_there)
    return tuple(found)


def _chosen(table: str, found: Mapping[str, Column], rows: pa.Table, kinds: Mapping[str, str]) -> _Section:
    name = found["kind"].name
    mine = rows.filter(pc.is_in(rows[name].cast(pa.string()), pa.array(list(kinds), pa.string())))
    return _Section(table, found, mine, f"only = {{ column = {_quoted(name)}, is = {_listed(list(kinds), always=True)} }}", kinds)


def _by_campaign(columns: list[Column], found: Mapping[str, Column], rows: pa.Table) -> list[_Section]:
    """Touches that no word names: the touch that a conversion's row tells of, or the visits that a campaign brought."""
    touch = guessing.own_touch(columns)
    sure = touch.get("happened_at") or found.get("campaign_id")
    if sure is None:
        return []
    why = "the touch that the row itself tells of" if touch else "who comes by a campaign has clicked its ad"
    known = {"seen_at": found["happened_at"], **found} if touch and "happened_at" in found else found
    of_touch = {**{field: column for field, column in known.items() if field not in ("event_id", "kind")}, **touch}
    if touch:
        of_touch["event_id"] = _id_of_touch(of_touch, columns)
    words = _words(of_touch["kind"], rows) if "kind" in of_touch else []
    kinds = {word: said[1] for word in words if (said := guessing.meaning(word)) and said[0] == TOUCHES}
    told = rows[sure.name].cast(pa.string())
    no_campaign = sorted(guessing.NO_CAMPAIGN & {*pc.unique(told).to_pylist()})
    which = f"not = {_listed(no_campaign, always=True)}" if no_campaign else "filled = true"
    mine = rows.filter(pc.and_not(pc.is_valid(told), pc.is_in(told, pa.array(no_campaign, pa.string()))))
    return [_Section(TOUCHES, of_touch, mine, f"only = {{ column = {_quoted(sure.name)}, {which} }}  # {why}", kinds)]


def _id_of_touch(of_touch: Mapping[str, Column], columns: list[Column]) -> Column:
    """What a touch is known by, however many rows tell of it: its time, its campaign and whose it was."""
    whose = next((named for field in ("click_id", "device_id", "cookie_id") if (named := guessing.alike(field, columns))), [])
    others = [*([of_touch["campaign_id"]] if "campaign_id" in of_touch else []), *whose]
    return replace(of_touch["happened_at"], others=tuple(each.name for each in others), is_joined=True)


def _without_refunds(section: _Section) -> list[_Section]:
    """Refunds in a part of their own, since what they take back is written without a sign as often as with one."""
    refunds = {word: kind for word, kind in section.kinds.items() if kind == "refund"}
    others = {word: kind for word, kind in section.kinds.items() if kind != "refund"}
    if section.table != CONVERSIONS or not refunds or not others or "value_micros" not in section.found:
        return [section]
    parts = [_chosen(CONVERSIONS, section.found, section.rows, kinds) for kinds in (others, refunds)]
    values = Column("", _values(parts[1].rows, section.found["value_micros"].name))
    return (
        [section] if values.mostly(lambda text: text.strip().startswith("-")) else [parts[0], parts[1]._replace(is_refund=True)]
    )


def _words(kind: Column, rows: pa.Table) -> list[str]:
    distinct = pc.unique(rows[kind.name].cast(pa.string()).combine_chunks())
    return sorted(word for word in distinct.to_pylist() if word is not None)[: guessing.MOST_KINDS]


def _written(section: _Section) -> list[str]:
    """The section's lines below its name."""
    table, found = section.table, section.found
    fields = [name for name in EVENTS[table].names if name in found or _is_needed(table, name)]
    if table == TOUCHES:
        is_paid = bool(set(MONEY[1:]) & set(found))
        fields = [name for name in EVENTS[table].names if (is_paid if name == "currency" else name in fields)]
    return [*filter(None, (section.files, section.only)), *(_line(name, found.get(name), section) for name in fields)]


def _is_needed(table: str, field: str) -> bool:
    return not EVENTS[table].field(field).nullable and field not in DERIVED


def _line(field: str, column: Column | None, section: _Section) -> str:
    if field == "kind" and (column is None or not section.kinds):
        return f'kind = {{ value = "{OF_KIND[section.table]}" }}{"" if section.only else "  # no column says it: is it right?"}'
    if column is None:
        usual = USUAL.get(field, "?")
        return f"{field} = {{ value = {usual if isinstance(usual, int) else _quoted(usual)} }}  # no column looks like it: is this constant right?"
    parts, note = _how(field, column, section)
    cells = section.rows[column.name]
    if not EVENTS[section.table].field(field).nullable and field in USUAL and cells.null_count:
        empty = _commonest(cells) if field == "currency" else USUAL[field]
        parts["empty"] = str(empty) if isinstance(empty, int) else _quoted(empty or str(USUAL[field]))
    name = _listed([column.name, *column.others])
    told = f"{{ column = {name}, {', '.join(f'{word} = {said}' for word, said in parts.items())} }}" if parts else name
    return f"{field} = {told}{f'  # {note}' if note else ''}"


def _how(field: str, column: Column, section: _Section) -> tuple[dict[str, str], str]:
    """What the mapping says of a field beside its column, and what a person should look at."""
    if column.is_joined:
        return {"joined": "true", "hash": '"keyed"'}, "one touch, however many rows tell of it"
    if field in ("happened_at", "seen_at"):
        return _time(column)
    if field in MONEY:
        return _money(column, -1 if section.is_refund else 1)
    if field in ("email_hash", "phone_hash"):
        if column.mostly(lambda text: SHA.fullmatch(text) is not None):
            return {}, ""
        return {
            "hash": f'"{field[:5]}"'
        }, 'add region = "GB" if its numbers carry no country code' if field == "phone_hash" else ""
    if field == "ip_key":
        is_plain = column.mostly(lambda text: guessing.ADDRESS.fullmatch(text) is not None)
        return {"hash": '"ip"' if is_plain else '"keyed"'}, ""
    if field == "external_id":
        return {"hash": '"keyed"'}, ""
    if field == "kind":
        renamed = {word: kind for word, kind in section.kinds.items() if word != kind}
        return ({"map": _inline(renamed)}, "from the source's word to ours") if renamed else ({}, "")
    if field == "consent":
        said = {word: guessing.consent(word) for word in sorted({str(value) for value in column.values})}
        renamed = {word: kind for word, kind in said.items() if word != kind}
        return (
            ({"map": _inline(renamed), "empty": '"unknown"'}, "from the source's word to ours")
            if renamed
            else ({"empty": '"unknown"'}, "")
        )
    return {}, ""


def _money(column: Column, sign: int) -> tuple[dict[str, str], str]:
    note = "a refund takes back" if sign < 0 else ""
    comma = {"decimal": '","'} if column.has_commas else {}
    if "micros" in column.tokens:
        return ({"scale": "-1"}, note) if sign < 0 else ({}, "")
    if column.tokens & {"cents", "cent", "minor", "pence"}:
        return {"scale": f"{sign * 10_000:_}", **comma}, note
    return {"scale": f"{sign * 1_000_000:_}", **comma}, note or "if it holds whole units of the currency"


def _time(column: Column) -> tuple[dict[str, str], str]:
    first = next(iter(column.values), None)
    unzoned = "its times carry no zone: is it UTC?"
    if isinstance(first, date):
        return ({}, "") if isinstance(first, datetime) and first.tzinfo else ({"zone": '"UTC"'}, unzoned)
    if column.is_counted:
        digits = len(str(first).split(".")[0])
        return {"unit": '"s"' if digits <= 10 else '"ms"' if digits <= 13 else '"us"'}, ""
    if column.forms:
        either = f"; or is it {column.forms[1]}: day and month cannot be told apart" if len(column.forms) > 1 else ""
        return {"form": _quoted(column.forms[0]), "zone": '"UTC"'}, unzoned + either
    if column.mostly(lambda text: _has_zone(text)):
        return {}, ""
    return {"zone": '"UTC"'}, unzoned


def _has_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.strip()).tzinfo is not None
    except ValueError:
        return False


def _commonest(values: pa.ChunkedArray) -> str:
    counts = Counter(value for value in values.to_pylist() if value is not None)
    return str(counts.most_common(1)[0][0]) if counts else ""


def _tried(text: str, groups: Sequence[_Group]) -> str:
    """What becomes of the first rows by this draft, as comments."""
    taken, refused, looked_at, reasons = Counter[str](), 0, 0, dict[tuple[str, str], int]()
    try:
        plan = parse(text, "the draft")
        for group in groups:
            chunk = next(chunks(group.first, lambda name, file=group.file: plan.columns(file or name)), None)  # type: ignore[misc]
            if chunk is None:
                continue
            first = replace(chunk, rows=chunk.rows.slice(0, LOOKED_AT), numbers=chunk.numbers.slice(0, LOOKED_AT), faults=())
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


def _listed(words: Sequence[str], *, always: bool = False) -> str:
    return _quoted(words[0]) if len(words) == 1 and not always else f"[{', '.join(map(_quoted, words))}]"


def _inline(words: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{_quoted(word)} = {_quoted(said)}" for word, said in words.items()) + " }"


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'
