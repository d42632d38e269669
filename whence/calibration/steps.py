"""The calibrators that are staircases over bins of the score: isotonic, and Venn–Abers with its two probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import logit

from whence.calibration.calibrator import FLOOR, Calibrator

Floats = npt.NDArray[np.float64]
BINS = 200


def isotonic(x: Floats, y: Floats, w: Floats, base: float) -> Calibrator:
    """Pool-adjacent-violators over equal-mass bins; each bin is drawn to the base rate by one row's weight."""
    bins = _binned(x, y, w, min(BINS, max(2, len(x) // 20)))
    mass = bins.mass + w.mean()
    level = (bins.level * bins.mass + base * w.mean()) / mass
    odds = logit(np.clip(isotonic_regression(level, weights=mass).x, FLOOR, 1 - FLOOR))
    return Calibrator("isotonic", base, _middle(x), tuple(bins.at.tolist()), tuple(odds.tolist()))


def venn_abers(x: Floats, y: Floats, w: Floats, base: float) -> Calibrator:
    """The inductive Venn–Abers predictor: two isotonic fits for each bin that a new score can fall in, merged for log-loss.

    In each of the two the new score is added to the calibration rows, once as a negative and once as a positive. Distinct
    scores are bins of their own up to BINS of them, and are put into bins of equal mass beyond.
    Vovk, Petej, Fedorova: Large-scale probabilistic predictors with and without guarantees of validity (2015).
    """
    bins, one = _binned(x, y, w, BINS), float(w.mean())
    places = range(len(bins.at))
    low, high = (np.maximum.accumulate([_with(bins, place, label, one) for place in places]) for label in (0, 1))
    odds = logit(np.clip(high / (1 - low + high), FLOOR, 1 - FLOOR))
    bounds = (tuple(low.tolist()), tuple(high.tolist()))
    return Calibrator("venn_abers", base, _middle(x), tuple(bins.edges.tolist()), tuple(odds.tolist()), bounds)


@dataclass(frozen=True)
class _Bins:
    """Rows put together by rising score."""

    at: Floats
    """The mean score of each …"""
    level: Floats
    """… its share of positives …"""
    mass: Floats
    """… and its weight."""
    edges: Floats
    """Where one bin ends and the next begins."""


def _with(bins: _Bins, place: int, label: int, weight: float) -> float:
    """What isotonic regression says of a new row in a bin, when the row itself is among those that it is fitted to."""
    told, heavy = bins.level.copy(), bins.mass.copy()
    heavy[place] += weight
    told[place] = (bins.level[place] * bins.mass[place] + label * weight) / heavy[place]
    return float(isotonic_regression(told, weights=heavy).x[place])


def _binned(x: Floats, y: Floats, w: Floats, most: int) -> _Bins:
    order = np.argsort(x, kind="stable")
    x, y, w = x[order], y[order], w[order]
    known = np.unique(x)
    edges = (known[1:] + known[:-1]) / 2 if len(known) <= most else np.unique(np.quantile(x, np.linspace(0, 1, most + 1)[1:-1]))
    bin_of = np.searchsorted(edges, x, side="right")
    kept, bin_of = np.unique(bin_of, return_inverse=True)
    mass = np.bincount(bin_of, w).astype(np.float64)
    return _Bins(np.bincount(bin_of, w * x) / mass, np.bincount(bin_of, w * y) / mass, mass, edges[kept[1:] - 1])


def _middle(x: Floats) -> tuple[float, float]:
    return float(x.mean()), float(max(x.std(), 1e-6))
