"""Scores turned into probabilities that keep their order and mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

Floats = npt.NDArray[np.float64]

FLOOR = 1e-6
KINDS = ("platt", "beta", "isotonic")
BINS = 200
SLOPE = 1e-3
"""How far, in log-odds, isotonic steps are tilted so that no two scores become one."""


class CalibrationError(ValueError):
    """Scores and labels that no calibrator can be fitted to."""


@dataclass(frozen=True)
class Calibrator:
    """A rising map from a raw score (log-odds, any float) to a probability in [1e-6, 1 − 1e-6].

    A higher score never gets a lower probability, ±infinity included; a NaN gets the base rate.

    >>> straight = Calibrator("platt", 0.5, (1.0, 0.0))
    >>> straight.apply([0.0, float("inf"), float("nan")]).tolist()
    [0.5, 0.999999, 0.5]
    """

    kind: str
    base_rate: float
    parameters: tuple[float, ...]
    """platt: slope, offset. beta: falling slope, rising slope, offset. isotonic: centre, scale."""
    knots: tuple[float, ...] = field(default=())
    """For isotonic: raw scores, rising …"""
    levels: tuple[float, ...] = field(default=())
    """… and the log-odds at each."""

    def apply(self, raw: npt.ArrayLike) -> Floats:
        """Probabilities, the shape of `raw`."""
        x = np.asarray(raw, dtype=np.float64)
        known = np.clip(np.where(np.isnan(x), 0.0, x), -1e9, 1e9)
        probability = np.clip(expit(_log_odds(self, known)), FLOOR, 1 - FLOOR)
        return np.asarray(np.where(np.isnan(x), np.clip(self.base_rate, FLOOR, 1 - FLOOR), probability))

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `from_json` gives back a calibrator with the same answers, bit by bit."""
        return {
            "kind": self.kind,
            "base_rate": self.base_rate,
            "parameters": list(self.parameters),
            "knots": list(self.knots),
            "levels": list(self.levels),
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Calibrator:
        """The calibrator of a dict that `to_json` made; raises CalibrationError for one that is none."""
        try:
            knots, levels = tuple(map(float, given["knots"])), tuple(map(float, given["levels"]))
            made = cls(str(given["kind"]), float(given["base_rate"]), tuple(map(float, given["parameters"])), knots, levels)
        except (KeyError, TypeError, ValueError) as wrong:
            raise CalibrationError(f"This is no calibrator: {type(wrong).__name__} {wrong}. Train the model again.") from None
        _check(made)
        return made


def fit(kind: str, raw: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Calibrator:
    """A calibrator fitted to raw scores (log-odds) and labels in [0, 1] on rows that the model did not learn from.

    `kind` is platt (two numbers, right for little data), beta (three; bends each end on its own) or
    isotonic (a staircase; wants thousands of rows). Rows with a NaN score are left out.
    Raises CalibrationError for an unknown kind, or labels of one class alone.

    >>> rising = fit("platt", [-2, -1, 1, 2] * 50, [0, 0, 1, 1] * 50)
    >>> bool(rising.apply(1.0) > 0.9)
    True
    """
    if kind not in KINDS:
        raise CalibrationError(f"There is no calibrator '{kind}'. Choose one of {', '.join(KINDS)}.")
    x, y = np.asarray(raw, dtype=np.float64).ravel(), np.asarray(labels, dtype=np.float64).ravel()
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if not len(x) == len(y) == len(w):
        raise CalibrationError(f"{len(x)} scores, {len(y)} labels and {len(w)} weights came. Give one of each a row.")
    kept = ~np.isnan(x) & (w > 0)
    x, y, w = np.clip(x[kept], -30.0, 30.0), y[kept], w[kept]
    positive, negative = float((w * y).sum()), float((w * (1 - y)).sum())
    if positive <= 0 or negative <= 0:
        raise CalibrationError(f"A calibrator needs both classes; {positive:g} positive and {negative:g} negative labels came.")
    base = positive / (positive + negative)
    if kind == "isotonic":
        return _fit_isotonic(x, y, w, base)
    softened = y * (positive + 1) / (positive + 2) + (1 - y) / (negative + 2)
    if kind == "beta":
        return _fit_linear(kind, np.column_stack([-np.logaddexp(0, -x), np.logaddexp(0, x)]), softened, w, base)
    return _fit_linear(kind, x[:, None], softened, w, base)


def _fit_linear(kind: str, terms: Floats, targets: Floats, weights: Floats, base: float) -> Calibrator:
    """Logistic regression on rising terms with slopes of at least zero; Platt's softened targets keep it finite.

    Platt: Probabilistic outputs for support vector machines (1999). Kull, Silva Filho, Flach: Beta calibration (2017).
    """
    scale = np.maximum(terms.std(axis=0), 1e-9)
    z, total = terms / scale, weights.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = z @ theta[:-1] + theta[-1]
        error = weights * (expit(margin) - targets) / total
        value = float((weights * (np.logaddexp(0, margin) - targets * margin)).sum() / total)
        return value, np.append(z.T @ error, error.sum())

    start = np.append(scale, float(logit(np.clip(base, FLOOR, 1 - FLOOR))))
    bounds = [(0.0, None)] * z.shape[1] + [(None, None)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-9}).x
    return Calibrator(kind, base, (*(float(a) for a in best[:-1] / scale), float(best[-1])))


def _fit_isotonic(x: Floats, y: Floats, w: Floats, base: float) -> Calibrator:
    """Pool-adjacent-violators over equal-mass bins; each bin is drawn to the base rate by one row's weight."""
    order = np.argsort(x, kind="stable")
    x, y, w = x[order], y[order], w[order]
    edges = np.unique(np.quantile(x, np.linspace(0, 1, min(BINS, max(2, len(x) // 20)) + 1)[1:-1]))
    bin_of = np.unique(np.searchsorted(edges, x, side="right"), return_inverse=True)[1]
    mass = np.bincount(bin_of, w)
    at = np.bincount(bin_of, w * x) / mass
    level = (np.bincount(bin_of, w * y) + base * w.mean()) / (mass + w.mean())
    risen = isotonic_regression(level, weights=mass + w.mean()).x
    odds = logit(np.clip(risen, FLOOR, 1 - FLOOR))
    return Calibrator("isotonic", base, (float(x.mean()), float(max(x.std(), 1e-6))), tuple(at.tolist()), tuple(odds.tolist()))


def _log_odds(calibrator: Calibrator, x: Floats) -> Floats:
    if calibrator.kind == "platt":
        slope, offset = calibrator.parameters
        return slope * x + offset
    if calibrator.kind == "beta":
        falling, rising, offset = calibrator.parameters
        return np.asarray(-falling * np.logaddexp(0, -x) + rising * np.logaddexp(0, x) + offset)
    centre, scale = calibrator.parameters
    levels = np.asarray(calibrator.levels)
    above = np.minimum(np.searchsorted(calibrator.knots, x), len(levels) - 1)
    steps = np.minimum(np.interp(x, calibrator.knots, levels), levels[above])  # interp may overshoot a knot by a bit
    away = (x - centre) / scale
    return np.asarray(steps + SLOPE * away / (1 + np.abs(away)))


def _check(made: Calibrator) -> None:
    sizes = {"platt": 2, "beta": 3, "isotonic": 2}
    numbers = (made.base_rate, *made.parameters, *made.knots, *made.levels)
    is_rising = all(a <= b for series in (made.knots, made.levels) for a, b in pairwise(series))
    slopes = made.parameters[:-1] if made.kind in ("platt", "beta") else made.parameters[1:]
    is_whole = len(made.knots) == len(made.levels) and (made.kind != "isotonic" or bool(made.knots))
    if len(made.parameters) != sizes.get(made.kind, -1) or not is_whole or not np.isfinite(numbers).all():
        raise CalibrationError(f"This {made.kind} calibrator has parts missing or not finite. Train the model again.")
    if not is_rising or min(slopes) < 0:
        raise CalibrationError(f"This {made.kind} calibrator falls somewhere: it would turn scores round. Train the model again.")
