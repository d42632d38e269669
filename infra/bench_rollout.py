"""Measures what rollouts find: challengers that are no worse and are stopped, and harms of a declared size that are caught.

Traffic is drawn, decisions are the service's own: the same counts, looks, boundaries and steps. People differ in how often they
come, fail, wait and score, and stay in their arm; both models err alike where there is no harm.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.benching import Row, about, interleaved, verdict, write
from registry.rollouts import WATCH, Rollout, RolloutPolicy, Step, load_policy
from registry.succession import ABORT, CANARY, FINISH, PROMOTE, ROLLBACK, SHADOW
from serving.rollouts.rollout import FAILURES, LEVEL, LOSS, SCORES, SLOWNESS, WORDS, Evidence, next_step
from serving.rollouts.tally import ASKED, BINS, EDGES, FAILED, FIELDS, SLOW, Book, Counts
from whence.contracts.models import IDENTITY_RANKER
from whence.measures import arms
from whence.measures.arms import CHALLENGER, CHAMPION, GROUPS
from whence.measures.levels import log_losses
from whence.measures.sequential import Look

ROLLOUTS = 400
PEOPLE = 20_000
LABEL_LOOKS = 8
"""Days that labels ripen over."""
FAILS, SLOWS = 0.002, 0.01
NONE = "none"
START = datetime(2026, 5, 1, tzinfo=UTC)
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Harm:
    """What is wrong with a challenger: added failures and slow answers, and what is done to its log-odds."""

    words: str
    failures: float = 0.0
    slowness: float = 0.0
    score_shift: float = 0.0
    noise: float = 0.0
    label_shift: float = 0.0


HARMS: Mapping[str, Harm] = {
    NONE: Harm("no worse than the champion"),
    FAILURES: Harm("fails 0.8 answers in a hundred more, where 0.2 fail", failures=0.008),
    SLOWNESS: Harm("one answer in a hundred more is slow, where one is", slowness=0.01),
    SCORES: Harm("its log-odds moved by 1.3", score_shift=1.3),
    LOSS: Harm("noise of 0.65 in its log-odds", noise=0.65),
    LEVEL: Harm("its log-odds half too high", label_shift=0.5),
}
MOST_FALSE, LEAST_FOUND = 0.05, 0.80


@dataclass(frozen=True)
class Ended:
    """How a rollout ended."""

    kind: str
    """abort, rollback, or watch when it is champion and stays it."""
    found_by: str
    answered: int
    """Answers that the challenger gave to people until then."""


@dataclass
class World:
    """People whose traffic and labels are drawn."""

    rng: np.random.Generator
    harm: Harm

    def __post_init__(self) -> None:
        self.height = self.rng.random(PEOPLE)
        self.group = self.rng.integers(0, GROUPS, PEOPLE)
        activity = self.rng.lognormal(0, 1, PEOPLE)
        self.often = np.cumsum(activity / activity.sum())
        self.fails = np.minimum(FAILS * self.rng.lognormal(-0.5, 1, PEOPLE), 1.0)
        self.slows = np.minimum(SLOWS * self.rng.lognormal(-0.5, 1, PEOPLE), 1.0)
        self.score = self.rng.normal(0, 1.5, PEOPLE)

    def answers(self, rollout: Rollout, requests: int) -> Counts:
        """What so many requests bring: to both arms in the shadow and the watch, to the person's arm in a canary."""
        who = np.searchsorted(self.often, self.rng.random(requests))
        counts = np.zeros((2, GROUPS, FIELDS), dtype=np.int64)
        both = rollout.stage != CANARY
        for arm in (CHAMPION, CHALLENGER):
            mine = who if both else who[(self.height[who] < rollout.share) == (arm == CHALLENGER)]
            self._add(counts[arm], mine, self.harm if arm == CHALLENGER else HARMS[NONE])
        return counts

    def labels(self, people: int) -> tuple[Numbers, Numbers, Numbers, npt.NDArray[np.int64]]:
        """Labels, both probabilities, and whose they are: one to four rows of each of so many people."""
        who = np.repeat(np.arange(people), self.rng.integers(1, 5, people))
        true = self.rng.normal(-1.5, 1.2, people)[who] + self.rng.normal(0, 0.5, len(who))
        label = (self.rng.random(len(who)) < _sigmoid(true)).astype(np.float64)
        champion, challenger = (true + self.rng.normal(0, 0.3, len(who)) for _ in range(2))
        challenger = challenger + self.harm.label_shift + self.rng.normal(0, 1, len(who)) * self.harm.noise
        return label, _sigmoid(champion), _sigmoid(challenger), who

    def _add(self, counts: Counts, who: npt.NDArray[np.int64], harm: Harm) -> None:
        group = self.group[who]
        counts[:, ASKED] += np.bincount(group, minlength=GROUPS)
        counts[:, FAILED] += np.bincount(group[self.rng.random(len(who)) < self.fails[who] + harm.failures], minlength=GROUPS)
        counts[:, SLOW] += np.bincount(group[self.rng.random(len(who)) < self.slows[who] + harm.slowness], minlength=GROUPS)
        scores = _sigmoid(self.score[who] + self.rng.normal(0, 1, len(who)) + harm.score_shift)
        cells = group * (len(EDGES) + 1) + np.searchsorted(EDGES, scores, side="right")
        counts[:, BINS:] += np.bincount(cells, minlength=GROUPS * (len(EDGES) + 1)).reshape(GROUPS, -1)


