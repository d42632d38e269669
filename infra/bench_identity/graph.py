"""Rows on the graph: components against networkx, ids that do not depend on order or threads, and a day without a rebuild."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.benching import ONE_THREAD, REPOSITORY, Row, median_range, ratio, verdict
from whence.identity.clusters import cluster, components
from whence.identity.ledger import Ledger
from whence.identity.records import boosted, fields, incremental, resolve, retrieve
from whence.identity.records.compare import compare
from whence.identity.records.table import Floats, Pairs
from whence.world.registers import register

Ints = npt.NDArray[np.int64]

NODES, EDGES = 1_000_000, 700_000
SHUFFLES, SHUFFLED = 20, 5_000
DAY = 0.01
RECORDS_PER_REGION = 100_000
LEARNED = 200_000
"""Pairs that the scorer of the incremental row learns from."""


def measure(runs: int) -> list[Row]:
    """All rows of this part."""
    return [
        connected(runs),
        clustered(runs),
        *told(runs),
        shuffled(),
        *(joined(records, runs) for records in (100_000, 1_000_000)),
    ]


def connected(runs: int) -> Row:
    """Edges in, the component of each node out: ours against networkx, in turn, in one process."""
    left, right = edges()
    ours, theirs = [], []
    for _ in range(max(runs, 5)):
        seconds, codes = _timed(lambda: components(NODES, left, right))
        ours.append(seconds)
        seconds, judged = _timed(lambda: by_networkx(NODES, left, right))
        theirs.append(seconds)
        if not np.array_equal(codes, judged):
            raise AssertionError("networkx finds other components.")
    found = ratio(theirs, ours)
    return Row(
        f"connected components, {NODES:,} nodes, {EDGES:,} edges",
        f"{found.value:.0f} × networkx",
        found.show(0),
        "≥ 30 ×",
        verdict(met=found.value >= 30),
        f"{median_range(ours).value:.2f} against {median_range(theirs).value:.2f} CPU seconds; edges in, a number for each node out",
    )


def edges() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Random links among groups of records next to each other, as those of people are; in no order."""
    rng = np.random.default_rng(0)
    left = rng.integers(0, NODES, EDGES)
    right = np.minimum(left + rng.integers(1, 3, EDGES), NODES - 1)
    names = rng.permutation(NODES)
    return names[left].astype(np.int32), names[right].astype(np.int32)


