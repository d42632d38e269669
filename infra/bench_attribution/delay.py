"""Rows on late labels: how much of what they cost each correction wins back, in a world whose final labels are known.

The world has 160,000 clicks in 60 days of 60 campaigns that start and stop; half of the conversions take more than a day
and the last ones a month. A model learns at day 45 from 30 days and is judged on the clicks of the next seven by their final
labels. Learner and rounds are those of the training room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.special import expit

from infra.benching import Row, verdict
from training.delayed import CONTEST, correction, taught
from training.examples import Examples, made
from training.fit import PARAMETERS
from training.learner import NO_QUERY, ROUNDS, Learner, raw
from whence.bundle import encode
from whence.contracts.models import FeatureSchema
from whence.delay import CORRECTIONS, DEFAULT, as_known, refund_curve
from whence.measures import log_losses
from whence.world.delays import CATEGORIES, NUMBERS, Clicks, Delays, clicks
from whence.world.ids import Floats, Marks

NOW, SPAN, TEST, WEEK = 45.0, 30.0, 7.0, 7.0
"""The day of training, how many days it learns from, how many it is judged on, and until when a campaign is new."""
MAIN = Delays()
OTHERS = {
    "campaigns that differ much in pace, and many of them": replace(
        MAIN, clicks=80_000, window=10.0, scale=2.0, own_pace=1.0, campaigns=400, entangled=0.0
    ),
    "devices that convert after a trial of six days": replace(MAIN, clicks=80_000, window=10.0, scale=0.6, trial_days=6.0),
}
"""Worlds that are less kind to the default, with a window that leaves history enough for a contest at day 45."""
ORACLE = "final labels"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SHARE, LEVEL, NEW_LEVEL = 0.9, (0.95, 1.05), (0.9, 1.1)
SEEDS = 5
"""Worlds of each kind at least, and twice as many for the default: by five, the luck of the test labels moves the gap by 2 %."""
RESAMPLES = 2000
TRIES = 2
"""Each model is fitted with so many seeds of its own and their log-odds are meant, as the draw of columns would blur a gap."""


@dataclass(frozen=True)
class Judged:
    """One model's answers on the test clicks of one world."""

    loss: float
    """Mean log-loss by the final labels."""
    true_loss: float
    """The same by the true chances, without the luck of the labels."""
    came: float
    foretold: float
    came_new: float
    """Of campaigns that are under a week old at the click."""
    foretold_new: float


def measure(runs: int) -> list[Row]:
    """All rows of this part, over so many seeds."""
    seeds = range(1, max(runs, SEEDS) + 1)
    some = [judged(replace(MAIN, seed=seed), (ORACLE, *CORRECTIONS)) for seed in seeds]
    more = [judged(replace(MAIN, seed=len(seeds) + seed), (ORACLE, DEFAULT, "naive")) for seed in seeds]
    worlds = [*some, *more]
    rows = [gap(worlds), luckless(worlds), *levels(worlds)]
    rows += [others(some, name) for name in CORRECTIONS if name not in (DEFAULT, "naive")]
    return [*rows, *(contested(name, world, seeds) for name, world in OTHERS.items()), net(seeds)]


def judged(world: Delays, names: Sequence[str], tries: int = TRIES) -> dict[str, Judged]:
    """What each correction comes to in one world; ORACLE is taught the final labels."""
    told = clicks(world)
    test = (told.at >= NOW) & (told.at < NOW + TEST)
    examples = examples_of(told, world, (told.at >= NOW - SPAN) & (told.at < NOW))
    final = told.converts[(told.at >= NOW - SPAN) & (told.at < NOW)].astype(np.float64)
    learner = learner_of(examples)
    everybody = np.ones(len(final), dtype=bool)

    def said(name: str) -> Floats:
        lesson = replace(learner, label=final) if name == ORACLE else taught(name, examples, everybody, learner)
        learners = [replace(lesson, parameters={**lesson.parameters, "seed": seed}) for seed in range(1, tries + 1)]
        scores = [raw(each.trained(everybody, ROUNDS), told.features[test]) for each in learners]
        return np.asarray(expit(np.mean(scores, axis=0)))

    return {name: _judge(told, test, said(name)) for name in names}


