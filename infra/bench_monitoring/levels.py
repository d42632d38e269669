"""Models whose level moves by a tenth: found within two days at 500 conversions a day, and at what price in false alerts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from infra.bench_monitoring import worlds
from infra.bench_monitoring.scenarios import share
from infra.benching import Row, verdict
from monitoring.checks import Check
from monitoring.findings import CALM, Finding, Past, Ripe, Today, judge
from whence.contracts.models import CONVERSION_VALUE

REPEATS, CLEAN, WAIT = 200, 10, 2
"""Made models: how many, for how many days they are right, and how long the watcher may take then."""
ROWS, POSITIVES, SHIFT = 10_000, 500, 0.1


def measure(runs: int) -> list[Row]:
    """Made models that say what is right, and whose world then has a tenth more or fewer conversions; 500 a day."""
    rows = []
    for shift, name in ((1 + SHIFT, "a tenth more"), (1 - SHIFT, "a tenth fewer")):
        found, asked = 0, 0
        for seed in range(REPEATS):
            after = list(_watched(seed, shift))[CLEAN:]
            loud = [each for each in after if each and each[0].level != CALM]
            found += bool(loud)
            asked += bool(loud) and loud[0][0].level == "recalibrate"
        part, interval = share(found, REPEATS)
        rows.append(
            Row(
                f"observed/expected, {name}, {POSITIVES} conversions a day: found within {WAIT} days",
                f"{part:.0%}",
                f"[{interval[0]:.0%}, {interval[1]:.0%}]",
                "found",
                verdict(met=part >= 0.9),
                f"{REPEATS} made models; {asked} of {found} ask to recalibrate; two days know a tenth to 3.2 standard errors and no better",
            )
        )
    return [*rows, _false_levels()]


def _false_levels() -> Row:
    weeks = REPEATS * CLEAN / 7
    alarms = 0
    for seed in range(REPEATS):
        told = [bool(each) and each[0].level != CALM for each in _watched(1000 + seed, 1.0)][:CLEAN]
        alarms += sum(now and not before for before, now in zip([False, *told], told, strict=False))
    return Row(
        f"observed/expected that is right, {POSITIVES} conversions a day: false alerts a week",
        f"{alarms / weeks:.2f}",
        f"{alarms} in {weeks:.0f} weeks",
        note="what the watchfulness above costs, for each model of this size",
    )


def _watched(seed: int, shift: float) -> Iterator[list[Finding]]:
    """The findings of each day of a made model, right at first."""
    ripe = {CONVERSION_VALUE: Ripe("made")}
    past: list[Past] = []
    rng = np.random.default_rng(seed)
    for number in range(CLEAN + WAIT):
        checks = [_level(rng, shift if number >= CLEAN else 1.0)]
        told = judge(Today(worlds.on(number), checks, {}, ripe), past)
        past.append(Past(str(worlds.on(number)), checks, told, {}, ripe))
        yield told


def _level(rng: np.random.Generator, shift: float) -> Check:
    """A day's observed over expected, measured as the watcher measures it."""
    from monitoring.quality.ripe import taken_of, with_chance
    from whence import measures

    probability = np.clip(rng.beta(1.0, ROWS / POSITIVES - 1, ROWS), 1e-6, 0.9)
    label = (rng.random(ROWS) < probability * shift).astype("int64")
    found = measures.observed_over_expected(label, probability, np.arange(ROWS).astype(str))
    return taken_of(CONVERSION_VALUE, "observed_over_expected", with_chance(found, label, probability))
