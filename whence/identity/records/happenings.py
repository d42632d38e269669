"""Columns of what happens rather than of whom it happens to: among rows of one name they agree no more than strangers do.

A row may be a booking, an order or a ticket. Then its number, its day and its room say nothing of who somebody is, and
two bookings of one guest would be told apart by them. Rows that share a rare name show it: where they share an address
or a phone as well, they are of one person mostly, and what they still do not share is not the person's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.identity.records import headers
from whence.identity.records.table import Field
from whence.identity.records.texts import texts
from whence.normalise import normalise

Ints = npt.NDArray[np.int64]

HAPPENING = frozenset({"code", "category", "date"})
"""Kinds that may be of what happens."""
LASTING = frozenset({"email", "phone", "address", "date", "code"})
"""Kinds by which two rows of one name are seen to be of one person …"""
MOSTLY = 0.5
"""… where so many of them agree in one."""
BY_CHANCE = 0.03
"""How much more often than strangers' values those of a happening may agree."""
ENOUGH = 50
SAMPLE = 2_000
"""Pairs of rows that are looked at, and below which nothing is said."""


def columns(table: pa.Table, fields: Sequence[Field]) -> dict[str, str]:
    """The columns that are of what happens, and by which names that is seen; none where nobody seems to be there twice."""
    may_be = [each for each in fields if each.kind in HAPPENING and not headers.is_birth(each.name)]
    named = _names(fields)
    if not may_be or not named:
        return {}
    left, right = _of_one_name(table, named)
    if len(left) < ENOUGH:
        return {}
    lasting = [each for each in fields if each.kind in LASTING]
    agreed = {each.name: found for each in {*may_be, *lasting} if (found := _agree(table, each, left, right))}
    if max((agreed[each.name][0] for each in lasting if each.name in agreed), default=0.0) < MOSTLY:
        return {}
    of = " and ".join(named)
    return {each.name: of for each in may_be if each.name in agreed and agreed[each.name][0] <= agreed[each.name][1] + BY_CHANCE}


def _names(fields: Sequence[Field]) -> list[str]:
    """The columns that make a person's whole name."""
    whole = [each.name for each in fields if each.kind == "name"]
    parts = [each.name for kind in ("given_name", "surname") for each in fields if each.kind == kind]
    return parts[:2] if len(parts) > 1 else whole[:1]


def _of_one_name(table: pa.Table, names: Sequence[str]) -> tuple[Ints, Ints]:
    """Pairs of rows that alone have a name, SAMPLE at most, from all over the table."""
    whole = pc.utf8_lower(pc.binary_join_element_wise(*(texts(table[name]) for name in names), " "))
    codes = whole.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    twice = np.append(np.bincount(codes[codes >= 0]) == 2, False)[codes]
    rows = np.flatnonzero(twice)
    pairs = rows[np.argsort(codes[rows], kind="stable")].reshape(-1, 2)
    chosen = pairs[np.unique(np.linspace(0, max(len(pairs) - 1, 0), min(len(pairs), SAMPLE)).astype(np.int64))]
    return chosen[:, 0], chosen[:, 1]


def _agree(table: pa.Table, field: Field, left: Ints, right: Ints) -> tuple[float, float] | None:
    """How often a column has one value in both rows where both have one, and how often in rows of other names."""
    written = texts(table[field.name].take(pa.array(np.concatenate([left, right])))).fill_null("").to_pylist()
    ours, theirs = np.asarray([each or "" for each in normalise(field.kind, written)]).reshape(2, -1)
    filled = (ours != "") & (theirs != "")
    if filled.sum() < ENOUGH:
        return None
    ours, theirs = ours[filled], theirs[filled]
    return float((ours == theirs).mean()), float((ours == np.roll(theirs, 1)).mean())
