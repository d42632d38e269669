"""How late labels are made up for: the correction asked for, or the one that would have done best at an earlier deadline.

Nobody can judge today's corrections today: the labels that would tell are not in. So the deadline is set back until the
labels after it are ripe; each correction is fitted on what was known then and judged on what came since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from training.contest import Contest
from training.examples import Examples
from training.learner import Learner, raw
from training.split import buckets
from whence import measures
from whence.delay import CORRECTIONS, DEFAULT, MaturityCurve, Rows, as_known, correct, curves_by_segment, maturity_curve
from whence.measures import Measure

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CONTEST = "contest"
CHOICES = (CONTEST, *CORRECTIONS)
"""What `training.delay` may say."""
JUDGES = 0.3
"""Of the ripe rows the newest share, which judges; the deadline lies before it."""
MOST_ROWS = 40_000
"""A contest looks at whole people up to so many rows."""
LEAST = 100
"""Conversions that must have been known at the deadline, and that must have come after it."""
ROUNDS = 100


@dataclass(frozen=True)
class Watch:
    """For how many days each row had been watched, and after how many its conversion was known, NaN for none."""

    elapsed: Floats
    delay: Floats


@dataclass(frozen=True)
class Deadline:
    """Rows as known at an earlier time, and the later ones that have become ripe."""

    taught: Bools
    """Rows that had happened at the deadline."""
    judges: Bools
    """Rows that happened after it, and whose labels are ripe now."""
    back: float
    """How many days before now it lies."""


def choose(losses: Mapping[str, Floats], default: str, persons: npt.ArrayLike) -> Contest:
    """The default, unless another loses less for sure: then the one that saves most.

    `losses` are each correction's, row by row on the same rows. Differences are paired, over persons; as several
    challengers have several chances, their intervals are widened after Bonferroni before the lower end must exceed 0.
    """
    saved = {name: measures.paired_difference(losses[default], loss, persons) for name, loss in losses.items() if name != default}
    wider = NormalDist().inv_cdf(1 - 0.025 / max(len(saved), 1)) / NormalDist().inv_cdf(0.975)
    sure = {name: each for name, each in saved.items() if each.value - wider * (each.value - each.low) > 0}
    winner = max(sure, key=lambda name: sure[name].value, default=default)
    told = "; ".join(f"{name} saves {each}" for name, each in saved.items())
    verdict = f"{winner} is better than {default} for sure" if sure else f"{default} stays: nothing is better for sure"
    return Contest(winner, f"{verdict}. {told}", _numbers(losses, saved, persons))


def correction(examples: Examples, learned: Bools, learner: Learner, asked: str) -> Contest:
    """Which correction to teach with, and why; `asked` is one of CHOICES, `learned` the rows that may be learned from.

    Only these rows compete, so that those which judge the candidate later stay unseen.
    """
    if not examples.window_days:
        return Contest("naive", "no label is late")
    if asked != CONTEST:
        return Contest(asked, f"{asked}, as training.delay says")
    setting = deadline(examples, learned)
    if isinstance(setting, str):
        return Contest(DEFAULT, f"{DEFAULT} without a contest: {setting}")
    then = as_known_then(examples, setting)
    known = int((~np.isnan(then.delay[setting.taught])).sum()), int(examples.labels[setting.judges].sum())
    if min(known) < LEAST:
        words = f"{known[0]} conversions were known at a deadline {setting.back:.1f} days ago and {known[1]} came after it"
        return Contest(DEFAULT, f"{DEFAULT} without a contest: {words}; {LEAST} of each are needed")
    losses = {name: _losses(name, examples, setting, then, learner) for name in CORRECTIONS}
    return choose(losses, DEFAULT, examples.facts["person"].to_numpy()[setting.judges])


def taught(name: str, examples: Examples, rows: Bools, learner: Learner, watch: Watch | None = None) -> Learner:
    """The learner with these rows' labels and weights as the correction teaches them; as known now, or as watched then."""
    seen = watch or Watch(examples.elapsed(examples.now), examples.facts["delay_days"].to_numpy(dtype=np.float64))
    given = Rows.of(
        learner.matrix[rows],
        seen.elapsed[rows],
        np.minimum(seen.delay[rows], examples.window_days),  # one that was told of after the window is a conversion all the same
        examples.window_days,
        segment=examples.facts["segment"].to_numpy()[rows],
        categories=tuple(range(len(learner.schema.numbers), len(learner.schema.names))),
        seed=int(learner.parameters["seed"]),
        threads=int(learner.parameters["num_threads"]),
    )
    lesson = correct(name, given)
    label, weight = learner.label.copy(), learner.weight.copy()
    label[rows], weight[rows] = lesson.label, lesson.weight
    return replace(learner, label=label, weight=weight)


