"""Shapley values: how long all sets of twenty channels take, and whether drawn orders come as close as their errors say."""

from __future__ import annotations

import time
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np

from infra.bench_attribution import walks
from infra.benching import Row, interleaved, median_range, verdict

CHANNELS = 20
SECONDS = 1.0
DRAWS, ORDERS = 40, 50
"""How often orders are drawn, and how many at a time."""
JUDGED = 20_000
"""Journeys of the game that is drawn from."""


def measure(runs: int) -> list[Row]:
    """The rows."""
    return [_exact(runs), _drawn()]


def exactly(folder: str) -> dict[str, float]:
    """CPU seconds from rates by set to values, those to count the rates before it, and how far off the closed form is."""
    from whence.attribution import shapley

    journeys, _ = walks.kept(folder)
    began = time.process_time()
    rates = shapley.fit(journeys)
    started = time.process_time()
    values = shapley.effects(rates).values
    seconds = time.process_time() - started
    closed = shapley.totals(journeys).to_numpy()
    carried = shapley.exact(rates.within_sets()[0])  # each set is worth its conversions: what the closed form is of
    return {
        "seconds": seconds,
        "counting": started - began,
        "closed": float(np.abs(carried - closed).max() / closed.max()),
        "left": float(abs(values.sum() - journeys.conversions.mean())),
    }


def drawn() -> float:
    """How many of the values from drawn orders lie within 1.96 of their standard errors of the exact ones."""
    from whence.attribution import shapley

    rates = shapley.fit(walks.walks(CHANNELS, JUDGED)[0])
    exact = shapley.effects(rates).values
    found = [shapley.sampled(rates.along, CHANNELS, ORDERS, seed) for seed in range(DRAWS)]
    return float(np.mean([np.abs(each.values - exact) <= 1.96 * each.errors for each in found]))


def _exact(runs: int) -> Row:
    with TemporaryDirectory() as folder:
        interleaved({"make": partial(walks.keep, folder, CHANNELS)}, 1)
        found = interleaved({"whence": partial(exactly, folder)}, runs)["whence"].answers
    took, counting = (median_range([each[name] for each in found]) for name in ("seconds", "counting"))
    closed, left = (max(each[name] for each in found) for name in ("closed", "left"))
    return Row(
        f"Shapley, all {1 << CHANNELS:,} sets of {CHANNELS} channels",
        f"{took.value:.2f} CPU seconds",
        took.show(),
        f"≤ {SECONDS:.0f}",
        verdict(met=took.value <= SECONDS),
        f"from the conversion rate of each set of channels that was met, which {counting.value:.2f} s count from "
        f"{walks.JOURNEYS:,} journeys; the values add up to {left:.0e}; the closed form where there is one: {closed:.0e} off",
    )


def _drawn() -> Row:
    share = interleaved({"drawn": drawn}, 1)["drawn"].answers[0]
    return Row(
        f"Shapley by {ORDERS} drawn orders, as beyond {CHANNELS} channels",
        f"{share:.1%} of values within 1.96 standard errors of the exact one",
        note=f"{DRAWS} times {CHANNELS} values; each order is walked both ways",
    )