def by_networkx(n: int, left: npt.NDArray[np.int32], right: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The same by networkx, numbered by the first node."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(zip(left.tolist(), right.tolist(), strict=True))
    codes = np.empty(n, dtype=np.int32)
    for number, members in enumerate(nx.connected_components(graph)):
        codes[list(members)] = number
    return codes


def clustered(runs: int) -> Row:
    """Correlation clustering of people of two on average, with doubts inside and links between households."""
    pairs, log_odds = doubtful()
    seconds = [_timed(lambda: cluster(NODES, pairs, log_odds))[0] for _ in range(runs)]
    found = median_range(seconds)
    return Row(
        f"correlation clustering, {NODES:,} records, {len(log_odds):,} pairs",
        f"{found.value:.2f} CPU seconds",
        found.show(),
        "≤ 1.5",
        verdict(met=found.value <= 1.5),
    )


def doubtful(pairs: int = 3_000_000) -> tuple[Pairs, Floats]:
    """Pairs within people, who are of geometric sizes, and random pairs of strangers; log-odds that are wrong for 2 %."""
    rng = np.random.default_rng(1)
    person = rng.permutation(np.repeat(np.arange(NODES), rng.geometric(1 / 1.9, NODES))[:NODES])
    order = np.argsort(person, kind="stable")
    keys = []
    for step in range(1, 8):
        is_one = person[order][step:] == person[order][:-step]
        one, two = order[:-step][is_one], order[step:][is_one]
        keys.append(np.minimum(one, two) * NODES + np.maximum(one, two))
    strangers = rng.integers(0, NODES, (2, pairs - sum(map(len, keys))))
    keys.append(strangers.min(axis=0) * NODES + strangers.max(axis=0))
    left, right = np.divmod(np.unique(np.concatenate(keys)), NODES)
    left, right = left[left < right].astype(np.int32), right[left < right].astype(np.int32)
    return Pairs(left, right), np.where(person[left] == person[right], 5.0, -5.0) + 2.5 * rng.standard_normal(len(left))


def told(runs: int) -> list[Row]:
    """A first publication of a million identifiers, and a million questions with a time each."""
    rng = np.random.default_rng(0)
    names = [f"record:{number:08d}" for number in range(NODES)]
    people, first = rng.integers(0, NODES * 53 // 100, NODES), datetime(2026, 5, 1, tzinfo=UTC)
    publications, questions = [], []
    for _ in range(runs):
        seconds, events = _timed(lambda: Ledger().publish((names, people), first, first, "a run"))
        publications.append(seconds)
        ledger, asked = Ledger().plus(events), pa.array(names).take(pa.array(rng.integers(0, NODES, NODES)))
        at = np.datetime64("2026-05-01", "us") + rng.integers(-5, 5, NODES).astype("timedelta64[D]")
        ledger.resolve("record:00000000", first, first)
        questions.append(_timed(lambda ledger=ledger, asked=asked, at=at: ledger.resolve_many(asked, at, at))[0])  # type: ignore[misc]
    published, answered = median_range(publications), median_range(questions)
    return [
        Row("ledger: publish 1,000,000 identifiers", f"{published.value:.2f} CPU seconds", published.show(), "≤ 3", verdict(met=published.value <= 3)),
        Row(
            "ledger: whose were they, as known then",
            f"{NODES / answered.value / 1e6:.1f} million a CPU second",
            f"[{NODES / answered.high / 1e6:.1f}, {NODES / answered.low / 1e6:.1f}]",
            "≥ 1",
            verdict(met=answered.value <= 1),
        ),
    ]  # fmt: skip


def shuffled() -> Row:
    """The person ids of a table whose rows come in another order each time, with one thread and with two."""
    answers = {person_ids(seed, threads) for threads in (1, 2) for seed in range(threads - 1, SHUFFLES, 2)}
    return Row(
        f"shuffled input, 1 and 2 threads, {SHUFFLES} runs",
        f"{len(answers)} different answer{'s' if len(answers) > 1 else ''}",
        target="identical ids",
        verdict=verdict(met=len(answers) == 1),
        note=f"{SHUFFLED:,} records of the generator, half of the people labelled; digests of record and person id from the ledger",
    )


def person_ids(seed: int, threads: int) -> str:
    """A digest of record and person id of a run in a process of its own."""
    env = {**os.environ, **dict.fromkeys(ONE_THREAD, str(threads))}
    argv = [sys.executable, "-m", "infra.bench_identity.graph", str(seed), str(threads)]
    said = subprocess.run(argv, cwd=REPOSITORY, env=env, check=True, capture_output=True, text=True).stdout
    return said.strip().splitlines()[-1]


def _person_ids(seed: int, threads: int) -> str:
    from hashlib import sha256

    table = register(SHUFFLED, seed=4)
    labels = [person if int(person.split("-")[1]) % 2 else None for person in table["person"].to_pylist()]
    table = table.drop(["person"]).append_column("label", pa.array(labels, pa.string()))
    told = replace(fields.guess(table.drop(["label"])), label="label")
    order = np.random.default_rng(seed).permutation(len(table))
    found = resolve.resolve(table.take(pa.array(order)), told, resolve.Options(threads=threads))
    now = datetime(2026, 5, 1, tzinfo=UTC)
    events = Ledger().publish((found.records.ids, found.people.tolist()), now, now, "a run")
    rows = json.dumps(list(zip(events["identifier"].to_pylist(), events["person_id"].to_pylist(), strict=True)))
    return sha256(rows.encode()).hexdigest()


def joined(records: int, runs: int) -> Row:
    """A day of 1 % new records, from the state on disk to the state on disk, against the rebuild; in turn, in one process."""
    table = register(records, seed=1, regions=max(1, records // RECORDS_PER_REGION))
    is_new = np.random.default_rng(2).random(records) < DAY
    base, day = table.filter(pa.array(~is_new)), table.filter(pa.array(is_new))
    frozen = _frozen(base)
    days, rebuilds = [], []
    with tempfile.TemporaryDirectory() as folder:
        incremental.save(incremental.rebuild(frozen, base), Path(folder))
        before = incremental.load(Path(folder))
        for number in range(runs if records <= RECORDS_PER_REGION else 1):
            seconds, whole = _timed(lambda: incremental.rebuild(frozen, table))
            rebuilds.append(seconds)
            into = Path(folder) / str(number)
            incremental.save(replace(before, names=(), kept_as=""), into)
            seconds, after = _timed(lambda into=into: incremental.add_day(into, day))  # type: ignore[misc]
            days.append(seconds)
            if not after.state.people().equals(whole.people()):
                raise AssertionError("The rebuild finds other people.")
    found = ratio(days, rebuilds)
    return Row(
        f"a day of {DAY:.0%} new records joins {records:,}",
        f"{found.value:.1%} of a rebuild, same people",
        f"[{found.low:.1%}, {found.high:.1%}]" if len(days) > 1 else "one run",
        "≤ 5 %",
        verdict(met=found.value <= 0.05),
        f"{median_range(days).value:.2f} against {median_range(rebuilds).value:.1f} CPU seconds; the rebuild neither guesses nor "
        "learns again, and the day reads and writes its state",
    )


def _frozen(base: pa.Table) -> incremental.Frozen:
    """Columns, keys and a scorer that has learned from labels, as the front door finds them."""
    told = replace(fields.guess(base.drop(["person"])), label="person")
    records = fields.prepare(base, told)
    assert records.labels is not None
    plan = replace(retrieve.suggest(records), searches=())
    pairs = retrieve.retrieve(records, plan).pairs
    some = np.sort(np.random.default_rng(0).permutation(len(pairs.left))[:LEARNED])
    chosen = Pairs(pairs.left[some], pairs.right[some])
    people = np.column_stack([records.labels[chosen.left], records.labels[chosen.right]]).astype(np.int64)
    same = (people[:, 0] == people[:, 1]).astype(np.float64)
    scorer = boosted.fit(compare(records, chosen), same, people, seeds=(0,))
    return incremental.freeze(records, told, plan, scorer)


def _timed(job: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came out."""
    started = time.process_time()
    answer = job()
    return time.process_time() - started, answer


if __name__ == "__main__":
    print(_person_ids(int(sys.argv[1]), int(sys.argv[2])))
