"""What differs in an attribute is another thing: a drug of two strengths, a shirt in two sizes, a room with another view.

In a list of things their variants agree in all but a column or two, and look like one thing. Two signs tell them from things
that are there twice. Whoever lists each thing once never lists two that agree in everything: then those who would be joined agree
in the column that tells them apart far less often than strangers do, as cards drawn from a pack are never the same. And where
some things are there twice, those agree in all columns at once, while variants agree in one or another: a column in which
the first hardly ever differ, and the others mostly do, tells things apart. What comes and goes, such as a price, is neither.

Paper: the classes are those of P. Lazarsfeld and N. Henry, Latent structure analysis, 1968.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from whence.identity.records import headers, wording
from whence.identity.records.series import OPEN, REFUSED, of_one_hand
from whence.identity.records.table import MISSING, Column, Evidence, Floats, Pairs, Records
from whence.identity.records.vouching import by_chance

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
States = npt.NDArray[np.int8]

KINDS = frozenset({"category", "number", "year", "code", "date", "day"})
"""Kinds of columns that may tell variants apart …"""
WORDS = frozenset({"name", "text"})
"""… and those that may where they have few values, such as colours."""
FEW_VALUES = 0.01
"""The chance that two records share a value, from which a column of words has few."""
FEW_NUMBERS = 0.02
"""The same for numbers: what is measured or paid has many, and sizes and packs have few."""
HELD = 3
"""Records that hold a value at least which is no slip, and no price that was set once."""
UNLIKE = 0.8
"""Likeness below which two codes are not one misspelt."""
FEWEST = 30
"""Pairs that would be joined below which nothing is said."""
MANY = 0.25
"""The share of them that must differ in a column for it to tell things apart."""
LACKING = 0.5
"""How often they agree in it at most, for each time that strangers would …"""
EXPECTED = 10.0
"""… and how many strangers would at least."""
KEPT = 0.9
"""How often those who agree in all at once agree in a column that tells things apart …"""
LESS = 0.3
"""… and how much less often the others do."""
WRITTEN_ALIKE = 0.5
"""The share of pairs that differ in it whose other texts are the same: one hand copies what its variants share."""
COPIES = 0.9
"""The same where one column alone does …"""
CLOSE = 0.75
"""… and likeness from which two amounts come near …"""
OFTEN = 0.5
"""… in so many of them, from which they are prices of one thing."""
AS_ALIKE = 0.1
"""How much less often these texts may be the same than in pairs that agree in it."""
ROUNDS = 50
TOGETHER = 3
"""Columns that may tell things apart only together, as size and colour do."""
AGREE, DIFFER, OPEN_STATE = 1, 0, -1


@dataclass(frozen=True)
class Told:
    """Log-odds of pairs, the columns that tell things apart, and the pairs that would have been joined."""

    log_odds: Floats
    columns: tuple[str, ...]
    apart: Ints
    """Their places."""


def told_apart(records: Records, pairs: Pairs, evidence: Evidence, log_odds: Floats) -> Told | None:
    """The log-odds without those of pairs that differ in a column that tells things apart; None where none does."""
    columns = () if are_people(records) else tuple(filter(_is_seen, records.columns))
    rows = np.flatnonzero((log_odds > OPEN) & of_one_hand(records, pairs))
    would = log_odds[rows] > 0
    if not columns or would.sum() < FEWEST:
        return None
    both = Pairs(pairs.left[rows], pairs.right[rows])
    states = np.column_stack([_states(column, both, _likeness(evidence, column)[rows]) for column in columns])
    others = [column for column in records.columns if column not in columns and column.field.kind != "number"]
    copied = _are_copied(others, both)
    near = _come_near(records, Evidence(evidence.names, evidence.values[rows]))
    told: list[int] = []
    while new := _telling(columns, _Seen(states[would], copied[would], near[would]), told):
        told += new
    if not told:
        return None
    differs = (states[:, told] == DIFFER).any(axis=1)
    odds = log_odds.copy()
    odds[rows[differs]] = np.minimum(odds[rows[differs]], REFUSED)
    return Told(odds, tuple(columns[place].field.name for place in sorted(told)), rows[differs & would])


class _Seen(NamedTuple):
    """What is seen of the pairs that would be joined: by column, whether they say the same otherwise, whether an amount comes near."""

    states: States
    copied: Bools
    near: Bools

    def of(self, rows: Bools) -> _Seen:
        return _Seen(self.states[rows], self.copied[rows], self.near[rows])


def are_people(records: Records) -> bool:
    """Whether rows tell of people, to whom much happens: an order, a ward or a list is not theirs."""
    return any(
        column.field.kind in ("given_name", "surname", "email")
        or headers.is_birth(column.field.name)
        or (column.field.kind == "name" and headers.is_person(column.field.name))
        for column in records.columns
    )


def _is_seen(column: Column) -> bool:
    """Whether a column is looked at for whole values that differ; one that says who lists a thing, or where, is not."""
    name = column.field.name
    if headers.is_source(name) or headers.is_lister(name) or "url" in headers.says(name):
        return False
    return column.field.kind in KINDS or (column.field.kind in WORDS and by_chance(column) >= FEW_VALUES)


def _may_tell(column: Column) -> bool:
    """Whether a column may tell variants apart; a price bears witness, and comes and goes."""
    if "price" in headers.says(column.field.name):
        return False
    return column.field.kind != "number" or by_chance(column) >= FEW_NUMBERS


def _likeness(evidence: Evidence, column: Column) -> npt.NDArray[np.float32]:
    return np.asarray(evidence.values[:, evidence.names.index(f"{column.field.name}:likeness")])


def _states(column: Column, pairs: Pairs, likeness: npt.NDArray[np.float32]) -> States:
    """Whether each pair agrees in a column, differs in it by a whole value, or neither, shape (pairs,)."""
    ours, theirs = column.codes[pairs.left], column.codes[pairs.right]
    state = np.full(len(ours), OPEN_STATE, dtype=np.int8)
    known = (ours != MISSING) & (theirs != MISSING)
    state[known & (ours == theirs)] = AGREE
    if column.field.kind == "code":
        apart = known & (likeness < UNLIKE)
    else:
        held = np.append(column.counts >= HELD, False)
        apart = known & (ours != theirs) & held[ours] & held[theirs]
    for place in np.flatnonzero(apart).tolist():
        if not _are_one(column.values[ours[place]], column.values[theirs[place]]):
            state[place] = DIFFER
    return state


def _are_one(value: str, other: str) -> bool:
    """Whether two values are one, written otherwise or cut short.

    >>> _are_one("50 mg", "50mg"), _are_one("tab", "tablets"), _are_one("s", "xs"), _are_one("5", "50")
    (True, True, False, False)
    """
    one, two = (re.sub(r"[\W_]+", "", each) for each in (value, other))
    short, long = sorted((one, two), key=len)
    return one == two or (not any(map(str.isdecimal, long)) and len(short) > 2 and wording.shortens(short, long))


def _are_copied(columns: Sequence[Column], pairs: Pairs) -> Bools:
    """Pairs that say the same in these columns, as far as both say anything."""
    same = np.ones(len(pairs.left), dtype=np.bool_)
    for column in columns:
        ours, theirs = column.codes[pairs.left], column.codes[pairs.right]
        same &= (ours == theirs) | (ours == MISSING) | (theirs == MISSING)
    return same


def _come_near(records: Records, evidence: Evidence) -> Bools:
    """Pairs with an amount that comes near and is not the same, as two shops' prices of one thing."""
    amounts = [column for column in records.columns if column.field.kind == "number"]
    likeness = np.column_stack([np.zeros(len(evidence.values)), *(_likeness(evidence, column) for column in amounts)])
    return np.asarray(((likeness >= CLOSE) & (likeness < 1.0)).any(axis=1))


