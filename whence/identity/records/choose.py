"""Which columns and keys find candidates: chosen from the data alone, without labels."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from whence.identity.records import near, text
from whence.identity.records.keys import Key, Part, transformed
from whence.identity.records.near import Said
from whence.identity.records.table import MISSING, Codes, Column, Records

SAMPLE = 1000
NEIGHBOURS = 20
FAINT = 0.03
"""A column whose best hits stand out less than this share of the best column's is not searched."""
COUNTED = 50_000
"""Records that are looked at to count what a key makes."""
MOST_KEYS = 16
LEAST_GAIN = 0.002
NARROW = 0.4
"""Pairs per record below which a key needs no further part."""
FIXED_COST = 0.2
"""What a key costs before it makes a pair, in pairs per record."""
MISMATCH_BITS = 2.0
"""What a disagreement takes away from a pair: values of one person agree about three times in four."""
SPARE_BITS = 2.0

BESIDE = 0.15
"""What a column of numbers or dates counts at least, next to the best column, where it tells something of the others' pairs …"""
BESIDE_TOGETHER = 0.3
"""… and what all of them count together, where there are many: they only put in order what names leave open."""

AS_TELLING = 0.7
"""A column is left to one that holds its words when that one's hits stand out at least this far, compared to its own."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Weighed:
    """A column to search by, and how much it says."""

    part: Part
    weight: float
    why: str


def weigh(records: Records) -> tuple[list[Weighed], list[str]]:
    """The columns to search by, heaviest first, and a sentence for each that is left out.

    A column weighs what its own searches promise: how often the best hit of a record has that record as its best hit in
    turn, times how far that hit stands out among the others. A column that many records share, or whose texts all
    resemble each other, gets next to nothing; no label is needed.
    """
    sample = np.unique(np.linspace(0, len(records) - 1, min(len(records), SAMPLE)).astype(np.int64))
    found, left_out = [], []
    told = {column.field.name: said for column in records.columns if (said := near.said(records, column)) is not None}
    for column in records.columns:
        if len(column.values) < 2:
            left_out.append(f"{column.field.name}: no two values")
            continue
        part = Part(column.field.name, text.TERMS[column.field.kind])
        found.append((part, standing_out(records, text.index(records, [part]), sample)))
    found, best = _bounded(records, found, told)
    beside = _beside(told, best)
    standing = [(part, weight) for part, weight in found if weight > FAINT * best or part.column in beside]
    left_out += [f"{part.column}: its best hits do not stand out" for part, weight in found if (part, weight) not in standing]
    kept: list[Weighed] = []
    said_again: set[Part] = set()
    for part, weight in standing:
        holders = (other for other, its in standing if other != part and other not in said_again and its >= AS_TELLING * weight)
        if holder := next((other for other in holders if _says_again(records, part, other)), None):
            said_again.add(part)
            left_out.append(f"{part.column}: {holder.column} says it already")
        else:
            kept.append(_weighed(part, weight, best, beside.get(part.column, 0.0)))
    return sorted(kept, key=lambda each: (-each.weight, each.part.column)), left_out


def _bounded(
    records: Records, found: Sequence[tuple[Part, float]], told: Mapping[str, Said]
) -> tuple[list[tuple[Part, float]], float]:
    """The weights, heaviest first, and the best; a number always has a nearest one, so that it does not speak for itself.

    One that agrees no more often where others do than among strangers counts nothing, and neither does one of which nothing is known.
    """
    measured = {column.field.name for column in records.columns if column.field.kind in BANDS}
    is_all = all(part.column in measured for part, _ in found)
    bounded = []
    for part, weight in found:
        if part.column in measured and not is_all:
            said = told.get(part.column)
            weight *= said is not None and said.is_telling
        bounded.append((part, weight))
    best = max((weight for _, weight in bounded), default=0.0)
    return sorted(bounded, key=lambda each: (-each[1], each[0].column)), best


def _weighed(part: Part, weight: float, best: float, least: float) -> Weighed:
    if weight >= least * best:
        return Weighed(part, round(weight / best, 4), f"{part.column}: best hits stand out by {weight:.3f}")
    return Weighed(part, round(least, 4), f"{part.column}: comes close where others agree")


def _beside(told: Mapping[str, Said], best: float) -> dict[str, float]:
    """The least weights of numbers and dates that tell something, though their hits alone do not stand out."""
    telling = [name for name, said in told.items() if said.is_telling] if best > 0 else []
    return dict.fromkeys(telling, min(BESIDE, BESIDE_TOGETHER / max(len(telling), 1)))


def standing_out(records: Records, held: text.Index, sample: npt.NDArray[np.int64]) -> float:
    """How often a record and its best hit choose each other, times how far the hit's score is above the rest, from 0 to 1.

    The rest is the next hit where no source holds a person twice, and else the last of the hits, since a person may have
    many records.
    """
    hits = text.search(records, held, NEIGHBOURS, sample)
    scores = np.zeros((len(records), NEIGHBOURS), dtype=np.float32)
    scores[hits.query, hits.rank] = hits.score
    top = np.full(len(records), MISSING)
    top[hits.query[hits.rank == 0]] = hits.other[hits.rank == 0]
    asked = sample[top[sample] != MISSING]
    if not len(asked):
        return 0.0
    back = text.search(records, held, 1, np.unique(top[asked]))
    returned = np.full(len(records), MISSING)
    returned[back.query] = back.other
    rest = scores[asked, 1 if records.unique_sources else -1]
    is_mutual = returned[top[asked]] == asked
    return float((is_mutual * (1 - rest / scores[asked, 0])).sum() / len(sample))


def _says_again(records: Records, part: Part, holder: Part) -> bool:
    """Whether nearly every record's words in one column are among its words in the other, as a surname in a whole name."""
    if not part.of == holder.of == "grams":
        return False
    one, two = records.column(part.column), records.column(holder.column)
    rows = np.flatnonzero((one.codes != MISSING) & (two.codes != MISSING))
    if len(rows) < 0.5 * (one.codes != MISSING).sum():
        return False
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 500)).astype(np.int64))]
    inside = [set(one.values[one.codes[row]].split()) <= set(two.values[two.codes[row]].split()) for row in rows]
    return float(np.mean(inside)) >= 0.9