def examples_of(told: Clicks, world: Delays, rows: Marks) -> Examples:
    """These clicks as the training room has them, with labels as known at NOW."""
    at, known = told.at[rows], told.known(NOW)[rows]
    happened = pd.Series(pd.Timestamp(FIRST) + pd.to_timedelta(at, unit="D"))
    inputs = pd.DataFrame(told.features[rows], columns=[*NUMBERS, *CATEGORIES])
    inputs[list(CATEGORIES)] = inputs[list(CATEGORIES)].astype(np.int64).astype(str)
    facts = pd.DataFrame({"row_id": np.arange(len(at)), "happened_at": happened, "seen_at": happened, "delay_days": known})
    facts = facts.assign(label=(~np.isnan(known)).astype(np.int64), group="", baseline_group="all")
    facts = facts.assign(person=told.person[rows].astype(str), segment=told.device[rows].astype(str))
    return made(inputs, facts, CATEGORIES, FIRST + timedelta(days=NOW), world.window)


def learner_of(examples: Examples) -> Learner:
    """The training room's learner; a category's code is its number in the world, so that test clicks have the same."""
    known = {name: tuple(str(code) for code in range(int(examples.inputs[name].astype(int).max()) + 1)) for name in CATEGORIES}
    schema, n = FeatureSchema(NUMBERS, known), len(examples.facts)
    parameters = {**PARAMETERS, "seed": 7, "num_threads": 1}
    matrix = encode(examples.inputs, schema)
    return Learner(schema, matrix, examples.labels.copy(), np.ones(n), parameters, np.full(n, NO_QUERY))


def gap(worlds: Sequence[Mapping[str, Judged]]) -> Row:
    """Of the log-loss between labels as seen and final ones, the share that the default wins back."""
    share = closed(worlds, DEFAULT)
    low, high = _interval(worlds, lambda drawn: closed(drawn, DEFAULT))
    naive, best = (float(np.mean([world[name].loss for world in worlds])) for name in ("naive", ORACLE))
    return Row(
        f"late labels, share of the naive-to-oracle gap in log-loss closed ({DEFAULT})",
        f"{share:.1%}",
        f"[{low:.1%}, {high:.1%}]",
        "≥ 90 %",
        verdict(met=share >= SHARE),
        f"{len(worlds)} seeds, interval over them; log-loss {naive:.4f} naive, {best:.4f} with final labels",
    )


def luckless(worlds: Sequence[Mapping[str, Judged]]) -> Row:
    """The same, judged by the true chances of the test clicks instead of the labels that they happened to draw."""
    share = closed(worlds, DEFAULT, "true_loss")
    low, high = _interval(worlds, lambda drawn: closed(drawn, DEFAULT, "true_loss"))
    return Row(
        f"late labels, the same by the true chances of the test clicks ({DEFAULT})",
        f"{share:.1%}",
        f"[{low:.1%}, {high:.1%}]",
        "≥ 90 %",
        verdict(met=share >= SHARE),
        "without the luck of the draw",
    )


def levels(worlds: Sequence[Mapping[str, Judged]]) -> list[Row]:
    """Conversions that came over those foretold, in all and for new campaigns."""
    return [_level(worlds, "", LEVEL), _level(worlds, "_new", NEW_LEVEL)]


def others(worlds: Sequence[Mapping[str, Judged]], name: str) -> Row:
    """What another way comes to in the same worlds."""
    low, high = _interval(worlds, lambda drawn: closed(drawn, name))
    return Row(
        f"late labels, gap closed ({name})",
        f"{closed(worlds, name):.1%}",
        f"[{low:.1%}, {high:.1%}]",
        note=f"observed/expected {ratio(worlds, name, ''):.3f}, campaigns under a week old {ratio(worlds, name, '_new'):.3f}",
    )


def contested(what: str, world: Delays, seeds: Sequence[int]) -> Row:
    """Whom the contest chooses at day 45, and what its choice costs on the days after against the best."""
    chosen, worlds = [], []
    for seed in seeds:
        here = replace(world, seed=seed)
        told = clicks(here)
        examples = examples_of(told, here, told.at < NOW)
        chosen.append(correction(examples, np.ones(len(examples.facts), dtype=bool), learner_of(examples), CONTEST).winner)
        worlds.append(judged(here, (ORACLE, *CORRECTIONS), tries=1))
    every = {name: closed(worlds, name, "true_loss") for name in CORRECTIONS}
    picked = [{**world, "picked": world[name]} for world, name in zip(worlds, chosen, strict=True)]
    told_of = ", ".join(f"{name} {share:.0%}" for name, share in every.items())
    counts = ", ".join(f"{name} {chosen.count(name)} times" for name in dict.fromkeys(chosen))
    return Row(
        f"late labels, the contest: {what}",
        f"{closed(picked, 'picked', 'true_loss'):.1%} of the gap by its choice",
        note=f"it chose {counts}; gap closed by the true chances: {told_of}",
    )


