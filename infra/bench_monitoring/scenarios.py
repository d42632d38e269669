"""Each way in which the world can go wrong: found on its first day, and called by its name; and a level that is off by a tenth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd

from infra.bench_monitoring import worlds
from infra.benching import Row, verdict
from monitoring.checks import Check
from monitoring.findings import CALM, Finding, Past, Ripe, Today, judge
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Settings

SEEDS = (1, 2, 3, 4, 5)
PEOPLE = 2400
HISTORY, CALM_DAYS = 14, 3
"""Days before the models are trained, and days that they serve before something goes wrong."""
WORKERS = 2
SCENARIOS = ("signal_loss", "tracker_outage", "mix_shift", "bot_flood", "unit_change")
Z95 = 1.959964

REPEATS, CLEAN, WAIT = 120, 10, 2
"""Made models whose level moves: how many, for how long they are right before, and how long the watcher may take."""
ROWS, POSITIVES, SHIFT = 10_000, 500, 1.1


@dataclass(frozen=True)
class Came:
    """What the watcher said of a scenario's first day."""

    scenario: str
    seed: int
    level: str
    cause: str
    """Of the day's first finding, which is the most urgent."""
    findings: int


def measure(runs: int) -> list[Row]:
    """Live a history for each seed, branch it into each scenario, and look at the first day; then the levels."""
    with get_context("spawn").Pool(WORKERS) as pool:
        came = [each for found in pool.imap_unordered(of_seed, SEEDS) for each in found]
    return [
        *(_of_scenario(name, [each for each in came if each.scenario == name]) for name in SCENARIOS),
        _named(came),
        *levels(),
    ]


def of_seed(seed: int) -> list[Came]:
    """All scenarios on one history."""
    from monitoring.watching import watch_day

    days = HISTORY + CALM_DAYS
    base = worlds.a_world(worlds.FOLDER / f"seed-{seed}", seed=seed, people=PEOPLE, days=days)
    worlds.live(base, days, HISTORY)
    worlds.watched_anew(base)
    for number in range(days):
        watch_day(base, worlds.on(number))
    return [_came(base, scenario, seed) for scenario in SCENARIOS]


def _came(base: Settings, scenario: str, seed: int) -> Came:
    from monitoring.watching import watch_day

    day, home = worlds.on(HISTORY + CALM_DAYS), worlds.FOLDER / f"seed-{seed}-{scenario}"
    wrong = worlds.branch(base, home, scenario, day, HISTORY + CALM_DAYS + 1)
    worlds.one_day(wrong, day)
    loud = [each for each in watch_day(wrong, day).findings if each.level != CALM]
    first = loud[0] if loud else Finding("", CALM, "", "", "")
    came = Came(scenario, seed, first.level, first.cause, len(loud))
    print(f"  {asdict(came)} {first.reason}", flush=True)
    return came


def _of_scenario(name: str, came: list[Came]) -> Row:
    found = sum(each.level != CALM for each in came)
    right = sum(each.cause == name for each in came)
    others = sorted({each.cause or "unknown" for each in came} - {name})
    told = f"{', '.join(sorted({each.level for each in came}))}; {sum(each.findings for each in came) / len(came):.1f} findings a day"
    return Row(
        f"{name}: found on its first day",
        f"{found} of {len(came)}",
        target="all",
        verdict=verdict(met=found == len(came)),
        note=f"cause named right {right} of {len(came)}{f' (else {others})' if others else ''}; {told}",
    )


def _named(came: list[Came]) -> Row:
    right, low = _share(sum(each.cause == each.scenario for each in came), len(came))
    return Row(
        f"cause named right, {len(came)} runs",
        f"{right:.0%}",
        f"[{low[0]:.0%}, {low[1]:.0%}]",
        "≥ 90 %",
        verdict(met=right >= 0.9),
    )


def levels() -> list[Row]:
    """Made models that say what is right, and whose world then has a tenth more or fewer conversions; 500 a day."""
    rows = []
    for shift, name in ((SHIFT, "a tenth more"), (1 / SHIFT, "a tenth fewer")):
        found, asked = 0, 0
        for seed in range(REPEATS):
            after = list(_watched(seed, shift))[CLEAN:]
            loud = [each for each in after if each and each[0].level != CALM]
            found += bool(loud)
            asked += bool(loud) and loud[0][0].level == "recalibrate"
        share, interval = _share(found, REPEATS)
        rows.append(
            Row(
                f"observed/expected, {name}, {POSITIVES} conversions a day: found within {WAIT} days",
                f"{share:.0%}",
                f"[{interval[0]:.0%}, {interval[1]:.0%}]",
                "found",
                verdict(met=share >= 0.9),
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
    rows = pd.DataFrame({"probability": probability, "label": rng.random(ROWS) < probability * shift})
    measure = partial(measures.observed_over_expected, rows["label"].to_numpy(dtype="int64"), probability)
    cluster = np.arange(ROWS).astype(str)
    return taken_of(CONVERSION_VALUE, "observed_over_expected", with_chance(measure(cluster), rows["label"], probability))


def _share(hits: int, of: int) -> tuple[float, tuple[float, float]]:
    """A share with its Wilson interval."""
    p, z2 = hits / of, Z95**2
    middle, half = (p + z2 / (2 * of)) / (1 + z2 / of), Z95 / (1 + z2 / of) * (p * (1 - p) / of + z2 / (4 * of * of)) ** 0.5
    return p, (middle - half, middle + half)
