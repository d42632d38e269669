"""The command as a stranger runs it: files in, people out, no labels and no fields file, on every public set that is here,
and on tables made up to mislead it.
"""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from infra.bench_identity import made_up
from infra.bench_identity.historical import quality
from infra.benching import DATA, Interval, Row, absent
from whence.identity.records import reading
from whence.identity.records.publish import Request, publish

Pairs = Iterable[tuple[str, str]]
"""True pairs of record ids."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORCE = "figures are wanted of what the fuse would hold back, too"
PUBLIC, FEBRL, SPLINK = DATA / "er_benchmarks" / "pyjedai", DATA / "febrl", DATA / "splink_demo"


@dataclass(frozen=True)
class Given:
    """A set: the files that the command gets, and which of their records are one."""

    name: str
    files: tuple[Path, ...]
    true: Callable[[Mapping[str, int]], Pairs]
    """From all record ids to the pairs that are one."""


def measure(runs: int) -> list[Row]:
    """A row for each set; there is no target, and no set was left out because it goes badly."""
    with TemporaryDirectory() as folder:
        sets = [*_sets(), *_made_up(Path(folder))]
        there = [each for each in sets if all(file.exists() for file in each.files)]
        rows = [_measured(each) if each in there else absent(_what(each), "") for each in sets]
        return [*rows, *(_measured(_in_one(Path(folder), each)) for each in there if each.name.startswith("D"))]


def _sets() -> Iterator[Given]:
    for number in (1, 2, 3):
        yield Given(f"febrl {number}", (FEBRL / f"dataset{number}.csv",), _entity)
    yield Given("febrl 4", (FEBRL / "dataset4a.csv", FEBRL / "dataset4b.csv"), _entity)
    yield Given("fake people", (SPLINK / "fake_1000.csv",), _fake)
    for name, folder, files in (
        ("D1 restaurants", "ccer_D1", ("rest1", "rest2")),
        ("D2 Abt-Buy", "ccer_D2", ("abt", "buy")),
        ("D3 Amazon-Google", "ccer_D3", ("amazon", "gp")),
        ("D4 DBLP-ACM", "ccer_D4", ("dblp", "acm")),
        ("D5 IMDb-TMDb", "ccer_D5", ("imdb", "tmdb")),
    ):
        yield Given(
            name, tuple(PUBLIC / folder / f"{file}.csv.gz" for file in files), _gold(PUBLIC / folder / "gt.csv.gz", files)
        )
    yield Given("Cora", (PUBLIC / "der_cora" / "cora.csv.gz",), _gold(PUBLIC / "der_cora" / "cora_gt.csv.gz", ("",), skipped=0))
    yield Given("CDDB", (PUBLIC / "der_cddb" / "cddb.csv.gz",), _gold(PUBLIC / "der_cddb" / "gt.csv.gz", ("",)))
    both = (SPLINK / "transactions_origin.parquet", SPLINK / "transactions_destination.parquet")
    yield Given("bank transfers", both, _transfers(both))


def _made_up(folder: Path) -> Iterator[Given]:
    for name, paths, who in made_up.tables(folder):
        yield Given(f"made-up {name}", paths, partial(_known, who))


def _in_one(folder: Path, given: Given) -> Given:
    """Two lists as one table that does not say whose a row is."""
    both = reading.read(given.files)
    name, path = both.table.column_names[0], folder / f"{given.name}.csv"
    sources, rows = both.table[both.source].to_pylist(), both.table[name].to_pylist()
    ids = pa.array([f"{source}/{row}" for source, row in zip(sources, rows, strict=True)])
    pyarrow.csv.write_csv(both.table.set_column(0, name, ids).drop_columns([str(both.source)]), path)
    return Given(f"{given.name} in one table", (path,), given.true)


def _measured(given: Given) -> Row:
    with TemporaryDirectory() as folder:
        started = time.process_time()
        outcome = publish(Request(given.files, Path(folder) / "out", force=FORCE), NOW)
        seconds = time.process_time() - started
        with (Path(folder) / "out" / "people.csv").open() as rows:
            found = {row["record_id"]: row["person_id"] for row in csv.DictReader(rows)}
    place = {name: at for at, name in enumerate(found)}
    truth = _components(
        len(place), [(place[left], place[right]) for left, right in given.true(place) if {left, right} <= place.keys()]
    )
    people = np.unique(np.array(list(found.values())), return_inverse=True)[1].astype(np.int64)
    measured = quality(people, truth)
    pair, b3 = (Interval(value, *np.quantile(drawn, [0.025, 0.975])) for value, drawn in measured.values())
    note = f"B-cubed {b3.value:.3f} {b3.show(3)}; {_right(people, truth)}; {len(place):,} records, {seconds:.0f} CPU s; {outcome.basis}"
    return Row(_what(given), f"{pair.value:.3f}", pair.show(3), note=note)


def _right(people: np.ndarray, truth: np.ndarray) -> str:
    """How many of the pairs that were joined are true, and how many of the true ones were joined."""
    joined, true, both = (_pairs(each) for each in (people, truth, people * (truth.max() + 1) + truth))
    return f"{both / max(joined, 1):.1%} of the joined pairs are true, {both / max(true, 1):.1%} of the true ones joined"


def _pairs(groups: np.ndarray) -> int:
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def _what(given: Given) -> str:
    return f"without labels or settings, {given.name}: pair F1"


def _components(number: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    from whence.identity.clusters import components

    both = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return components(number, both[:, 0], both[:, 1]).astype(np.int64)


def _chained(groups: Iterable[list[str]]) -> Iterator[tuple[str, str]]:
    for group in groups:
        yield from pairwise(group)


def _grouped(of: Mapping[str, str]) -> Pairs:
    groups: dict[str, list[str]] = {}
    for name, whose in of.items():
        groups.setdefault(whose, []).append(name)
    return _chained(groups.values())


def _known(who: Mapping[str, str], place: Mapping[str, int]) -> Pairs:
    return _grouped({name: who[name] for name in place})


def _entity(place: Mapping[str, int]) -> Pairs:
    """Febrl tells it in the id: rec-223-org and rec-223-dup-0 are one."""
    return _grouped({name: name.split("rec-")[-1].split("-")[0] for name in place})


def _fake(place: Mapping[str, int]) -> Pairs:
    with (SPLINK / "fake_1000.csv").open() as rows:
        return _grouped({row["unique_id"]: row["cluster"] for row in csv.DictReader(rows)})


def _gold(path: Path, files: tuple[str, ...], skipped: int = 1) -> Callable[[Mapping[str, int]], Pairs]:
    def true(place: Mapping[str, int]) -> Pairs:
        first, last = files[0], files[-1]
        with gzip.open(path, "rt") as lines:
            for line in list(lines)[skipped:]:
                left, right = (part.strip() for part in _parted(line))
                yield _named(place, first, left), _named(place, last, right)

    return true


def _transfers(files: tuple[Path, ...]) -> Callable[[Mapping[str, int]], Pairs]:
    def true(place: Mapping[str, int]) -> Pairs:
        whose = {}
        for file in files:
            rows = pq.read_table(file, columns=["unique_id", "ground_truth"])
            for name, answer in zip(rows["unique_id"].to_pylist(), rows["ground_truth"].to_pylist(), strict=True):
                whose[_named(place, file.stem, str(name))] = str(answer)
        return _grouped(whose)

    return true


def _parted(line: str) -> list[str]:
    mark = next(each for each in "|#%," if each in line)
    return line.strip().split(mark)


def _named(place: Mapping[str, int], file: str, name: str) -> str:
    """A record's name as people.csv has it: with its source where two sources use the same ids."""
    return next((each for each in (name, f"{file}/{name}") if each in place), name)
