"""Candidates: which pairs of records are worth a closer look, without comparing everyone with everyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.identity.records import keys as exact
from whence.identity.records import text
from whence.identity.records.keys import Capped, Key, Part
from whence.identity.records.table import MISSING, Column, Pairs, Records


@dataclass(frozen=True)
class Budget:
    """What retrieval may spend."""

    candidates: int = 10
    """Partners per record that a search may return."""
    cap: int = 50
    """Partners per record that a key may return."""
    searched: int = 200_000
    """Tables with more records than this are not searched by text."""


@dataclass(frozen=True)
class Search:
    """A search by the terms of these columns together, with the best `k` per record."""

    parts: tuple[Part, ...]
    k: int

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
            "searches": [{"parts": exact.to_json(Key(each.parts)), "k": each.k} for each in self.searches],
            "cap": self.cap,
            "why": list(self.why),
        }

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> Plan:
        """The plan from plain values."""
        return cls(
            keys=tuple(exact.from_json(key) for key in plan.get("keys", ())),
            searches=tuple(Search(exact.from_json(each["parts"]).parts, int(each["k"])) for each in plan.get("searches", ())),
            cap=int(plan.get("cap", 50)),
            why=tuple(plan.get("why", ())),
        )


@dataclass(frozen=True)
class Found:
    """What one key or search brought."""

    by: str
    pairs: int
    only: int
    """Pairs that nothing else brought."""


@dataclass(frozen=True)
class Report:
    """What retrieval made, and what it left out."""

    records: int
    pairs: int
    found: tuple[Found, ...] = ()
    capped: tuple[Capped, ...] = ()

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
    parts, capped = [], []
    for blocked in exact.block(records, plan.keys, plan.cap) if plan.keys and len(records) > 1 else ():
        parts.append(blocked.pairs)
        capped.extend(blocked.capped)
    for each in plan.searches:
        hits = text.search(records, text.index(records, each.parts), each.k)
        low, high = np.minimum(hits.query, hits.other), np.maximum(hits.query, hits.other)
        parts.append(np.unique(low.astype(np.int64) * len(records) + high))
    whom = [*map(str, plan.keys), *map(str, plan.searches)]
    return _together(records, parts, whom[: len(parts)], tuple(capped))


def _together(records: Records, parts: list[npt.NDArray[np.int64]], whom: list[str], capped: tuple[Capped, ...]) -> Candidates:
    ordered = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
    distinct = ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered  # np.unique is 10 times slower
    by = np.zeros(len(distinct), dtype=np.uint64)
    for number, part in enumerate(parts):
        by[np.searchsorted(distinct, part)] |= np.uint64(1 << number)
    found = tuple(
        Found(name, len(part), int((by == np.uint64(1 << number)).sum()))
        for number, (name, part) in enumerate(zip(whom, parts, strict=True))
    )
    size = max(len(records), 1)
    pairs = Pairs((distinct // size).astype(np.int32), (distinct % size).astype(np.int32))
    return Candidates(pairs, Report(len(records), len(distinct), found, capped), by)


def suggest(records: Records, budget: Budget | None = None) -> Plan:
    """A plan found from the data alone, without labels."""
    budget = budget or Budget()
    useful = [column for column in records.columns if len(column.values) > 1]
    keys = tuple(_keys(records, useful))
    worded = tuple(Part(column.field.name, text.TERMS[column.field.kind]) for column in useful)
    searches = (Search(worded, budget.candidates),) if worded and len(records) <= budget.searched else ()
    return Plan(keys, searches, budget.cap, ())


def _keys(records: Records, useful: list[Column]) -> list[Key]:
    """Whole values that are rare by themselves, and pairs of columns that are rare together."""
    rare = [column for column in useful if _partners(column) <= 5]
    common = [
        column
        for column in useful
        if column not in rare and column.field.kind != "category" and _partners(column) < len(records) / 20
    ]
    return [
        *(Key((Part(one.field.name),)) for one in rare),
        *(Key((Part(a.field.name), Part(b.field.name))) for a, b in combinations(common, 2)),
    ]


def _partners(column: Column) -> float:
    """How many others hold the same value, for a record picked at random among those that hold one."""
    counts = column.counts
    return float((counts * (counts - 1)).sum() / max(counts.sum(), 1))


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