def maturity(examples: Examples) -> dict[str, Measure]:
    """Of the conversions that a row's window brings, the share known when half of it has passed; in all, and by segment."""
    window = examples.window_days
    if not window:
        return {}
    elapsed, delay = examples.elapsed(examples.now), examples.facts["delay_days"].to_numpy(dtype=np.float64)
    by_segment = curves_by_segment(elapsed, delay, examples.facts["segment"].astype(str).to_numpy(dtype=object), window)
    curves = {"": maturity_curve(elapsed, delay, window)} | {f"_{name}": curve for name, curve in by_segment.items()}
    return {f"labels_known_by_half_window{name}": _known_by(curve, window / 2) for name, curve in curves.items()}


def _known_by(curve: MaturityCurve, age: float) -> Measure:
    low, high = curve.interval(age)
    return Measure(float(curve.known_by(age)), float(low), float(high), curve.conversions)


def deadline(examples: Examples, learned: Bools) -> Deadline | str:
    """The newest deadline that leaves JUDGES of the ripe rows after it; in words why there is none.

    Before it there must be as much history as a label needs to ripen, or nobody could have known how slow they are.
    """
    window, elapsed = examples.ripens_after(), examples.elapsed(examples.now)
    rows = learned & _some_people(examples, learned)
    ripe = rows & (elapsed >= window)
    if not ripe.any():
        return "no label is ripe"
    back = float(np.quantile(elapsed[ripe], JUDGES))
    history = float(elapsed[rows].max()) - back
    if history < window:
        return f"{history:.1f} days of history before a deadline {back:.1f} days ago are less than labels need, {window:.1f}"
    return Deadline(rows & (elapsed > back), ripe & (elapsed <= back), back)


def as_known_then(examples: Examples, setting: Deadline) -> Watch:
    """Every row's watch and delay as of the deadline; those that had not happened have a negative watch and no conversion."""
    elapsed = examples.elapsed(examples.now)
    then = as_known(elapsed, examples.facts["delay_days"].to_numpy(dtype=np.float64), setting.back)
    delay = np.full(len(elapsed), np.nan)
    delay[then.happened] = then.delay
    return Watch(elapsed - setting.back, delay)


def _losses(name: str, examples: Examples, setting: Deadline, then: Watch, learner: Learner) -> Floats:
    """The log-loss of each judging row by a model that was taught so at the deadline."""
    booster = taught(name, examples, setting.taught, learner, then).trained(setting.taught, ROUNDS)
    return measures.log_losses(examples.labels[setting.judges], expit(raw(booster, learner.matrix[setting.judges])))


def _some_people(examples: Examples, rows: Bools) -> Bools:
    """The rows of as many whole people, the same in every run, as have at most about MOST_ROWS of these."""
    if rows.sum() <= MOST_ROWS:
        return np.ones(len(rows), dtype=bool)
    place = buckets(examples.facts["person"], 2)
    return np.asarray(place <= np.quantile(place[rows], MOST_ROWS / rows.sum()))


def _numbers(losses: Mapping[str, Floats], saved: Mapping[str, Measure], persons: npt.ArrayLike) -> dict[str, Measure]:
    lost = {f"delay_contest_{name}_log_loss": measures.mean(loss, persons) for name, loss in losses.items()}
    return lost | {f"delay_contest_{name}_saved": each for name, each in saved.items()}