def keys(records: Records, pairs: float) -> tuple[list[Key], list[str]]:
    """Keys that still agree when things go wrong, for about so many pairs in all, and what each adds.

    Made-up pairs of one person lose columns as real ones do: values are missing as often as they are in the table, are
    mistyped, are replaced, and a move changes all of a home at once. Each key is taken for the share of these pairs that
    only it finds, weighed against the pairs that it makes in the table.
    """
    told = {column.field.name: near.said(records, column) for column in records.columns if column.field.kind in BANDS}
    close = {name: said for name, said in told.items() if said and said.is_close}
    parts = _parts(records, close)
    coded = {part: transformed(records.column(part.column), part.of)[0] for part in parts}
    rarity = {part: _meeting(codes) for part, codes in coded.items()}
    offers = _offers(records, parts, rarity, pairs)
    if not offers:
        return [], []
    costs = _Costs(records, coded, {key: _cost(records, key, rarity) for key in offers})
    return _greedy(offers, _mishaps(records, parts, close), costs, pairs)


def plausible(records: Records, left: Codes, right: Codes) -> Bools:
    """Which pairs agree on so much that is rare that chance would hardly explain it, for the size of the table.

    Bits: each agreement brings the log of how rare its value is, each disagreement takes MISMATCH_BITS; a pair needs as
    many as single it out among all partners, and some more.
    """
    bits = np.zeros(len(left))
    for column in records.columns:
        one, two = column.codes[left], column.codes[right]
        filled = (one != MISSING) & (two != MISSING)
        total = max(int(column.counts.sum()), 1)
        rare = np.append(np.log2(total / np.maximum(column.counts, 1)), 0.0)
        bits += np.where(filled, np.where(one == two, rare[one], -MISMATCH_BITS), 0.0)
    return np.asarray(bits > np.log2(max(len(records), 2)) + SPARE_BITS)


