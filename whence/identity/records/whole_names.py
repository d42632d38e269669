"""A person's given name and surname in one file, and the whole name in another: the whole is put together beside the parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from whence.identity.records import kinds
from whence.identity.records.texts import texts

CALLED = re.compile(r"name \((.+), (.+)\)")
"""What a column that was put together is called, with the columns that it is made of."""
SPOKEN = 1.4
"""Words in a whole name at least, on average."""


def composed(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables, with a column of whole names where one has parts alone and another one whole names alone.

    >>> parts = pa.table({"first_name": ["Ann", "Bob"], "last_name": ["Lee", None]})
    >>> composed([parts, pa.table({"full_name": ["Bob Ray", "Ann Lee"]})])[0]["name (first_name, last_name)"].to_pylist()
    ['Ann Lee', None]
    """
    named = [_named(table) for table in tables]
    if not any(map(_is_whole, named)):
        return list(tables)
    return [_beside(table, *_parts(looks)) if _parts(looks) else table for table, looks in zip(tables, named, strict=True)]


def needed(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """The table, with those of the named columns that are put together from columns that it has."""
    for name in names:
        found = CALLED.fullmatch(name)
        if found and name not in table.column_names and {*found.groups()} <= {*table.column_names}:
            table = _beside(table, *found.groups())
    return table


def _named(table: pa.Table) -> list[kinds.Look]:
    """The columns of given names, surnames, and names of several words; a middle name or a brand is none of them."""
    looks = [kinds.look(name, texts(table[name])) for name in table.column_names]
    return [look for look in looks if look.kind[0] in NAMES[:2] or (look.kind[0] == "name" and look.words > SPOKEN)]


NAMES = ("given_name", "surname", "name")


def _parts(named: Sequence[kinds.Look]) -> tuple[str, ...]:
    """The columns of given names and of surnames, where there is one of each and no whole name."""
    by_kind = sorted(named, key=lambda look: NAMES.index(look.kind[0]))
    return tuple(look.name for look in by_kind) if [look.kind[0] for look in by_kind] == ["given_name", "surname"] else ()


def _is_whole(named: Sequence[kinds.Look]) -> bool:
    """Whether names of several words are there, and no parts of names."""
    return len(named) > 0 and all(look.kind[0] == "name" for look in named)


def _beside(table: pa.Table, given: str, surname: str) -> pa.Table:
    whole = pc.binary_join_element_wise(texts(table[given]), texts(table[surname]), " ")
    return table.append_column(f"name ({given}, {surname})", whole)
