"""Candidates: which pairs of records are worth a closer look, without comparing everyone with everyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.identity.records import choose, text
from whence.identity.records import keys as exact
from whence.identity.records.keys import Capped, Key, PairCodes, Part
from whence.identity.records.table import MISSING, Floats, Pairs, Records


@dataclass(frozen=True)
class Budget:
    """What retrieval may spend."""

    candidates: int = 10
    """Partners per record that a search may return; twice as many where a person may have many records in one source."""
    cap: int = 50
    """Partners per record that a key may return."""
    searched: int = 60_000
    """Tables with more records than this are not searched by text."""
    by_keys: float = 4.0
    """Pairs per record that all keys together may make, where keys are all there is."""
    by_keys_beside_search: float = 2.0
    """Pairs per record that all keys together may make beside a search."""


@dataclass(frozen=True)
class Search:
    """A search by the terms of these columns together, with the best `k` of each record.

    Where no source holds a person twice, it is `k` for each record of the smallest source.
    """

    parts: tuple[Part, ...]
    k: int
    weights: tuple[float, ...] | None = None
    """How much each part counts; None for one part."""

    def __str__(self) -> str:
        return f"the {self.k} nearest by {', '.join(str(part) for part in self.parts)}"


@dataclass(frozen=True)
class Plan:
    """How candidates are found."""

    keys: tuple[Key, ...] = ()
    searches: tuple[Search, ...] = ()
    cap: int = 50
    why: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "keys": [exact.to_json(key) for key in self.keys],
            "searches": [
                {
                    "parts": exact.to_json(Key(each.parts)),
                    "k": each.k,
                    "weights": None if each.weights is None else list(each.weights),
                }
                for each in self.searches
            ],
            "cap": self.cap,
            "why": list(self.why),
        }

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> Plan:
        """The plan from plain values."""
        return cls(
            keys=tuple(exact.from_json(key) for key in plan.get("keys", ())),
            searches=tuple(_search_from(each) for each in plan.get("searches", ())),
            cap=int(plan.get("cap", 50)),
            why=tuple(plan.get("why", ())),
        )


def _search_from(each: Mapping[str, Any]) -> Search:
    weights = each.get("weights")
    return Search(exact.from_json(each["parts"]).parts, int(each["k"]), None if weights is None else tuple(map(float, weights)))


@dataclass(frozen=True)
class Found:
    """What one key or search brought."""

    by: str
    pairs: int
    only: int
    """Pairs that nothing else brought."""
    limited: int = 0
    """Blocks above the cap for a key, terms too common to be worth their cost for a search."""


@dataclass(frozen=True)
class Report:
    """What retrieval made, and what it left out."""

    records: int
    pairs: int
    found: tuple[Found, ...] = ()
    capped: tuple[Capped, ...] = ()
    """The largest blocks above the cap of each key."""
    estimated_recall: float | None = None
    """See `estimate`."""

    @property
    def per_record(self) -> float:
        """Candidates per record: each pair counts for both of its records."""
        return 2 * self.pairs / self.records if self.records else 0.0


@dataclass(frozen=True)
class Candidates:
    """Pairs worth a closer look, who found them, and what it took."""

    pairs: Pairs
    report: Report
    by: npt.NDArray[np.uint64] = field(repr=False, default_factory=lambda: np.empty(0, dtype=np.uint64))
    """A bit for each key and search of the plan, in the order of the report's `found`."""


def retrieve(records: Records, plan: Plan) -> Candidates:
    """All candidate pairs of a plan, each once, with left < right."""
    if len(plan.keys) + len(plan.searches) > 64:
        raise ValueError(
            f"A plan has at most 64 keys and searches, and this one {len(plan.keys) + len(plan.searches)}. Take some out."
        )
    parts: list[PairCodes] = []
    limited: list[int] = []
    capped: list[Capped] = []
    if len(records) > 1:
        for blocked in exact.block(records, plan.keys, plan.cap) if plan.keys else ():
            parts.append(blocked.pairs)
            limited.append(blocked.large)
            capped.extend(blocked.capped)
        for each in plan.searches:
            held = text.index(records, each.parts, each.weights)
            parts.append(_nearest(records, held, each.k))
            limited.append(held.dropped)
    return _together(records, plan, parts, limited, tuple(capped))


def _nearest(records: Records, held: text.Index, k: int) -> PairCodes:
    """The pairs of a search as sorted codes.

    Where no source holds a person twice, both sides are asked, a pair counts by its ranks on both, and each record of the
    smallest source keeps its best `k`: a record that is near to everyone is not crowding out who is near to one.
    """
    size = len(records)
    if not records.unique_sources or records.source is None:
        hits = text.search(records, held, k)
        return _distinct(np.sort(_codes(hits, size)))
    hits = text.search(records, held, 2 * k)
    codes = _codes(hits, size)
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.r_[True, codes[order][1:] != codes[order][:-1]]) if len(codes) else order
    worth = np.add.reduceat(1.0 / (FUSE + hits.rank[order]), first) if len(codes) else np.empty(0)
    return _best_of_small(records, codes[order][first], worth, k)


FUSE = 5.0
"""Reciprocal ranks are 1 / (FUSE + rank): the smaller, the more the first ranks count."""