PARTS: dict[str, tuple[str, ...]] = {
    "name": ("whole", "sorted tokens", "last token", "first token"),
    "given_name": ("whole", "sound", "first 3"),
    "surname": ("whole", "sound", "first 4"),
    "date": ("whole", "year", "month and day"),
    "day": ("whole",),
    "year": ("whole",),
    "email": ("whole", "before at"),
    "phone": ("whole", "last 7"),
    "postcode": ("whole", "first 3"),
    "address": ("whole",),
    "place": ("whole",),
    "code": ("whole",),
    "number": ("whole",),
    "text": ("whole", "sorted tokens", "first token", "first 4"),
    "ip": ("whole",),
}
"""What of each kind may be part of a key; other kinds say too little."""
BANDS: dict[str, tuple[str, ...]] = {
    "number": ("band", "other band", "wide band", "other wide band"),
    "day": ("week", "other week", "month", "other month"),
    "year": ("two years", "other two years"),
}
"""What more of each kind may be part of a key where values of one thing only come close."""

HOME = frozenset({"address", "postcode", "place"})
"""Kinds that change together when a person moves."""
MADE_UP = 4000
MOVED = 0.3
REPLACED = 0.1
MISTYPED = 0.15
SURVIVES = 0.6
"""How often a part of a mistyped value still agrees."""


def _parts(records: Records, close: Container[str]) -> list[Part]:
    """Nothing for long texts, which hardly ever agree as a whole; bands for columns of close values."""
    parts = []
    for column in records.columns:
        if len(column.values) > 1 and _mean_length(column) <= 60:
            kinds = PARTS.get(column.field.kind, ()) + (BANDS[column.field.kind] if column.field.name in close else ())
            parts += [Part(column.field.name, of) for of in kinds]
    return parts


