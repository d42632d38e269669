"""Retrieval: how many of the true pairs are among the candidates of a plan that was found without labels."""

from __future__ import annotations

import csv
import gzip
import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from infra.benching import DATA, RESAMPLES, Interval, Row, absent, verdict
from whence.identity.clusters import components
from whence.identity.records import fields, reading, text
from whence.identity.records.retrieve import Candidates, Plan, recall, retrieve, suggest, truth
from whence.identity.records.table import Pairs, Records

Bools = npt.NDArray[np.bool_]

TARGETS = {10: 0.985, 50: 0.998}


@dataclass(frozen=True)
class Linkage:
    """Two tables and the pairs of their rows that are one thing."""

    name: str
    folder: str
    tables: tuple[str, str]


SETS = (
    Linkage("D1 restaurants", "ccer_D1", ("rest1", "rest2")),
    Linkage("D2 Abt-Buy", "ccer_D2", ("abt", "buy")),
    Linkage("D3 Amazon-Google", "ccer_D3", ("amazon", "gp")),
    Linkage("D4 DBLP-ACM", "ccer_D4", ("dblp", "acm")),
    Linkage("D5 IMDb-TMDb", "ccer_D5", ("imdb", "tmdb")),
)
PUBLIC = DATA / "er_benchmarks" / "pyjedai"
HISTORICAL = DATA / "splink_demo" / "historical_figures_with_errors_50k.parquet"


def measure(runs: int) -> list[Row]:
    """Two rows for each set of two tables, at 10 and at 50 candidates a query, and one for the set of historical people."""
    rows = []
    for each in SETS:
        folder = PUBLIC / each.folder
        if not folder.exists():
            rows += [absent(_what(each, k), f"≥ {target}") for k, target in TARGETS.items()]
            continue
        records, gold = read(each, folder)
        rows += [_linkage(each, records, gold, k, runs) for k in TARGETS]
    return [*rows, _historical(runs)]


def read(linkage: Linkage, folder: Path) -> tuple[Records, Pairs]:
    """The records of both tables as the command reads them, kinds and common columns as guessed, and the true pairs by position."""
    given = reading.read([folder / f"{name}.csv.gz" for name in linkage.tables])
    found = fields.study(given.table, given.source).fields
    records = fields.prepare(given.table, replace(found, unique_sources=True))
    place = {name: at for at, name in enumerate(records.ids)}

    def at(table: str, row: str) -> int:
        return place[row] if row in place else place[f"{table}/{row}"]

    one, two = linkage.tables
    true = {tuple(sorted((at(one, left), at(two, right)))) for left, right in _lines(folder / "gt.csv.gz")[1:]}
    ordered = np.array(sorted(true), dtype=np.int32)
    return records, Pairs(ordered[:, 0], ordered[:, 1])


def _lines(path: Path) -> list[list[str]]:
    whole = gzip.decompress(path.read_bytes()).decode()
    header = whole.partition("\n")[0]
    return list(csv.reader(io.StringIO(whole), delimiter=max("|%#,", key=header.count)))


def _linkage(linkage: Linkage, records: Records, gold: Pairs, k: int, runs: int) -> Row:
    seconds, plan, found = [], Plan(), None
    for _ in range(max(runs, 1)):
        start = time.process_time()
        plan = suggest(records)
        plan = Plan(searches=tuple(replace(search, k=k) for search in plan.searches), cap=plan.cap, why=plan.why)
        found = retrieve(records, plan)
        seconds.append(time.process_time() - start)
    assert found is not None
    hit = _hits(found, gold)
    value = _by_query(records, gold, hit)
    return Row(
        _what(linkage, k),
        f"{value.value:.4f}",
        value.show(4),
        f"≥ {TARGETS[k]}",
        verdict(met=value.value >= TARGETS[k]),
        f"{len(found.pairs.left)} pairs, {statistics.median(seconds):.1f} CPU s; by {_named(plan)}; {_reach(records, plan, gold):.4f} share a 3-gram there",
    )


def _what(linkage: Linkage, k: int) -> str:
    return f"candidate recall @{k}, {linkage.name}, automatic choice"


def _named(plan: Plan) -> str:
    search = plan.searches[0]
    return ", ".join(
        f"{part.column.rsplit('/', 1)[-1]} {weight:.2f}"
        for part, weight in zip(search.parts, search.weights or (1.0,) * len(search.parts), strict=True)
    )


def _hits(found: Candidates, gold: Pairs) -> Bools:
    size = found.report.records
    held = found.pairs.left.astype(np.int64) * size + found.pairs.right
    return np.isin(gold.left.astype(np.int64) * size + gold.right, held)


def _by_query(records: Records, gold: Pairs, hit: Bools) -> Interval:
    """The share of gold pairs found, with a 95 % bootstrap interval over the records of the smaller source."""
    assert records.source is not None
    small = np.argmin(np.bincount(records.source))
    query = np.where(records.source[gold.left] == small, gold.left, gold.right)
    number = np.unique(query, return_inverse=True)[1]
    pairs, found = np.bincount(number), np.bincount(number, weights=hit)
    drawn = np.random.default_rng(0).integers(0, len(pairs), (RESAMPLES // 4, len(pairs)))
    shares = np.sort(found[drawn].sum(axis=1) / pairs[drawn].sum(axis=1))
    return Interval(float(hit.mean()), float(shares[int(0.025 * len(shares))]), float(shares[int(0.975 * len(shares)) - 1]))


def _reach(records: Records, plan: Plan, gold: Pairs) -> float:
    """The share of gold pairs that share any term of the columns searched: no search by these columns finds more."""
    held = text.index(records, plan.searches[0].parts, plan.searches[0].weights).held
    return float((np.asarray(held[gold.left].multiply(held[gold.right]).sum(axis=1)).ravel() > 0).mean())


def _historical(runs: int) -> Row:
    what = "candidate recall, historical 50k, automatic choice"
    if not HISTORICAL.exists():
        return absent(what)
    table = pq.read_table(HISTORICAL)
    records = fields.prepare(table, replace(fields.guess(table), label="cluster"))
    true = truth(records)
    seconds: list[float] = []
    for _ in range(max(runs, 1)):
        start = time.process_time()
        found = retrieve(records, suggest(records))
        seconds.append(time.process_time() - start)
    return Row(
        what,
        f"{recall(found, true):.4f}",
        target="≥ 0.90",
        verdict=verdict(met=recall(found, true) >= 0.90),
        note=f"{_closed(records, true, _hits(found, true)):.4f} once true candidates are joined; "
        f"{found.report.per_record:.1f} candidates a record, {statistics.median(seconds):.1f} CPU s",
    )


def _closed(records: Records, true: Pairs, hit: Sequence[bool] | Bools) -> float:
    """The share of true pairs that lie in one component of those found."""
    kept = np.asarray(hit)
    of = components(len(records), true.left[kept], true.right[kept])
    return float((of[true.left] == of[true.right]).mean())
