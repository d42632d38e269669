"""Which tables a source's rows belong to, and which column holds which field there: the parts of a drafted mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from whence.ingest import guessing, hashing, nested, urls
from whence.ingest.fields import MONEY, how, listed, quoted
from whence.ingest.guessing import CONVERSIONS, SIGHTINGS, TOUCHES, Column
from whence.normalise.placeholders import is_placeholder

LOOKED_AT = 1000
"""Values of a column that are looked at."""
IDENTIFIERS = ("click_id", "cookie_id", "device_id", "email_hash", "phone_hash", "external_id")
OWN = {CONVERSIONS: {"value_micros", "order_id"}, TOUCHES: {*MONEY[1:], "campaign_id", "channel"}}
"""Fields whose columns say that a source without kinds is this table."""


class Section(NamedTuple):
    """A part of the draft: the rows of one table that it takes, and how."""

    table: str
    found: Mapping[str, Column]
    """Fields and their columns."""
    rows: pa.Table
    only: tuple[str, ...] = ()
    """The conditions under which a row is one of them, and why."""
    why: str = ""
    kinds: Mapping[str, str] = {}
    """Our kinds for the source's words; empty where no column says them."""
    files: str = ""
    is_refund: bool = False
    is_negative: bool = False
    """Its amounts are refunds, since they carry a minus."""


def found_in(rows: pa.Table) -> list[Section]:
    """The tables that the rows seem to belong to: by the words of their kinds, else by the fields that there are."""
    rows = _with_inner(rows)
    columns = _columns(rows)
    found, touch = guessing.fields(columns), guessing.own_touch(columns)
    kinds = [each for each in guessing.alike("kind", columns) if each is not touch.get("kind")]
    if not any(_is_telling(each, rows) for each in kinds):
        return [_filled(part) for each in _without_words(columns, found, rows) for part in _without_tests(each)]
    parts = _by_kinds(found, rows, sorted(kinds, key=lambda each: (not _is_telling(each, rows), each.filled)))
    tables = {each.table for each in parts}
    if TOUCHES not in tables and CONVERSIONS in tables:
        parts += _by_campaign(columns, found, rows)
    if len(parts) == 1:
        parts = [parts[0]._replace(only=())]
    return [_filled(part) for each in parts for one in _without_refunds(each) for part in _without_tests(one)]


def _with_inner(rows: pa.Table) -> pa.Table:
    """The rows, with what their texts of JSON hold, and what their addresses say of campaigns, as further columns."""
    for name in rows.column_names:
        if Column(name, _values(rows, name)).mostly(lambda text: text.startswith("{")):
            told = [nested.flat({name: nested.value(cell)}) for cell in rows[name].to_pylist()]
            for inner in dict.fromkeys(each for row in told for each in row if each != name):
                rows = rows.append_column(inner, pa.array([row.get(inner) for row in told], pa.string()))
    names = [each for name in rows.column_names for each in urls.of_campaigns(name, _values(rows, name))]
    if not names:
        return rows
    told_of = urls.with_parameters(rows.combine_chunks().to_batches()[0], [*rows.column_names, *names])
    return pa.Table.from_batches([told_of])


def _columns(rows: pa.Table) -> list[Column]:
    count = max(rows.num_rows, 1)
    return [Column(name, _values(rows, name), 1 - rows[name].null_count / count) for name in rows.column_names]


def _values(rows: pa.Table, name: str) -> list[object]:
    return list(islice((value for value in rows[name].to_pylist() if value is not None), LOOKED_AT))


def _is_telling(kind: Column, rows: pa.Table) -> bool:
    return any(map(guessing.meaning, _words(kind, rows)))


def _without_words(columns: list[Column], found: Mapping[str, Column], rows: pa.Table) -> list[Section]:
    """Sections where no word says ad or conversion: one for all rows; of visits, those that a campaign brought are clicks, too."""
    section = _without_kinds(found, rows)
    if section.table != TOUCHES or not section.kinds or set(MONEY[1:]) & set(found) or "campaign_id" not in found:
        return [section]
    kinds = {word: guessing.sighting(word) for word in section.kinds}
    return [*_by_campaign(columns, found, rows), Section(SIGHTINGS, found, rows, kinds=kinds)]


