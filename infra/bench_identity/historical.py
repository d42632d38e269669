"""The historical figures, 50,578 records of 5,156 people, end to end: without labels, and with those of a tenth of the people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.bench_identity import peers
from infra.benching import Interval, Row, Runs, absent, interleaved, ratio, together, verdict

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TARGETS = {"no labels": (0.83, 0.865), "a tenth of the people labelled": (0.88, 0.90)}
COST = 2.0
RESAMPLES = 400
SHOWN = 10
"""One person in so many is labelled."""


def measure(runs: int) -> list[Row]:
    """Pair F1 and B-cubed F1 of the people found, and CPU time against Splink in processes of its own, run in turn."""
    if not peers.HISTORICAL.exists():
        return [absent("historical figures, end to end", f"pair F1 ≥ {TARGETS['no labels'][0]}")]
    with TemporaryDirectory() as folder:
        timed = together([interleaved(_jobs(seed, folder), 1) for seed in range(runs)])
        theirs = peers.judged(peers.HISTORICAL, "cluster", Path(folder))
    rows = []
    for name, target in TARGETS.items():
        rows += _rows(name, timed[name], timed["splink"], target)
    told = f"Splink in the same rounds, best of all thresholds: pairs {theirs['pair_f1']:.3f}, B-cubed {theirs['b_cubed']:.3f}"
    return [*rows, Row("historical figures, Splink", f"{theirs['pair_f1']:.3f}", target="published 0.757", note=told)]


def _jobs(seed: int, folder: str) -> dict[str, Callable[[], Any]]:
    """One round, in turn forwards and backwards; each has another seed, so that no figure rests on a lucky one."""
    source = str(peers.HISTORICAL)
    jobs: dict[str, Callable[[], Any]] = {
        "no labels": partial(ours, source, 0, seed),
        "a tenth of the people labelled": partial(ours, source, SHOWN, seed),
        "splink": partial(peers.historical, source, folder),
    }
    return jobs if seed % 2 == 0 else dict(reversed(jobs.items()))


def ours(source: str, every: int, seed: int) -> dict[str, Any]:
    """Resolve the figures from the table alone, with the people labelled of which one in `every` is drawn (0 for none)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from whence.identity.records import fields
    from whence.identity.records.resolve import Options, resolve

    table = pq.read_table(source)
    person = np.asarray(table["cluster"].to_pylist(), dtype=object)
    bare = table.drop_columns(["cluster"])
    chosen = fields.guess(bare)
    shown = np.asarray([every > 0 and _number(each) % every == 0 for each in person])
    if every:
        bare = bare.append_column(
            "known_person", pa.array([each if is_shown else None for each, is_shown in zip(person, shown, strict=True)])
        )
        chosen = replace(chosen, label="known_person")
    found = resolve(bare, chosen, Options(seed=seed))
    at = {name: place for place, name in enumerate(table["unique_id"].to_pylist())}
    order = np.asarray([at[name] for name in found.records.ids])
    truth = np.unique(person[order].astype(str), return_inverse=True)[1]
    hidden = ~shown[order]
    same = truth[found.pairs.left] == truth[found.pairs.right]
    sizes = np.bincount(truth)
    return {
        "all": quality(found.people, truth),
        "hidden": quality(found.people[hidden], truth[hidden]),
        "recall": float(same.sum() / (sizes * (sizes - 1) // 2).sum()),
        "candidates": len(same),
    }


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def quality(found: Ints, truth: Ints) -> dict[str, tuple[float, list[float]]]:
    """Pair F1 and B-cubed F1, each with those of people drawn again."""
    person = np.unique(truth, return_inverse=True)[1]
    group = np.unique(found, return_inverse=True)[1]
    both = np.unique(np.column_stack([person, group]), axis=0, return_inverse=True)[1].ravel()
    a, b, ab = (np.bincount(each)[each].astype(np.float64) for each in (person, group, both))
    sums = np.column_stack(
        [np.bincount(person, each) for each in ((ab - 1) / 2, (b - 1) / 2, (a - 1) / 2, ab / b, ab / a, np.ones(len(a)))]
    )
    weights = np.random.default_rng(0).poisson(1.0, (RESAMPLES, len(sums)))
    whole, drawn = sums.sum(axis=0, keepdims=True), np.asarray(weights @ sums, dtype=np.float64)
    return {name: (float(of(whole)[0]), of(drawn).tolist()) for name, of in (("pair", _pair), ("b3", _b3))}


def _pair(sums: Floats) -> Floats:
    return np.asarray(2 * sums[:, 0] / (sums[:, 1] + sums[:, 2]))


def _b3(sums: Floats) -> Floats:
    precision, recall = sums[:, 3] / sums[:, 5], sums[:, 4] / sums[:, 5]
    return np.asarray(2 * precision * recall / (precision + recall))


def _over_seeds(answers: Sequence[Mapping[str, Any]], which: str, measure: str) -> tuple[Interval, str]:
    """The mean over the seeds, with an interval over seeds and people drawn again, and the figure of each seed."""
    values = [answer[which][measure][0] for answer in answers]
    low, high = np.quantile(np.concatenate([answer[which][measure][1] for answer in answers]), [0.025, 0.975])
    return Interval(float(np.mean(values)), float(low), float(high)), ", ".join(f"{value:.3f}" for value in values)


def _rows(name: str, found: Runs, splink: Runs, target: tuple[float, float]) -> list[Row]:
    answers = found.answers
    (pair, pairs), (b3, b3s) = _over_seeds(answers, "all", "pair"), _over_seeds(answers, "all", "b3")
    cost = ratio(found.cpu, splink.cpu)
    note = f"by seed {pairs}; {answers[0]['candidates']:,} candidates, recall {answers[0]['recall']:.3f}"
    if name != "no labels":
        hidden = [_over_seeds(answers, "hidden", measure)[0].value for measure in ("pair", "b3")]
        note += f"; records of people without a label alone: pairs {hidden[0]:.3f}, B-cubed {hidden[1]:.3f}"
    what = f"historical figures, {name}: "
    return [
        Row(what + "pair F1", f"{pair.value:.3f}", pair.show(3), f"≥ {target[0]}", verdict(met=pair.value >= target[0]), note),
        Row(
            what + "B-cubed F1",
            f"{b3.value:.3f}",
            b3.show(3),
            f"≥ {target[1]}",
            verdict(met=b3.value >= target[1]),
            f"by seed {b3s}",
        ),
        Row(
            what + "CPU time against Splink",
            f"{cost.value:.2f}",
            cost.show(),
            f"≤ {COST:g}",
            verdict(met=cost.value <= COST),
            f"{found.median:.1f} s and {splink.median:.1f} s, whole processes, {len(found.cpu)} rounds",
        ),
    ]
