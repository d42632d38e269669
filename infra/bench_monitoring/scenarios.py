"""Each way in which the world can go wrong: found on its first day, and called by its name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from multiprocessing import get_context

from infra.bench_monitoring import worlds
from infra.benching import Row, verdict
from monitoring.findings import CALM, Finding
from whence.contracts.settings import Settings

SEEDS = (1, 2, 3, 4, 5)
PEOPLE = 2400
HISTORY, CALM_DAYS = 14, 3
"""Days before the models are trained, and days that they serve before something goes wrong."""
WORKERS = 2
SCENARIOS = ("signal_loss", "tracker_outage", "mix_shift", "bot_flood", "unit_change")
Z95 = 1.959964


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
    """Live a history for each seed, branch it into each scenario, and look at the first day."""
    with get_context("spawn").Pool(WORKERS) as pool:
        came = [each for found in pool.imap_unordered(of_seed, SEEDS) for each in found]
    return [
        *(_of_scenario(name, [each for each in came if each.scenario == name]) for name in SCENARIOS),
        _named(came),
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
    right, low = share(sum(each.cause == each.scenario for each in came), len(came))
    return Row(
        f"cause named right, {len(came)} runs",
        f"{right:.0%}",
        f"[{low[0]:.0%}, {low[1]:.0%}]",
        "≥ 90 %",
        verdict(met=right >= 0.9),
    )


def share(hits: int, of: int) -> tuple[float, tuple[float, float]]:
    """A share with its Wilson interval."""
    p, z2 = hits / of, Z95**2
    middle, half = (p + z2 / (2 * of)) / (1 + z2 / of), Z95 / (1 + z2 / of) * (p * (1 - p) / of + z2 / (4 * of * of)) ** 0.5
    return p, (middle - half, middle + half)