def _without_kinds(found: Mapping[str, Column], rows: pa.Table) -> Section:
    """All rows as one table; a row without an amount is no order, as the further lines of one in a shop's export."""
    words = _words(found["kind"], rows) if "kind" in found else []
    table = next((name for name, own in OWN.items() if own & set(found)), SIGHTINGS)
    kinds = {word: guessing.sighting(word) if table == SIGHTINGS else word for word in words}
    if table != CONVERSIONS:
        return Section(table, found, rows, kinds=kinds)
    if "order_id" not in found and "event_id" in found:
        found = {"order_id" if field == "event_id" else field: column for field, column in found.items()}
    value = found.get("value_micros")
    if value is None or value.filled == 1:
        return Section(table, found, rows, kinds=kinds)
    only = f"{{ column = {quoted(value.name)}, filled = true }}"
    why = "a row without an amount is no order: is it so?"
    return Section(table, found, rows.filter(pc.is_valid(rows[value.name])), (only,), why, kinds)


def _by_kinds(found: Mapping[str, Column], rows: pa.Table, kinds: Sequence[Column]) -> list[Section]:
    """Sections by the first column's words; rows in which it is empty by the next one's, as an app's events and its installs are."""
    sections: list[Section] = []
    for kind in kinds:
        parted: dict[str, dict[str, str]] = {TOUCHES: {}, CONVERSIONS: {}, SIGHTINGS: {}}
        for word in _words(kind, rows):
            table, ours = guessing.meaning(word) or (SIGHTINGS, guessing.sighting(word))
            # one with an order is what new customers and cool-downs of a policy go by
            parted[table][word] = "purchase" if ours == "conversion" and "order_id" in found else ours
        sections += [_chosen(table, {**found, "kind": kind}, rows, said) for table, said in parted.items() if said]
        rows = rows.filter(pc.is_null(rows[kind.name]))
    return sections


def _filled(section: Section) -> Section:
    """The section with columns that its own rows fill, where the whole source's would be empty in them; and who stands in for whom."""
    columns = _columns(section.rows)
    values = {each.name: each.values for each in columns}
    mine = guessing.fields([each for each in columns if each.values])
    found = {field: each if values[each.name] else mine.get(field, each) for field, each in section.found.items()}
    taken = {each.name for each in found.values()}
    for field in [each for each in IDENTIFIERS if each in found]:
        first = found[field]
        free = [
            each for each in guessing.alike(field, columns) if each.name not in taken and how(field, each) == how(field, first)
        ]
        others = _standing_in(section.rows, first.name, free)
        found[field] = replace(first, others=others)
        taken.update(others)
    amounts = ("value_micros",) if section.table == CONVERSIONS else MONEY[1:]
    money = next((found[field] for field in amounts if field in found), None)
    if money is not None and (currency := guessing.currency_of(money, columns)) is not None:
        found["currency"] = currency
    return section._replace(found=found)


def _standing_in(rows: pa.Table, first: str, others: Sequence[Column]) -> tuple[str, ...]:
    """Those that are filled in rows where all before them are empty, or name nobody."""
    is_empty, found = pc.invert(_names_somebody(rows[first])), list[str]()
    for each in others:
        is_there = _names_somebody(rows[each.name])
        if pc.any(pc.and_(is_empty, is_there)).as_py():
            found.append(each.name)
            is_empty = pc.and_not(is_empty, is_there)
    return tuple(found)


def _names_somebody(values: pa.ChunkedArray) -> pa.Array:
    told = hashing.each(values.combine_chunks(), lambda word: None if is_placeholder("identifier", word) else word)
    return pc.is_valid(told)


def _chosen(table: str, found: Mapping[str, Column], rows: pa.Table, kinds: Mapping[str, str]) -> Section:
    name = found["kind"].name
    mine = rows.filter(pc.is_in(rows[name].cast(pa.string()), pa.array(list(kinds), pa.string())))
    only = f"{{ column = {quoted(name)}, is = {listed(list(kinds), always=True)} }}"
    return Section(table, found, mine, (only,), kinds=kinds)


