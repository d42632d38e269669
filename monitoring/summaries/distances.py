"""How far two columns' summaries are apart, and how far chance alone would bring samples of such sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri

from whence.summaries import Summary
from whence.summaries.histogram import Histogram, edges

Floats = npt.NDArray[np.float64]

PSI, JENSEN_SHANNON, WASSERSTEIN = "psi", "jensen_shannon", "wasserstein"
LEAST = 0.1
"""Nothing nearer than this counts as drift on any of the three scales, however many rows make it certain."""
BINS = 10
"""Bins of equal mass that a reference's numbers are cut into; what lies outside its range has two more."""
FEW_VALUES = 20
"""Numbers with no more different values than this are compared value by value."""
RARE = 0.01
"""Values of less than this share are compared together: chance empties small bins, and an empty bin weighs too much."""
CHANCE = 1e-4
"""How often two samples of one distribution may be further apart than `threshold`."""
MARGIN = 1.25
"""Chi-squared is right for large bins; small ones reach further."""
FARTHEST = 1000.0


@dataclass(frozen=True)
class Distance:
    """How far apart on one scale, and from where on chance does not explain it."""

    measure: str
    value: float
    threshold: float
    part: str = ""
    """Of vectors, what of them is that far apart."""

    @property
    def is_drift(self) -> bool:
        """Whether chance does not explain the distance, and it is one that matters."""
        return self.value >= self.threshold


def distances(now: Summary, then: Summary, sizes: tuple[float, float] | None = None, chance: float = CHANCE) -> list[Distance]:
    """The distances of a column from its reference, on the scales that suit its kind; none when one side has no values.

    `sizes` are how many independent values stand behind each side, where that is fewer than there are rows. Of vectors that part
    is told that is furthest beyond chance, which is shared out among all parts (Bonferroni), since one of many is far soon.
    """
    if now.is_vectors and then.is_vectors:
        return _of_vectors(now, then, sizes, chance)
    if now.is_words != then.is_words:
        return [Distance(PSI, FARTHEST, LEAST)] if now.held and then.held else []
    one, other = (now.words, then.words) if now.is_words else (now.spread, then.spread)
    if not one.total or not other.total:
        return []
    noise = _noise(now, then, sizes)
    a, b = binned(one, other) if now.is_words else cut_by_mass(one, other)
    found = [psi(a, b, noise, chance)]
    if now.is_words:
        return [*found, jensen_shannon(a, b, noise, chance)]
    return [*found, wasserstein(one, other, noise, chance)]


def _of_vectors(now: Summary, then: Summary, sizes: tuple[float, float] | None, chance: float) -> list[Distance]:
    nothing = Summary()
    names = sorted({*now.parts, *then.parts})
    found = [
        replace(each, part=name)
        for name in names
        for each in distances(now.parts.get(name, nothing), then.parts.get(name, nothing), sizes, chance / len(names))
    ]
    return [
        max((each for each in found if each.measure == measure), key=lambda each: each.value / each.threshold)
        for measure in dict.fromkeys(each.measure for each in found)
    ]


def psi(now: Floats, then: Floats, noise: float, chance: float = CHANCE) -> Distance:
    """The population stability index of two rows of counts; half a value is added to each bin, so that none is empty.

    `noise` is 1 / n of one side plus that of the other: between samples of one distribution the index is near to
    chi-squared times that. Fixed bounds (0.1, 0.25) are folklore.

    >>> round(psi(np.array([500.0, 500.0]), np.array([250.0, 750.0]), 0.002).value, 2)
    0.27
    """
    a, b = _shares(now), _shares(then)
    return Distance(PSI, float(((a - b) * np.log(a / b)).sum()), _threshold(len(a), noise, chance, lambda psi: psi))


def jensen_shannon(now: Floats, then: Floats, noise: float, chance: float = CHANCE) -> Distance:
    """The square root of the Jensen-Shannon divergence in nats; an eighth of the index above for small distances."""
    a, b = _shares(now), _shares(then)
    middle = (a + b) / 2
    divergence = float((a * np.log(a / middle) + b * np.log(b / middle)).sum()) / 2
    value = math.sqrt(max(divergence, 0.0))
    return Distance(JENSEN_SHANNON, value, _threshold(len(a), noise, chance, lambda psi: math.sqrt(psi / 8)))