def _telling(columns: Sequence[Column], seen: _Seen, told: Sequence[int]) -> list[int]:
    """The columns that tell apart what those who are `told` leave together."""
    seen = seen.of(~(seen.states[:, list(told)] == DIFFER).any(axis=1))
    if len(seen.states) < FEWEST:
        return []
    fewest = max(MANY * len(seen.states), FEWEST)
    may_tell = [place for place, column in enumerate(columns) if place not in told and _may_tell(column)]
    open_yet = [place for place in may_tell if (seen.states[:, place] == DIFFER).sum() >= fewest]
    classes = _in_classes(seen.states, open_yet)
    return _lacking(columns, seen, open_yet) or [place for place in classes if _as_copied(seen.states[:, place], seen.copied)]


def _lacking(columns: Sequence[Column], seen: _Seen, may_be: Sequence[int]) -> list[int]:
    """The columns, up to TOGETHER, in all of which pairs agree far less often than they would if those said nothing of each other.

    A single column is compared with what strangers agree in; it may say who lists a thing as well, so that pairs that differ in it
    must be copies otherwise, without another price. Those that differ in several must be written alike mostly.
    """
    found = []
    for size in range(1, TOGETHER + 1):
        for some in combinations(may_be, size):
            shown = seen.states[:, some]
            known = (shown != OPEN_STATE).all(axis=1)
            rates = (shown[known] == AGREE).mean(axis=0) if size > 1 else [by_chance(columns[some[0]])]
            expected = float(known.sum() * np.prod(rates))
            agreed = int((shown[known] == AGREE).all(axis=1).sum())
            differs = (shown == DIFFER).any(axis=1)
            if expected < EXPECTED or agreed > LACKING * expected:
                continue
            alike, near = seen.copied[differs].mean(), seen.near[differs].mean()
            if alike >= (WRITTEN_ALIKE if size > 1 else COPIES) and (size > 1 or near < OFTEN):
                found.append(((expected - agreed) / np.sqrt(expected), some))
        if found:
            return list(max(found)[1])
    return []


def _as_copied(state: States, copied: Bools) -> bool:
    """Whether pairs that differ in a column are written as much alike as those that agree in it."""
    agree, differ = copied[state == AGREE], copied[state == DIFFER]
    return bool(len(agree) and differ.mean() >= agree.mean() - AS_ALIKE)


def _in_classes(states: States, may_be: Sequence[int]) -> list[int]:
    """The columns in which one class of pairs hardly differs, and the other does."""
    same, other = _two_classes(states)
    return [place for place in may_be if same[place] >= KEPT and other[place] <= same[place] - LESS]


def _two_classes(states: States) -> tuple[Floats, Floats]:
    """How often pairs agree in each column where both have a value, of two classes; the first is that which agrees more."""
    agree, differ = (states == AGREE).astype(np.float64), (states == DIFFER).astype(np.float64)
    chance = np.where((states == DIFFER).any(axis=1), 0.1, 0.9)
    for _ in range(ROUNDS):
        same, other = (_rates(agree, differ, weight) for weight in (chance, 1 - chance))
        odds = agree @ np.log(same / other) + differ @ np.log((1 - same) / (1 - other))
        chance = expit(odds + logit(np.clip(chance.mean(), 1e-4, 1 - 1e-4)))
    return (same, other) if same.sum() >= other.sum() else (other, same)


def _rates(agree: Floats, differ: Floats, weight: Floats) -> Floats:
    return np.asarray((weight @ agree + 0.5) / (weight @ agree + weight @ differ + 1.0))