def one(seed: int, name: str, policy: RolloutPolicy) -> Ended:
    """One whole rollout with this harm, from the shadow to its end, the watch included."""
    world = World(np.random.default_rng(seed), HARMS[name])
    rollout = Rollout(IDENTITY_RANKER, 1, "a" * 64, "b" * 64, SHADOW, 0.0, 1, START, policy)
    labels: Sequence[dict[str, list[Look]]] = [dict(_label_looks(world, policy, number)) for number in range(2)]
    answered = 0
    while True:
        step, given = _stage(world, rollout, labels[rollout.stage == WATCH])
        answered += given
        if step is None or step.kind in (ABORT, ROLLBACK):
            return Ended(step.kind if step else WATCH, _found_by(step), answered)
        rollout = replace(rollout, stage=WATCH if step.kind == PROMOTE else step.kind, share=step.share, epoch=rollout.epoch + 1)


def rates(seeds: Sequence[int], name: str) -> dict[str, Any]:
    """What came of the rollouts of these seeds: how many were stopped, by which check, and after how many answers to people."""
    policy = replace(load_policy(IDENTITY_RANKER), least_hours=0.0)
    ended = [one(seed, name, policy) for seed in seeds]
    stopped = [each for each in ended if each.kind != WATCH]
    return {
        "n": len(ended),
        "stopped": len(stopped),
        "before": sum(each.kind == ABORT for each in ended),
        "by": {check: sum(each.found_by == check for each in stopped) for check in (*HARMS, "")},
        "answered": statistics.median(each.answered for each in ended),
    }


def job(name: str, seeds: int) -> dict[str, Any]:
    """The rates over so many rollouts, and how large the harm is; for a process of its own."""
    return {**rates(range(seeds), name), "size": _size(name)}


def main() -> int:
    """Measure, print the table, write it to docs/benchmarks; 1 when a row is short."""
    policy = load_policy(IDENTITY_RANKER)
    done = interleaved({name: partial(job, name, ROLLOUTS) for name in HARMS}, 1)
    found = {name: runs.answers[0] for name, runs in done.items()}
    plan = f"{policy.answers:,} answers of the challenger a stage, {policy.labelled_people:,} people with labels, {policy.looks} looks"
    rows = [_false_alarms(found[NONE]), *(_caught(name, found[name]) for name in HARMS if name != NONE)]
    facts = about("make bench-rollout", rollouts=f"{ROLLOUTS} a row", planned=plan, stages="shadow, 5 %, 25 %, watch")
    return write("rollout", rows, facts, title="Rollouts: what is stopped, and what is not")


def _false_alarms(found: Mapping[str, Any]) -> Row:
    share, spread = _share(found["stopped"], found["n"])
    note = f"over all looks and checks of all stages, {found['answered']:,.0f} answers to people each"
    is_met = found["stopped"] / found["n"] <= MOST_FALSE
    return Row("stopped though no worse", share, spread, f"≤ {MOST_FALSE:.0%}", verdict(met=is_met), note)


