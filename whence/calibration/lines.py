"""Platt's and the beta calibrator: logistic regressions on one or two rising terms of the score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from whence.calibration.calibrator import FLOOR, Calibrator
from whence.calibration.staircase import SLOPE

Floats = npt.NDArray[np.float64]


def fit(kind: str, x: Floats, y: Floats, w: Floats, base: float) -> Calibrator:
    """Logistic regression with slopes above zero; Platt's softened targets keep it finite.

    Platt: Probabilistic outputs for support vector machines (1999). Kull, Silva Filho, Flach: Beta calibration (2017).
    """
    positive, negative = float((w * y).sum()), float((w * (1 - y)).sum())
    targets = y * (positive + 1) / (positive + 2) + (1 - y) / (negative + 2)
    terms = np.column_stack([-np.logaddexp(0, -x), np.logaddexp(0, x)]) if kind == "beta" else x[:, None]
    scale = np.maximum(terms.std(axis=0), 1e-9)
    z, total = terms / scale, w.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = z @ theta[:-1] + theta[-1]
        error = w * (expit(margin) - targets) / total
        value = float((w * (np.logaddexp(0, margin) - targets * margin)).sum() / total)
        return value, np.append(z.T @ error, error.sum())

    start = np.append(scale, float(logit(np.clip(base, FLOOR, 1 - FLOOR))))
    bounds = [(SLOPE, None)] * z.shape[1] + [(None, None)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-9}).x
    return Calibrator(kind, base, (*(float(a) for a in best[:-1] / scale), float(best[-1])))