def net(seeds: Sequence[int]) -> Row:
    """Conversions that remain over those foretold to remain, from what is known of refunds at day 45."""
    remained, foretold = [], []
    for seed in seeds:
        told = clicks(replace(MAIN, seed=seed))
        bought = told.converts & (told.at + told.delay < NOW)
        elapsed, back = NOW - (told.at + told.delay)[bought], told.refunded_after[bought]
        then = as_known(elapsed, back, 0.0)
        curve = refund_curve(then.elapsed, then.delay, NOW, told.device[bought])
        stands = np.isnan(then.delay)
        foretold.append(float(curve.net_share(then.elapsed[stands], told.device[bought][stands]).sum()))
        remained.append(float(np.isnan(back[stands]).sum()))
    each = np.array(remained) / np.array(foretold)
    return Row(
        "late labels, refunds: conversions that remain over those foretold to remain",
        f"{sum(remained) / sum(foretold):.3f}",
        f"seeds {each.min():.3f} to {each.max():.3f}",
        note="of the conversions that stand at day 45, by the curve of their device",
    )


def closed(worlds: Sequence[Mapping[str, Judged]], name: str, by: str = "loss") -> float:
    """The share of the gap over several worlds, in which a world counts by its gap."""
    naive, here, best = (sum(float(getattr(world[each], by)) for world in worlds) for each in ("naive", name, ORACLE))
    return (naive - here) / (naive - best)


def ratio(worlds: Sequence[Mapping[str, Judged]], name: str, which: str) -> float:
    """Observed over expected, of all worlds' test clicks together."""
    came, foretold = (sum(float(getattr(world[name], f"{part}{which}")) for world in worlds) for part in ("came", "foretold"))
    return came / foretold


def _level(worlds: Sequence[Mapping[str, Judged]], which: str, allowed: tuple[float, float]) -> Row:
    value = ratio(worlds, DEFAULT, which)
    low, high = _interval(worlds, lambda drawn: ratio(drawn, DEFAULT, which))
    each = [ratio([world], DEFAULT, which) for world in worlds]
    best = [ratio([world], ORACLE, which) for world in worlds]
    return Row(
        f"late labels, observed over expected{', campaigns under a week old' if which else ''} ({DEFAULT})",
        f"{value:.3f}",
        f"[{low:.3f}, {high:.3f}]",
        f"{allowed[0]}–{allowed[1]}",
        verdict(met=allowed[0] <= value <= allowed[1]),
        f"all test clicks of {len(worlds)} seeds; seed by seed {min(each):.2f} to {max(each):.2f}, with final labels "
        f"{min(best):.2f} to {max(best):.2f} (campaigns that nobody has seen yet), in all {ratio(worlds, ORACLE, which):.3f}",
    )


def _judge(told: Clicks, test: Marks, said: Floats) -> Judged:
    final, chance = told.converts[test].astype(np.float64), told.chance[test]
    is_new = told.at[test] - told.starts[told.campaign[test]] < WEEK
    by_chance = chance * log_losses(np.ones(len(said)), said) + (1 - chance) * log_losses(np.zeros(len(said)), said)
    return Judged(
        float(log_losses(final, said).mean()),
        float(by_chance.mean()),
        float(final.sum()),
        float(said.sum()),
        float(final[is_new].sum()),
        float(said[is_new].sum()),
    )


def _interval(
    worlds: Sequence[Mapping[str, Judged]], statistic: Callable[[Sequence[Mapping[str, Judged]]], float]
) -> tuple[float, float]:
    """The middle 95 % over worlds drawn with repetition."""
    draw = np.random.default_rng(0)
    drawn = [statistic([worlds[i] for i in draw.integers(0, len(worlds), len(worlds))]) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
