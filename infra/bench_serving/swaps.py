"""Rows of the time to an answer while champions take each other's place, and while a challenger is asked the same questions.

The service runs on one core, and is asked in an open loop at half of what that core answers at most.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from infra.bench_serving import lineup, servers
from infra.bench_serving.latency import CLOSED, OPEN, ROUNDS, SHARE, WARM
from infra.bench_serving.lineup import MATCH_SQLITE, Lineup
from infra.bench_serving.open_loop import NEAR, Heard
from infra.bench_serving.world import ranker
from infra.benching import BenchError, Row, median_range, ratio, verdict
from registry import rollouts
from registry.journal import Journal
from serving.rollouts.picking import CHAMPION
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings

SWAPS, WINDOWS, EACH, PACE = 200, 21, 10, 1.2
"""The service looks at the journal once a second, and should see each champion; a window of swaps is to spare where it looks late."""
CALM = 6
"""Seconds of the windows without swaps, of which one goes with each that has them: the machine is not the same from minute to minute."""
MOST = 1.5
WHO, WHY = "infra.bench_serving", ("for a benchmark",)
SETTLE_SECONDS = 120.0


def measure(runs: int) -> list[Row]:
    """All rows of this part."""
    with lineup.up(MATCH_SQLITE) as found:
        settings = found.settings("sqlite")
        found.window(MATCH_SQLITE, WARM)
        rate = SHARE * median_range([found.window(MATCH_SQLITE, CLOSED).rate for _ in range(3)]).value
        champion, other = found.ask(MATCH_SQLITE)["bundle"], ranker(settings.bundles, made="once more")
        for digest in (other, champion):  # both are read and checked before anything is timed
            _promote(settings, digest)
            _wait(found, "bundle", digest)
        swapped, calm = list[Heard](), list[Heard]()
        for number in range(WINDOWS):
            for is_swapped in (False, True) if number % 2 else (True, False):
                if is_swapped:
                    swapped.append(_while_swapping(found, settings, rate, (other, champion), number))
                else:
                    calm.append(servers.open_loop(found.servers[MATCH_SQLITE], rate, CALM, number))
        heard: dict[bool, list[Heard]] = {False: [], True: []}
        for number in range(max(runs, ROUNDS)):
            for is_mirrored in (False, True) if number % 2 else (True, False):
                with _mirrored(found, settings, other) if is_mirrored else contextlib.nullcontext():
                    heard[is_mirrored].append(servers.open_loop(found.servers[MATCH_SQLITE], rate, OPEN, number))
    return [_swap_row(swapped, calm, rate), *_mirror_rows(heard[False], heard[True], rate)]


def _while_swapping(found: Lineup, settings: Settings, rate: float, bundles: Sequence[str], seed: int) -> Heard:
    """What is heard while the bundles take each other's place again and again."""

    def swap() -> None:
        os.sched_setaffinity(0, {servers.CLIENT_CORE})  # of this thread; whoever promotes takes nothing of the server's core
        for number in range(EACH):
            _promote(settings, bundles[number % len(bundles)])
            time.sleep(PACE)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        return servers.open_loop(found.servers[MATCH_SQLITE], rate, EACH * PACE, seed)
    finally:
        swapping.join()


@contextlib.contextmanager
def _mirrored(found: Lineup, settings: Settings, challenger: str) -> Iterator[None]:
    """A challenger in the shadow, which is asked what the champion is asked."""
    rollouts.start(settings, IDENTITY_RANKER, challenger, WHY, WHO, datetime.now(UTC))
    _wait(found, "arm", CHAMPION)
    try:
        yield
    finally:
        rollouts.abort(settings, IDENTITY_RANKER, WHO, WHY[0], datetime.now(UTC))
        _wait(found, "arm", None)


def _promote(settings: Settings, digest: str) -> None:
    journal = Journal.of(settings)
    current = journal.champion(IDENTITY_RANKER)
    journal.promote(IDENTITY_RANKER, digest, "", WHY, WHO, current.epoch if current else 0, datetime.now(UTC))


def _wait(found: Lineup, field: str, wanted: str | None) -> None:
    """Ask until the answer's field is as wanted."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (answer := found.ask(MATCH_SQLITE))[field] != wanted:
        if time.monotonic() > deadline:
            raise BenchError(f"The service does not follow the journal: its {field} should be {wanted}, and it answers {answer}.")
        time.sleep(0.1)


def _swap_row(swapped: Sequence[Heard], calm: Sequence[Heard], rate: float) -> Row:
    """What is asked during swaps against what is asked while nobody swaps, and not against the other questions of the same window."""
    during, without = [each.p99_near or float("nan") for each in swapped], [each.p99 for each in calm]
    found, near, steady = ratio(during, without), median_range(during), median_range(without)
    between, count = median_range([each.p99_steady for each in swapped]), sum(each.swaps for each in swapped)
    note = (
        f"{near.value:.1f} ms {near.show(1)} against {steady.value:.1f} ms {steady.show(1)} while nobody swaps, in windows that take turns, "
        f"and {between.value:.1f} ms between the swaps; {count} swaps between two bundles, one every {PACE} s, {rate:.0f} questions a second, "
        f"of which {sum(each.near for each in swapped):,} were asked within {NEAR * 1e3:.0f} ms of a swap; none failed"
    )
    is_met = count >= SWAPS and found.value <= MOST
    return Row(
        "match from SQLite, p99 during a swap",
        f"{found.value:.2f} × steady",
        found.show(),
        f"≤ {MOST} ×",
        verdict(met=is_met),
        note,
    )


def _mirror_rows(off: Sequence[Heard], on: Sequence[Heard], rate: float) -> list[Row]:
    found = ratio([each.p99 for each in on], [each.p99 for each in off])
    names = ("match from SQLite, p99 with no challenger", "match from SQLite, p99 with questions mirrored to a challenger")
    note = f"{rate:.0f} questions a second; what the challenger takes is bounded by its policy's mirror_duty"
    rows = []
    for name, heard, said in zip(names, (off, on), ("", f"{found.value:.2f} × {found.show()}; {note}"), strict=True):
        p99 = median_range([each.p99 for each in heard])
        rows.append(Row(name, f"{p99.value:.1f} ms", p99.show(1), note=said))
    return rows