def _by_campaign(columns: list[Column], found: Mapping[str, Column], rows: pa.Table) -> list[Section]:
    """Touches that no word names: the touch that a conversion's row tells of, or the visits that a campaign brought."""
    touch = guessing.own_touch(columns)
    sure = touch.get("happened_at") or found.get("campaign_id")
    if sure is None:
        return []
    why = "the touch that the row itself tells of" if touch else "who comes by a campaign has clicked its ad"
    known = {"seen_at": found["happened_at"], **found} if touch and "happened_at" in found else found
    of_touch = {**{field: column for field, column in known.items() if field not in ("event_id", "kind")}, **touch}
    if touch:
        of_touch["event_id"] = _joined(touch["happened_at"], ("click_id", "device_id", "cookie_id"), of_touch, columns)
    elif (visit := guessing.visit(columns)) and {"device_id", "cookie_id"} & set(of_touch):
        of_touch["event_id"] = _joined(visit, ("device_id", "cookie_id"), of_touch, columns)
    elif "event_id" in found:
        of_touch["event_id"] = found["event_id"]
    words = _words(of_touch["kind"], rows) if "kind" in of_touch else []
    kinds = {word: said[1] for word in words if (said := guessing.meaning(word)) and said[0] == TOUCHES}
    told = rows[sure.name].cast(pa.string())
    no_campaign = sorted(guessing.NO_CAMPAIGN & {*pc.unique(told).to_pylist()})
    which = f"not = {listed(no_campaign, always=True)}" if no_campaign else "filled = true"
    mine = rows.filter(pc.and_not(pc.is_valid(told), pc.is_in(told, pa.array(no_campaign, pa.string()))))
    return [Section(TOUCHES, of_touch, mine, (f"{{ column = {quoted(sure.name)}, {which} }}",), why, kinds)]


def _joined(once: Column, whose: Sequence[str], of_touch: Mapping[str, Column], columns: list[Column]) -> Column:
    """What a touch is known by, however many rows tell of it: its time or its visit, its campaign, and whose it was."""
    others = [of_touch["campaign_id"]] if "campaign_id" in of_touch else []
    others += [each for field in whose for each in guessing.alike(field, columns)]
    return replace(once, others=tuple(each.name for each in others), is_joined=True)


def _without_refunds(section: Section) -> list[Section]:
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


def _without_tests(section: Section) -> list[Section]:
    """Conversions without those that are tests, or were never paid, where a column says so; those with a minus in a part of their own, as refunds."""
    if section.table != CONVERSIONS:
        return [section]
    columns = _columns(section.rows)
    for column, words in filter(None, (guessing.tests(columns), guessing.unpaid(columns))):
        is_real = pc.invert(pc.is_in(section.rows[column.name].cast(pa.string()), pa.array(words, pa.string())))
        only = (*section.only, f"{{ column = {quoted(column.name)}, not = {listed(words, always=True)}, empty = true }}")
        section = section._replace(rows=section.rows.filter(is_real), only=only)
    value = section.found.get("value_micros")
    if value is None or section.is_refund or set(section.kinds.values()) == {"refund"}:
        return [section]
    has_minus = pc.fill_null(pc.starts_with(pc.utf8_trim_whitespace(section.rows[value.name].cast(pa.string())), "-"), False)
    if not pc.any(has_minus).as_py() or pc.all(has_minus).as_py():
        return [section]
    sold, back = (f"{{ column = {quoted(value.name)}, negative = {said} }}" for said in ("false", "true"))
    return [
        section._replace(rows=section.rows.filter(pc.invert(has_minus)), only=(*section.only, sold)),
        section._replace(rows=section.rows.filter(has_minus), only=(*section.only, back), is_negative=True),
    ]


def _words(kind: Column, rows: pa.Table) -> list[str]:
    distinct = pc.unique(rows[kind.name].cast(pa.string()).combine_chunks())
    return sorted(word for word in distinct.to_pylist() if word is not None)[: guessing.MOST_KINDS]
