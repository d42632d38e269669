"""What the optional extras would add: sentence vectors beside BM25 in retrieval, and their cosine as evidence for pairs."""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.bench_identity import deepmatcher
from infra.benching import DATA, Row
from whence.identity.records import embed, fields, text
from whence.identity.records.embed import Encoder, Sentences
from whence.identity.records.keys import Part
from whence.identity.records.table import Field, Fields, Records

FOLDER = DATA / "er_benchmarks" / "pyjedai"
SETS = {
    "D2 (Abt-Buy)": ("ccer_D2", "abt", "buy", "|", "name"),
    "D3 (Amazon-Google)": ("ccer_D3", "amazon", "gp", "#", "title"),
}
"""The sets of products, where vectors might earn their place; titles alone, so that both searches see the same."""
PAIR_SETS = ("Abt-Buy", "Amazon-Google")
K = 10
RANK = 60
"""Of reciprocal rank fusion: Cormack, Clarke, Büttcher (2009)."""
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Titles:
    """The records of both sources, and which are one, as positions of the left and the right record."""

    records: Records
    true: npt.NDArray[np.int64]


def measure(runs: int) -> list[Row]:
    """One row for each extra and set; without the extra a row that says so. There is no target: none is needed."""
    told = Row(
        "language model adjudicator",
        "not measured: no endpoint",
        note="admitted by whence.identity.records.adjudicate.judge alone",
    )
    if not embed.is_installed():
        return [Row("sentence vectors", "not installed", note="pip install 'whence[embed]' and run again"), told]
    return [*rows(Sentences(), runs), told]


def rows(encoder: Encoder, runs: int) -> list[Row]:
    """The rows for any encoder."""
    return [*(_retrieval(name, encoder) for name in SETS), *(_pairs(name, encoder, runs) for name in PAIR_SETS)]


def _retrieval(name: str, encoder: Encoder) -> Row:
    if not (FOLDER / SETS[name][0]).is_dir():
        return Row(f"{name}: vectors in retrieval", "not measured: the set is not there")
    given = titles(name)
    by_words = _by_words(given)
    started = time.process_time()
    by_vectors = _by_vectors(given, encoder)
    seconds = time.process_time() - started
    fused = 1 / (RANK + by_words) + 1 / (RANK + by_vectors)
    both = np.argsort(np.argsort(-fused, axis=1, kind="stable"), axis=1, kind="stable")
    words, vectors, together = (_recall(given, ranks) for ranks in (by_words, by_vectors, both))
    return Row(
        f"{name}: recall@{K} with vectors less without",
        f"{100 * (together - words):+.1f} points",
        note=f"BM25 {words:.3f}, vectors alone {vectors:.3f}, both by reciprocal rank {together:.3f}; vectors take {seconds:.0f} CPU s",
    )


def _pairs(name: str, encoder: Encoder, runs: int) -> Row:
    folder, _ = deepmatcher.SETS[name]
    if not (deepmatcher.FOLDER / folder).is_dir():
        return Row(f"{name}: cosine as evidence", "not measured: the set is not there")
    given = deepmatcher.read(deepmatcher.FOLDER / folder)
    evidence, alone = deepmatcher.described(given)
    more = [embed.cosines(column, encoder, given.pairs) for column in embed.worded(given.records)]
    gains = [
        deepmatcher.judged(given, embed.joined(evidence, more), alone, seed)[1]
        - deepmatcher.judged(given, evidence, alone, seed)[1]
        for seed in range(max(runs, 2))
    ]
    return Row(
        f"{name}: test F1 with cosine less without",
        f"{mean(gains):+.2f} points",
        f"± {stdev(gains):.2f} over {len(gains)} seeds",
        note=f"one cosine for each of {len(more)} columns of words",
    )


def titles(name: str) -> Titles:
    """A set's titles, with the left source first."""
    folder, left, right, delimiter, column = SETS[name]
    sides = [list(_lines(folder, side, delimiter)) for side in (left, right)]
    found = [(f"{side}{row:06d}", "ab"[side], line[column]) for side, lines in enumerate(sides) for row, line in enumerate(lines)]
    ids, sources, texts = zip(*found, strict=True)
    table = pa.table({"row": ids, "side": sources, "title": texts})
    records = fields.prepare(table, Fields((Field("title", "text"),), id="row", source="side", unique_sources=True))
    place = [{line["id"]: row for row, line in enumerate(lines)} for lines in sides]
    gold = [list(line.values()) for line in _lines(folder, "gt", delimiter)]
    true = np.array([(place[0][a], len(sides[0]) + place[1][b]) for a, b in gold], dtype=np.int64)
    return Titles(records, true)


def _lines(folder: str, name: str, delimiter: str) -> Iterator[dict[str, str]]:
    with gzip.open(FOLDER / folder / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def _sides(given: Titles) -> tuple[int, int]:
    source = given.records.source
    left = int((source == 0).sum()) if source is not None else 0
    return left, len(given.records) - left


def _by_words(given: Titles) -> Ranks:
    """The rank of each right record for each left one by BM25 over 3-grams; those that share nothing come last."""
    left, right = _sides(given)
    hits = text.search(given.records, text.index(given.records, [Part("title", "grams")]), right, np.arange(left))
    ranks = np.full((left, right), right, dtype=np.int64)
    ranks[hits.query, hits.other - left] = hits.rank
    return ranks


def _by_vectors(given: Titles, encoder: Encoder) -> Ranks:
    left, _ = _sides(given)
    column = given.records.columns[0]
    vectors = encoder.encode(column.values)
    held = vectors[column.codes]
    near = np.round(held[:left] @ held[left:].T, 6)
    return np.argsort(np.argsort(-near, axis=1, kind="stable"), axis=1, kind="stable")


def _recall(given: Titles, ranks: Ranks) -> float:
    left, _ = _sides(given)
    return float((ranks[given.true[:, 0], given.true[:, 1] - left] < K).mean())