def _caught(name: str, found: Mapping[str, Any]) -> Row:
    share, spread = _share(found["stopped"], found["n"])
    before = f"{found['before']} of {found['n']} before it was champion; answers to people until then, in the median, {found['answered']:,.0f}"
    size = f" ({found['size']})" if found["size"] else ""
    is_met = found["stopped"] / found["n"] >= LEAST_FOUND
    return Row(f"found: {HARMS[name].words}{size}", share, spread, f"≥ {LEAST_FOUND:.0%}", verdict(met=is_met), before)


def _share(hits: int, n: int) -> tuple[str, str]:
    """The share with its exact 95 % interval (Clopper and Pearson)."""
    from scipy.special import betaincinv

    low = float(betaincinv(hits, n - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return f"{hits / n:.1%} ({hits} of {n})", f"[{low:.1%}, {high:.1%}]"


def _size(name: str) -> str:
    """How large the harm is in the terms of its check, from many rows."""
    world = World(np.random.default_rng(0), HARMS[name])
    if name == SCORES:
        counts = world.answers(Rollout("", 0, "", "", SHADOW, 0.0, 0, START, load_policy(IDENTITY_RANKER)), 200_000)
        return f"a stability index of {arms.stability(counts[..., BINS:].sum(axis=1)):.2f}"
    if name not in (LOSS, LEVEL):
        return ""
    label, champion, challenger, _ = world.labels(100_000)
    if name == LOSS:
        more = float(log_losses(label, challenger).mean() / log_losses(label, champion).mean()) - 1
        return f"{more:.1%} more log loss"
    return f"observed over expected of {label.sum() / challenger.sum():.2f}"


def _stage(world: World, rollout: Rollout, labels: Mapping[str, list[Look]]) -> tuple[Step | None, int]:
    """Draw the stage's traffic, a twentieth of its plan at a time, until a step follows; and the answers that people got."""
    policy, book, given = rollout.policy, Book(Path(), rollout.epoch, rollout.policy), 0
    share = rollout.share if rollout.stage == CANARY else 1.0
    for second in range(25):
        ripe = {name: looks[: round((second + 1) / 20 * LABEL_LOOKS)] for name, looks in labels.items()}
        book.take(second, world.answers(rollout, round(policy.answers / 20 / share)))
        book.settle(second + 1)
        given = int(book.total[CHALLENGER, :, ASKED].sum()) if rollout.stage in (CANARY, WATCH) else 0
        step = next_step(
            rollout, Evidence(book.looks, ripe if _sees_labels(rollout) else {}, book.broken()), START + timedelta(hours=1)
        )
        if step is not None:
            return step, given
    return None, given


def _sees_labels(rollout: Rollout) -> bool:
    """Labels take days: they are ripe in the last canary, and in the watch."""
    return rollout.stage in (FINISH, WATCH) or rollout.share >= rollout.policy.shares[-1]


def _label_looks(world: World, policy: RolloutPolicy, number: int) -> Iterator[tuple[str, list[Look]]]:
    label, champion, challenger, who = world.labels(policy.labelled_people)
    for name, judge in (
        (LOSS, partial(arms.loss, tolerated=policy.loss)),
        (LEVEL, partial(arms.level, tolerated=policy.calibration)),
    ):
        looks = []
        for day in range(1, LABEL_LOOKS + 1):
            seen = who < day / LABEL_LOOKS * policy.labelled_people
            looks.append(Look(day / LABEL_LOOKS, judge(label[seen], champion[seen], challenger[seen], who[seen])))
        yield name, looks


def _found_by(step: Step | None) -> str:
    """The check that a stop names first."""
    if step is None:
        return ""
    return next((name for name, words in WORDS.items() if words in step.reasons[0]), "")


def _sigmoid(x: Numbers) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-x)))


if __name__ == "__main__":
    from infra import bench_rollout  # so that a process of its own finds the job by its name

    sys.exit(bench_rollout.main())
