"""Fits a calibrator of any kind to scores and labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from whence.calibration import field_trees
from whence.calibration.calibrator import KINDS, Calibrator
from whence.calibration.errors import CalibrationError
from whence.calibration.fields import Fields

Floats = npt.NDArray[np.float64]
Fit = Callable[[Floats, Floats, Floats, float], Calibrator]

MOST = 30.0
"""Scores beyond this are taken as this while fitting, so that one of them cannot turn a line."""


def fit(
    kind: str, raw: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, fields: Fields | None = None
) -> Calibrator:
    """A calibrator fitted to raw scores (log-odds) and labels in [0, 1] on rows that the model did not learn from.

    `kind` is platt (two numbers, right for little data), beta (three; bends each end on its own), isotonic (a staircase;
    wants thousands of rows), venn_abers (a staircase with two probabilities for each score, see Calibrator.interval) or
    monotone_gbdt (trees over score and `fields`, for scores whose level hangs on the query or the field, such as those of
    a ranker). Rows with a NaN score are left out.
    Raises CalibrationError for an unknown kind, or labels of one class alone.

    >>> rising = fit("platt", [-2, -1, 1, 2] * 50, [0, 0, 1, 1] * 50)
    >>> bool(rising.apply(1.0) > 0.9)
    True
    """
    from whence.calibration import lines, steps  # here, for their optimiser is a third of what a process that only scores loads

    if kind not in KINDS:
        raise CalibrationError(f"There is no calibrator '{kind}'. Choose one of {', '.join(KINDS)}.")
    x, y = np.asarray(raw, dtype=np.float64).ravel(), np.asarray(labels, dtype=np.float64).ravel()
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if not len(x) == len(y) == len(w):
        raise CalibrationError(f"{len(x)} scores, {len(y)} labels and {len(w)} weights came. Give one of each a row.")
    kept = ~np.isnan(x) & (w > 0)
    x, y, w = np.clip(x[kept], -MOST, MOST), y[kept], w[kept]
    positive, negative = float((w * y).sum()), float((w * (1 - y)).sum())
    if positive <= 0 or negative <= 0:
        raise CalibrationError(f"A calibrator needs both classes; {positive:g} positive and {negative:g} negative labels came.")
    base = positive / (positive + negative)
    if kind == "monotone_gbdt":
        if fields is None or len(fields.matrix) != len(kept):
            raise CalibrationError("A monotone_gbdt calibrator needs the fields of every row. Give `fields`.")
        return field_trees.fit(lines.fit("platt", x, y, w, base), x, y, w, fields.take(np.flatnonzero(kept)))
    simple: dict[str, Fit] = {"isotonic": steps.isotonic, "venn_abers": steps.venn_abers}
    return simple[kind](x, y, w, base) if kind in simple else lines.fit(kind, x, y, w, base)