def _mean_length(column: Column) -> float:
    step = max(1, len(column.values) // 1000)
    return float(np.mean([len(value) for value in column.values[::step]]))


def _meeting(codes: Codes) -> float:
    """The chance that two records hold the same value here."""
    counts = np.bincount(codes[codes != MISSING]).astype(float)
    return float((counts * (counts - 1)).sum() / max(len(codes) * (len(codes) - 1.0), 1.0))


def _cost(records: Records, key: Key, rarity: dict[Part, float]) -> float:
    """Pairs that a key makes, were its parts independent."""
    return float(len(records) * (len(records) - 1.0) / 2 * np.prod([rarity[part] for part in key.parts]))


def _offers(records: Records, parts: list[Part], rarity: dict[Part, float], pairs: float) -> list[Key]:
    """Keys of one, two or three columns that are not too costly, and not needlessly narrow."""
    meets = [part for part in parts if rarity[part] > 0]
    offers: list[Key] = []
    for size in (1, 2, 3):
        for some in combinations(meets, size):
            if len({part.column for part in some}) < size:
                continue
            key = Key(some)
            narrow = (
                any(_cost(records, Key(tuple(p for p in some if p != part)), rarity) <= NARROW * len(records) for part in some)
                and size > 1
            )
            if not narrow and _cost(records, key, rarity) <= pairs / 3:
                offers.append(key)
        if size == 2 and len(offers) >= 40:
            break
    return sorted(offers, key=lambda key: (len(key.parts), _cost(records, key, rarity), str(key)))[:300]


def _mishaps(records: Records, parts: Sequence[Part], close: Mapping[str, Said]) -> dict[Part, Bools]:
    """For made-up pairs of one person whether each part of them still agrees.

    Where values only come close, how often they agree, and what stands beside them, is seen in pairs that share a rare value.
    """
    rng = np.random.default_rng(7)
    moved = rng.random(MADE_UP) < MOVED
    agrees: dict[Part, Bools] = {}
    for column in records.columns:
        filled = float((column.codes != MISSING).mean())
        present = (rng.random(MADE_UP) < filled) & (rng.random(MADE_UP) < filled)
        kept = present & (rng.random(MADE_UP) >= REPLACED)
        if column.field.kind in HOME:
            kept &= ~moved
        mistyped = rng.random(MADE_UP) < MISTYPED
        for part in (part for part in parts if part.column == column.field.name):
            survives = (part.of != "whole") & (rng.random(MADE_UP) < SURVIVES)
            agrees[part] = kept & (~mistyped | survives)
        said = close.get(column.field.name)
        seen = said.pairs if said else near.vouched(records, column, close)
        if seen is not None:
            drawn = rng.integers(0, len(seen.left), MADE_UP)
            for part in (part for part in parts if part.column == column.field.name):
                codes, _ = transformed(column, part.of)
                ours, theirs = codes[seen.left[drawn]], codes[seen.right[drawn]]
                agrees[part] = present & (ours == theirs) & (ours != MISSING)
    return agrees


class _Costs:
    """Pairs that keys make: guessed as if their parts were independent, and counted for a key once it is about to be taken."""

    def __init__(self, records: Records, coded: dict[Part, Codes], guessed: dict[Key, float]) -> None:
        self._records = records
        self._coded = coded
        self._known = dict(guessed)
        self._counted: set[Key] = set()
        self._share = max(1, len(records) // COUNTED)
        self._slices: dict[Part, npt.NDArray[np.int64]] = {}

    def __getitem__(self, key: Key) -> float:
        return self._known[key]

    def per_record(self, key: Key) -> float:
        """Pairs for each record of the table."""
        return self._known[key] / len(self._records)

    def count(self, key: Key) -> bool:
        """Count what the key makes, in a slice of its values where the table is large; False if it was counted before."""
        if key in self._counted:
            return False
        self._counted.add(key)
        together = np.sort(_together(self._slice(key), key, self._coded))
        starts = np.flatnonzero(np.r_[True, together[1:] != together[:-1]]) if len(together) else together
        sizes = np.diff(np.r_[starts, len(together)]).astype(float)
        self._known[key] = self._share * float((sizes * (sizes - 1) / 2).sum())
        return True

    def _slice(self, key: Key) -> npt.NDArray[np.int64]:
        """All rows with some of the values of the part that has most."""
        part = max(key.parts, key=lambda part: int(self._coded[part].max(initial=0)))
        if part not in self._slices:
            codes = self._coded[part]
            self._slices[part] = np.flatnonzero((codes != MISSING) & (_mixed(codes) % np.uint64(self._share) == 0))
        return self._slices[part]


def _together(rows: npt.NDArray[np.int64], key: Key, coded: dict[Part, Codes]) -> npt.NDArray[np.uint64]:
    """What rows hold of a key, mixed to a number, without the rows that do not fill it."""
    for part in key.parts:
        rows = rows[coded[part][rows] != MISSING]
    together = np.zeros(len(rows), dtype=np.uint64)
    for part in key.parts:
        together = (together ^ _mixed(coded[part][rows])) * np.uint64(0x9E3779B97F4A7C15)
    return together


def _mixed(codes: Codes) -> npt.NDArray[np.uint64]:
    numbers = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return numbers ^ (numbers >> np.uint64(32))


def _greedy(offers: Sequence[Key], agrees: dict[Part, Bools], costs: _Costs, pairs: float) -> tuple[list[Key], list[str]]:
    """The key that finds most of what is not found yet for its cost, again and again, until the pairs are spent."""
    hits = {key: np.logical_and.reduce([agrees[part] for part in key.parts]) for key in offers}
    missed = np.ones(MADE_UP, dtype=bool)
    chosen: list[Key] = []
    why: list[str] = []
    spent = 0.0
    while len(chosen) < MOST_KEYS:
        gains = {key: float((hits[key] & missed).mean()) for key in offers if key not in chosen and spent + costs[key] <= pairs}
        gains = {key: gain for key, gain in gains.items() if gain >= LEAST_GAIN}
        if not gains:
            break
        best = max(gains, key=lambda key: gains[key] / (costs.per_record(key) + FIXED_COST))
        if costs.count(best):
            continue
        chosen.append(best)
        spent += costs[best]
        missed &= ~hits[best]
        why.append(
            f"{best}: {gains[best]:.1%} of made-up pairs that no key before it finds, for {costs.per_record(best):.2f} pairs a record"
        )
    return chosen, why
