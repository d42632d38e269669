"""Which columns of several tables are the same, by their names, their kinds and what is in them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from whence.identity.records import headers, kinds, spellings
from whence.identity.records.table import Floats
from whence.identity.records.texts import texts
from whence.normalise import normalise

MOST_VALUES = 20_000
"""Distinct values of a column that are compared, at most: those whose checksum says so, the same in every table."""
FEWEST = 5
"""Distinct values that both need before they say anything."""
ENOUGH = 0.45
"""What a pair of columns must reach: kind and letters alike, and something in common or a name that says the same."""
WEIGHTS = {"kind": 0.25, "header": 0.25, "common": 0.3, "spread": 0.2}
VAGUE = {"number": 0.7, "year": 0.7, "category": 0.4}
"""How alike columns of kinds that say little must be as a whole, where their names do not speak for it."""
RELATED = 0.7
"""What kinds of one family count."""
OF_WORDS = 0.7
"""What words in common count, next to whole values."""
WORDY = ("text", "name", "address", "category")
BINS = 4096
FAMILIES = (
    {"name", "given_name", "surname", "text"},
    {"text", "address", "place", "name", "category"},
    {"code", "postcode", "phone", "number", "year"},
    {"date", "year"},
    {"date", "day"},
    {"category", "number", "code"},
)
"""Kinds that one column may be taken for in two tables."""


@dataclass(frozen=True)
class Aligned:
    """The tables, their columns renamed to those of the first that has them."""

    tables: tuple[pa.Table, ...]
    same: Mapping[str, str]
    why: Mapping[str, str]


def align(tables: Sequence[pa.Table], same: Mapping[str, str] | None = None) -> Aligned:
    """Columns of the same folded name are one, and so are those that `same` says; else the best pairs by what is in them."""
    known: dict[str, Profile] = {name: Profile(name, tables[0][name]) for name in tables[0].column_names}
    renamed, told, why = [tables[0]], dict[str, str](), dict[str, str]()
    for table in tables[1:]:
        found = _by_name(table.column_names, list(known), same)
        why |= dict.fromkeys(found, "as the fields file says" if same else "the names are the same")
        if same is None:
            rest = [Profile(name, table[name]) for name in table.column_names if name not in {**found, **known}]
            free = [each for name, each in known.items() if name not in found.values() and name not in table.column_names]
            for ours, theirs, reason in _best(rest, free):
                found[ours], why[ours] = theirs, reason
        told |= found
        renamed.append(table.rename_columns([found.get(name, name) for name in table.column_names]))
        known = {name: Profile(name, renamed[-1][name]) for name in renamed[-1].column_names} | known
    return Aligned(tuple(renamed), told, why)


def _by_name(names: Sequence[str], known: Sequence[str], same: Mapping[str, str] | None) -> dict[str, str]:
    """New names for columns that are called otherwise but mean the same."""
    found = {name: of for name, of in (same or {}).items() if name in names and of not in names}
    taken = {*names, *found.values()}
    for name in names:
        if name in known or name in found:
            continue
        alike = [each for each in known if each not in taken and headers.folded(each) == headers.folded(name)]
        if len(alike) == 1:
            found[name] = alike[0]
            taken.add(alike[0])
    return found


@dataclass(frozen=True)
class Profile:
    """A column as it is compared with one of another table."""

    name: str
    column: pa.ChunkedArray

    @cached_property
    def look(self) -> kinds.Look:
        """What can be seen of it."""
        return kinds.look(self.name, texts(self.column))

    @cached_property
    def names_rows(self) -> bool:
        """Whether it is the table's id."""
        return kinds.names_rows(self.look) is not None

    @cached_property
    def kind(self) -> str:
        """What it seems to be."""
        return self.look.kind[0]

    @cached_property
    def values(self) -> frozenset[str]:
        """Distinct normalised values, or the same share of them in every table."""
        found = texts(self.column).dictionary_encode().dictionary.to_pylist()
        if len(found) > MOST_VALUES:
            found = [value for value in found if zlib.crc32(value.strip().casefold().encode()) % 16 == 0]
        return frozenset(value for value in normalise(self.kind, spellings.plain(self.kind, found)) if value)

    @cached_property
    def grams(self) -> Floats:
        """How often each 3-gram comes, as a direction."""
        counts = np.zeros(BINS)
        for value in sorted(self.values)[:: max(1, len(self.values) // 1000)]:
            padded = f" {value} "
            for at in range(len(padded) - 2):
                counts[zlib.crc32(padded[at : at + 3].encode()) % BINS] += 1
        rooted = np.sqrt(counts)
        return np.asarray(rooted / max(float(np.linalg.norm(rooted)), 1e-9))

    @cached_property
    def rough(self) -> frozenset[str]:
        """The values, numbers to three digits: tables round them as they like."""
        return frozenset(f"{float(value):.3g}" for value in self.values) if self.is_numeric else self.values

    @cached_property
    def words(self) -> frozenset[str]:
        """The words in its values, where those are texts."""
        return frozenset(word for value in self.values for word in value.split()) if self.kind in WORDY else frozenset()

    @cached_property
    def is_numeric(self) -> bool:
        """Whether its values are numbers."""
        return len(self.numbers) == len(self.values)

    @cached_property
    def numbers(self) -> Floats:
        """The values as sorted numbers, where they are."""
        return np.sort(np.array([float(value) for value in self.values if kinds.DECIMAL_TEXT.fullmatch(value)]))


def _best(ours: Sequence[Profile], theirs: Sequence[Profile]) -> list[tuple[str, str, str]]:
    """The pairs, one to one, of the best total; only those that have enough in common."""
    found = []
    for rows in ([each for each in side if each.names_rows] for side in (ours, theirs)):
        found.append(rows)
    pairs = [(found[0][0].name, found[1][0].name, "both name the rows")] if found[0] and found[1] else []
    left = [each for each in ours if not each.names_rows and each.look.filled]
    right = [each for each in theirs if not each.names_rows and each.look.filled]
    if not left or not right:
        return pairs
    scores = [[_score(one, other) for other in right] for one in left]
    totals = np.array([[score for score, _ in row] for row in scores])
    for a, b in zip(*linear_sum_assignment(-np.where(totals >= ENOUGH, totals, 0.0)), strict=True):
        if totals[a, b] >= ENOUGH:
            pairs.append((left[a].name, right[b].name, scores[a][b][1]))
    return pairs


def _score(one: Profile, other: Profile) -> tuple[float, str]:
    """How much speaks for two columns being the same, 0 to 1, and what."""
    kind = 1.0 if one.kind == other.kind else RELATED if any({one.kind, other.kind} <= family for family in FAMILIES) else 0.0
    if not kind:
        return 0.0, ""
    ours, theirs = _meaning(one), _meaning(other)
    header = 0.0 if ours is None or theirs is None else 1.0 if ours[0] == theirs[0] else -0.5
    few = min(len(one.values), len(other.values)) < FEWEST
    common = 0.0 if few else max(_common(one.rough, other.rough), OF_WORDS * _common(one.words, other.words))
    spread = 0.0 if few else _spread(one, other)
    if header < 1 and spread < VAGUE.get(one.kind, 0.0):
        return 0.0, ""
    score = sum(WEIGHTS[name] * value for name, value in
                {"kind": kind, "header": header, "common": common, "spread": spread}.items())  # fmt: skip
    told = [f"both are of kind {one.kind}"] if kind == 1.0 else [f"kinds {one.kind} and {other.kind}"]
    told += [f"the names say {ours[1]} and {theirs[1]}"] if header == 1.0 and ours and theirs else []
    told += [f"{common:.0%} of the values in common"] if common else []
    return score, ", ".join([*told, f"alike by {spread:.0%}"])


def _meaning(column: Profile) -> tuple[str, str] | None:
    """What a header says, and the word that does: first of all what the values are, such as a text for a product's name."""
    said = column.look.says
    return (column.kind, said[column.kind]) if column.kind in said else next(iter(said.items()), None)


def _common(ours: frozenset[str], theirs: frozenset[str]) -> float:
    return len(ours & theirs) / max(min(len(ours), len(theirs)), 1)


def _spread(one: Profile, other: Profile) -> float:
    """How alike two columns are as a whole: numbers by where they lie, texts by their letters."""
    a, b = one.numbers, other.numbers
    if min(len(a), len(b)) >= 0.9 * min(len(one.values), len(other.values)):
        at = np.concatenate([a, b])
        apart = np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max()
        whole = abs(float((a % 1 == 0).mean() - (b % 1 == 0).mean()))
        return float((1 - apart) * (1 - whole / 2))
    return float(one.grams @ other.grams)