def wasserstein(now: Histogram, then: Histogram, noise: float, chance: float = CHANCE) -> Distance:
    """How far values have to be carried, in standard deviations of both together; exact up to the width of a bucket.

    Of both together, since a single far value that one side happens to have would else look like a move of all.
    """
    one, other, places = _aligned(now, then)
    a, b = one / one.sum(), other / other.sum()
    both = (a + b) / 2
    scale = float(np.abs(places).max()) or 1.0
    x = places / scale
    carried = float((np.abs(np.cumsum(a - b))[:-1] * np.diff(x)).sum())
    deviation = math.sqrt(float((both * (x - float((both * x).sum())) ** 2).sum()))
    value = carried / deviation if deviation > 0 else 0.0
    return Distance(WASSERSTEIN, value, max(LEAST, -float(ndtri(chance / 2)) * math.sqrt(noise)))


def binned(now: Histogram, then: Histogram) -> tuple[Floats, Floats]:
    """Counts value by value, the rare ones together."""
    one, other, _ = _aligned(now, then, with_places=False)
    is_rare = (one / one.sum() + other / other.sum()) / 2 < RARE
    if is_rare.sum() < 2:
        return one, other
    few, others = (np.append(side[~is_rare], side[is_rare].sum()) for side in (one, other))
    return few, others


def cut_by_mass(now: Histogram, then: Histogram) -> tuple[Floats, Floats]:
    """Counts in bins of equal mass of the reference; value by value where there are few."""
    one, other, _ = _aligned(now, then, with_places=False)
    if len(one) <= FEW_VALUES:
        return binned(now, then)
    below = np.cumsum(other) - other
    is_above = below >= other.sum()
    is_below = below + other <= 0
    places = 1 + np.minimum(below / other.sum() * BINS, BINS - 1).astype(np.int64)
    places = np.where(is_above, BINS + 1, np.where(is_below, 0, places))
    mine, theirs = (np.asarray(np.bincount(places, side, BINS + 2), dtype=np.float64) for side in (one, other))
    held = (mine + theirs) > 0
    return mine[held], theirs[held]


def _aligned(now: Histogram, then: Histogram, *, with_places: bool = True) -> tuple[Floats, Floats, Floats]:
    """Counts of both by bucket, and where each bucket lies."""
    bits = min(now.bits, then.bits)
    one, other = now.cut(bits), then.cut(bits)
    buckets = np.union1d(one.buckets, other.buckets)
    sides = []
    for side in (one, other):
        counts = np.zeros(len(buckets))
        counts[np.searchsorted(buckets, side.buckets)] = side.counts
        sides.append(counts)
    if not with_places:
        return sides[0], sides[1], np.zeros(0)
    low, high = edges(Histogram(bits, buckets, np.zeros(0, np.int64)))
    biggest = np.finfo(np.float64).max
    return sides[0], sides[1], np.clip(low, -biggest, biggest) / 2 + np.clip(high, -biggest, biggest) / 2


def _noise(now: Summary, then: Summary, sizes: tuple[float, float] | None) -> float:
    """1 / n of both sides; texts that are too many to tell apart move together, so that only different ones count."""
    held = [float(min(side.held, side.distinct)) if _is_many(side) else float(side.held) for side in (now, then)]
    least = [min(*each) for each in zip(held, sizes or held, strict=True)]
    return sum(1 / max(each, 1.0) for each in least)


def _is_many(side: Summary) -> bool:
    return side.is_words and not side.words.is_exact


def _threshold(bins: int, noise: float, chance: float, scale: Callable[[float], float]) -> float:
    return max(LEAST, scale(MARGIN * float(chdtri(max(bins - 1, 1), chance)) * noise))


def _shares(counts: Floats) -> Floats:
    return np.asarray((counts + 0.5) / (counts.sum() + len(counts) / 2))