def _best_of_small(records: Records, codes: PairCodes, worth: Floats, k: int) -> PairCodes:
    assert records.source is not None
    left, right = codes // len(records), codes % len(records)
    sizes = np.bincount(records.source)
    rank_of_source = np.empty(len(sizes), dtype=np.int64)
    rank_of_source[np.argsort(sizes, kind="stable")] = np.arange(len(sizes))
    place = rank_of_source[records.source]
    small = np.where(place[left] <= place[right], left, right)
    order = np.lexsort((codes, -worth, small))
    return np.sort(codes[order][text.places(small[order]) < k])


def _codes(hits: text.Hits, size: int) -> PairCodes:
    return np.minimum(hits.query, hits.other).astype(np.int64) * size + np.maximum(hits.query, hits.other)


def _distinct(ordered: PairCodes) -> PairCodes:
    """Each value of a sorted array once; np.unique is ten times slower."""
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def _together(records: Records, plan: Plan, parts: list[PairCodes], limited: list[int], capped: tuple[Capped, ...]) -> Candidates:
    distinct = _distinct(np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts])))
    by = np.zeros(len(distinct), dtype=np.uint64)
    for number, part in enumerate(parts):
        by[np.searchsorted(distinct, part)] |= np.uint64(1 << number)
    whom = [*map(str, plan.keys), *map(str, plan.searches)]
    found = tuple(
        Found(whom[number], len(part), int((by == np.uint64(1 << number)).sum()), limited[number])
        for number, part in enumerate(parts)
    )
    size = max(len(records), 1)
    pairs = Pairs((distinct // size).astype(np.int32), (distinct % size).astype(np.int32))
    estimated = estimate(records, plan, pairs, by)
    return Candidates(pairs, Report(len(records), len(distinct), found, capped, estimated), by)


def estimate(records: Records, plan: Plan, pairs: Pairs, by: npt.NDArray[np.uint64]) -> float | None:
    """The share of plausible pairs found, without labels, by capture and recapture (Petersen 1896, in Chapman's form).

    Two keys that share no column catch plausible pairs independently of each other, as far as that goes: if one misses
    many of the other's, all together miss some. The median over such keys; None where there are none. Pairs of which all
    is wrong at once are seen by nobody, so that this is rather too high.
    """
    if not len(pairs.left) or len(plan.keys) < 2:
        return None
    step = -(-len(pairs.left) // ESTIMATED)  # every so many pairs of a large table
    pairs, by = Pairs(pairs.left[::step], pairs.right[::step]), by[::step]
    good = choose.plausible(records, pairs.left, pairs.right)
    caught = [(by[good] >> np.uint64(number)) & np.uint64(1) == 1 for number in range(len(plan.keys))]
    columns = [{part.column for part in key.parts} for key in plan.keys]
    shares = []
    for one, two in combinations(range(len(plan.keys)), 2):
        both = int((caught[one] & caught[two]).sum())
        if not columns[one] & columns[two] and both >= ENOUGH:
            total = (caught[one].sum() + 1) * (caught[two].sum() + 1) / (both + 1) - 1
            shares.append(min(1.0, float(good.sum() / total)))
    return float(np.median(shares)) if shares else None


ESTIMATED = 300_000
"""Pairs from which recall is estimated, at most about."""
ENOUGH = 20
"""Pairs that two keys must both catch before they say anything about the rest."""


def suggest(records: Records, budget: Budget | None = None) -> Plan:
    """A plan found from the data alone, without labels: which columns are searched and how much each counts, and which keys.

    A table that is small enough is searched, and keys only add what agrees exactly; a larger one gets keys alone.
    """
    budget = budget or Budget()
    if len(records) < 2:
        return Plan(cap=budget.cap, why=("fewer than two records",))
    searches, why = (
        _searches(records, budget) if len(records) <= budget.searched else ((), ["too many records to search; keys alone"])
    )
    per_record = budget.by_keys_beside_search if searches else budget.by_keys
    keys, reasons = choose.keys(records, per_record * len(records))
    return Plan(tuple(keys), searches, budget.cap, (*why, *reasons))


def _searches(records: Records, budget: Budget) -> tuple[tuple[Search, ...], list[str]]:
    weighed, left_out = choose.weigh(records)
    if not weighed:
        return (), left_out
    k = budget.candidates if records.unique_sources else 2 * budget.candidates
    search = Search(tuple(each.part for each in weighed), k, tuple(each.weight for each in weighed))
    return (search,), [*(each.why for each in weighed), *left_out]


def truth(records: Records) -> Pairs:
    """All pairs of records of one known person; of different sources where a source never holds one person twice."""
    if records.labels is None:
        return Pairs(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))
    known = np.flatnonzero(records.labels != MISSING)
    order = known[np.argsort(records.labels[known], kind="stable")]
    same = records.labels[order]
    left, right = [], []
    for step in range(1, len(order)):
        agree = same[step:] == same[:-step]
        if not agree.any():
            break
        left.append(order[:-step][agree])
        right.append(order[step:][agree])
    if not left:
        return Pairs(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))
    one, two = np.concatenate(left), np.concatenate(right)
    if records.unique_sources and records.source is not None:
        other = records.source[one] != records.source[two]
        one, two = one[other], two[other]
    order = np.lexsort((two, one))
    return Pairs(one[order].astype(np.int32), two[order].astype(np.int32))


def recall(candidates: Candidates, true: Pairs) -> float:
    """The share of true pairs among the candidates; NaN when there are none."""
    if not len(true.left):
        return float("nan")
    size = candidates.report.records
    sought = true.left.astype(np.int64) * size + true.right
    held = candidates.pairs.left.astype(np.int64) * size + candidates.pairs.right
    return float(np.isin(sought, held).mean())
