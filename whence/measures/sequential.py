"""Looks at evidence while it grows, with a known error in all: how far off it must be at each look to stop.

Whoever looks twenty times and stops at the first 1.96 is wrong one time in four. Here an error is spent look by look, little
of it early, and the boundaries follow from what is spent; when the looks come need not be known before, only how much
evidence there will be in all.

After Lan, DeMets: Discrete sequential boundaries for clinical trials (1983), with their spending like O'Brien and Fleming's,
and Armitage, McPherson, Rowe: Repeated significance tests on accumulating data (1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from whence.measures.intervals import Floats

HARM, PASS, OPEN = "harm", "pass", "open"
FARTHEST = 37.0
"""As many standard errors as a double can tell from none at all; a boundary there is never crossed."""
STEPS = 300
TINY = 1e-14


@dataclass(frozen=True)
class Look:
    """What one look saw."""

    share: float
    """How much of the planned evidence there was; 1 is all of it."""
    z: float
    """How far beyond what is tolerated, in standard errors."""


def spent(share: float, level: float) -> float:
    """The error that may be spent until this share of the evidence: hardly any early, all of it at the end.

    >>> [round(spent(share, 0.05), 4) for share in (0.2, 0.5, 1.0)]
    [0.0, 0.0056, 0.05]
    """
    if share >= 1.0:
        return level
    return float(2 * ndtr(ndtri(level / 2) / np.sqrt(share))) if share > 0 else 0.0


@lru_cache(maxsize=4096)
def boundaries(shares: tuple[float, ...], level: float) -> tuple[float, ...]:
    """How many standard errors stop at each look, so that evidence without harm is stopped with probability `level` in all.

    `shares` rise, and end at 1 when all of the evidence was seen.

    >>> [round(each, 2) for each in boundaries((0.2, 0.4, 0.6, 0.8, 1.0), 0.025)]
    [4.88, 3.36, 2.68, 2.29, 2.03]
    """
    if any(later <= earlier for earlier, later in zip((0.0, *shares), shares, strict=False)):
        raise ValueError(f"Looks come one after the other, each at more evidence than the one before; {shares} came.")
    found: list[float] = []
    grid, density, before = np.zeros(1), np.ones(1), 0.0
    for number, share in enumerate(shares):
        spread = np.sqrt(share - before)
        wanted = spent(share, level) - (spent(before, level) if number else 0.0)
        bound = _bound(grid, density, spread, wanted)
        found.append(min(bound / float(np.sqrt(share)), FARTHEST))
        grid, density = _survivors(grid, density, spread, bound, share)
        before = share
    return tuple(found)


def outcome(looks: Sequence[Look], level: float) -> str:
    """What the looks say: harm as soon as a boundary is crossed, pass when all of the evidence was seen without, open until then.

    >>> calm, off = Look(0.5, 0.3), Look(0.75, 3.1)
    >>> outcome([calm], 0.05), outcome([calm, off], 0.05), outcome([calm, Look(1.0, 1.2)], 0.05)
    ('open', 'harm', 'pass')
    """
    if not looks:
        return OPEN
    seen = [look for place, look in enumerate(looks) if place == 0 or looks[place - 1].share < 1.0]
    limits = boundaries(tuple(min(look.share, 1.0) for look in seen), level)
    if any(look.z >= limit < FARTHEST for look, limit in zip(seen, limits, strict=True)):
        return HARM
    return PASS if seen[-1].share >= 1.0 else OPEN


def _bound(grid: Floats, density: Floats, spread: float, wanted: float) -> float:
    """The height that the paths which are still under way pass with this probability, by halving."""
    if wanted < TINY:
        return FARTHEST
    low, high = -FARTHEST, FARTHEST
    for _ in range(60):
        middle = (low + high) / 2
        if float(density @ ndtr((grid - middle) / spread)) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _survivors(grid: Floats, density: Floats, spread: float, bound: float, share: float) -> tuple[Floats, Floats]:
    """Where the paths are that have not passed the bound, as weights on a new grid."""
    top = min(bound, 9 * np.sqrt(share))
    edges = np.linspace(-9 * np.sqrt(share), top, STEPS + 1)
    reached = density @ ndtr((edges[None, :] - grid[:, None]) / spread)
    return (edges[1:] + edges[:-1]) / 2, np.diff(reached)
