"""Removal effects of Markov chains: as exact as solving again without each channel, and how long they take against ChannelAttribution."""

from __future__ import annotations

import os
import resource
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from infra.bench_attribution import walks
from infra.benching import Row, Runs, interleaved, median_range, ratio, verdict

EXACT = 1e-9
CHAINS = ((20, 1), (1000, 1), (20, 2), (15, 3), (6, 4))
"""Places and order, solved again without each of the places; the fourth has so many states that it is followed step by step."""
SOLVED_AGAIN = 200_000
"""Journeys of the chains that are solved again."""
TIMED = ((20, 10.0, "≥ 10 ×"), (1000, 100.0, "≥ 100 ×"))
PATIENCE = 60
"""CPU seconds after which ChannelAttribution is stopped, and what it would have taken is told from below."""


def measure(runs: int) -> list[Row]:
    """How exact, how fast, and how long higher orders take."""
    return [_exact(), *(_against(places, wanted, target, runs) for places, wanted, target in TIMED), _orders(runs)]


def solved_again(places: int, order: int) -> dict[str, float]:
    """The largest difference of an effect from that of the chain solved again without its channel, and the states."""
    from whence.attribution import markov

    journeys, _ = walks.walks(places, SOLVED_AGAIN)
    found, chain = markov.fit(journeys, order), markov.chain(journeys, order)
    onward = chain.onward if isinstance(chain.onward, np.ndarray) else chain.onward.toarray()
    apart = 0.0
    for code, effect in enumerate(found.removal):
        stays = chain.last != code
        left = np.linalg.solve(np.eye(int(stays.sum())) - onward[np.ix_(stays, stays)], chain.converts[stays])
        apart = max(apart, abs(effect - (1 - chain.entry[stays] @ left / found.probability)))
    return {"apart": float(apart), "states": len(chain.last)}


def ours(folder: str, order: int = 1) -> dict[str, float]:
    """CPU seconds from arrays of journeys to removal effects."""
    from whence.attribution.markov import fit

    journeys, _ = walks.kept(folder)
    started = time.process_time()
    found = fit(journeys, order)
    return {"seconds": time.process_time() - started, "probability": found.probability}


def by_channelattribution(folder: str) -> dict[str, Any]:
    """CPU seconds of its markov_model on paths that were written and counted for it, or none after PATIENCE."""
    import ChannelAttribution as peer
    import pandas as pd

    paths = pd.read_parquet(f"{folder}/paths.parquet")
    started = time.process_time()
    counted = paths.groupby("path", as_index=False).sum()
    prepared = time.process_time() - started
    seconds = stopped_after(
        PATIENCE, lambda: peer.markov_model(counted, "path", "conversions", var_null="nulls", verbose=False, flg_pro=False)
    )
    return {"seconds": seconds, "prepared": prepared}


def stopped_after(limit: int, job: Callable[[], Any]) -> float | None:
    """CPU seconds of a job in a child that may not take longer, or None where it was stopped."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        try:
            job()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code > 0:
        raise RuntimeError(f"The job ended with {code}.")
    return used.ru_utime + used.ru_stime if code == 0 else None


def _exact() -> Row:
    jobs = {f"{places:,} places, order {order}": partial(solved_again, places, order) for places, order in CHAINS}
    found = {name: of.answers[0] for name, of in interleaved(jobs, 1).items()}
    apart = max(each["apart"] for each in found.values())
    return Row(
        "removal effects against the chain solved again without each channel",
        f"differ by {apart:.0e} at most",
        target=f"≤ {EXACT:.0e}",
        verdict=verdict(met=apart <= EXACT),
        note="; ".join(f"{name} ({each['states']:,} states): {each['apart']:.0e}" for name, each in found.items()),
    )


def _against(places: int, wanted: float, target: str, runs: int) -> Row:
    what = f"removal effects, {walks.JOURNEYS:,} journeys, {places:,} places"
    with TemporaryDirectory() as folder:
        touches = interleaved({"make": partial(walks.keep, folder, places)}, 1)["make"].answers[0]
        if find_spec("ChannelAttribution") is None:
            took = median_range(
                [each["seconds"] for each in interleaved({"whence": partial(ours, folder)}, runs)["whence"].answers]
            )
            return Row(what, "not measured: ChannelAttribution is not installed", target=target, note=f"ours {took.value:.2f} s")
        jobs = {"whence": partial(ours, folder), "peer": partial(by_channelattribution, folder)}
        # who may be stopped after a minute is asked once
        found = interleaved(jobs, 1)
        if found["peer"].answers[0]["seconds"] is not None and runs > 1:
            found = interleaved(jobs, runs)
        else:
            found["whence"] = interleaved({"whence": jobs["whence"]}, runs)["whence"]
    return _faster(what, touches, found["whence"], found["peer"], wanted, target)


def _faster(what: str, touches: int, whence: Runs, peer: Runs, wanted: float, target: str) -> Row:
    took = [each["seconds"] for each in whence.answers]
    theirs = [each["seconds"] for each in peer.answers]
    prepared = median_range([each["prepared"] for each in peer.answers]).value
    ours_ = median_range(took)
    if None in theirs:
        least = PATIENCE / ours_.high
        return Row(
            what,
            f"more than {least:.0f} × ChannelAttribution",
            "from the slowest of ours",
            target,
            verdict(met=least >= wanted),
            f"{ours_.value:.2f} {ours_.show()} CPU s from {touches / 1e6:.1f} million touches in memory; its markov_model was stopped "
            f"after {PATIENCE} s, the {prepared:.1f} s for its counted paths in words left out",
        )
    faster = ratio(theirs, took)
    return Row(
        what,
        f"{faster.value:.0f} × ChannelAttribution",
        faster.show(0),
        target,
        verdict(met=faster.value >= wanted),
        f"{ours_.value:.2f} {ours_.show()} CPU s from {touches / 1e6:.1f} million touches in memory, against {median_range(theirs).value:.2f} "
        f"for its markov_model alone; the {prepared:.1f} s for its counted paths in words are left out",
    )


def _orders(runs: int) -> Row:
    with TemporaryDirectory() as folder:
        interleaved({"make": partial(walks.keep, folder, TIMED[0][0])}, 1)
        found = interleaved({f"order {order}": partial(ours, folder, order) for order in (1, 2, 3)}, min(runs, 3))
    took = {name: median_range([each["seconds"] for each in of.answers]) for name, of in found.items()}
    return Row(
        f"higher orders, the same journeys over {TIMED[0][0]} channels",
        "; ".join(f"{name} {each.value:.2f} s" for name, each in took.items()),
        "; ".join(each.show() for each in took.values()),
        note="CPU seconds from arrays of journeys to all removal effects; the third order has 8,420 states and is followed step by step",
    )
