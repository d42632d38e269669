"""How right would a model be if its probabilities were? An estimate without any label, and an early warning alone.

Believing the probabilities, each decision is a 1 with the chance that was said (confidence-based performance estimation). It
sees that a model is asked harder questions than before; it cannot see that the answers have become wrong.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring import checks
from monitoring.checks import Check
from monitoring.quality.ripe import LEAST_ROWS, taken_of
from whence import measures

FLOOR = 1e-12


def estimated_checks(model: str, rows: pd.DataFrame) -> list[Check]:
    """Brier, log-loss and AUC as the probabilities themselves foretell them; metrics begin with `estimated_`.

    `rows` have probability and subject: rows of one subject are drawn together.
    """
    if len(rows) < LEAST_ROWS:
        return []
    p = np.clip(rows["probability"].to_numpy(np.float64), FLOOR, 1 - FLOOR)
    subject = rows["subject"].to_numpy()
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return [
        taken_of(model, "estimated_brier", measures.mean(p * (1 - p), subject)),
        taken_of(model, "estimated_log_loss", measures.mean(entropy, subject)),
        checks.plain(model, "estimated_roc_auc", "all", estimated_roc_auc(p), len(p)),
    ]


def estimated_roc_auc(probability: npt.ArrayLike) -> float:
    """The chance that a 1 drawn by these probabilities scores above a 0 drawn from the other rows, ties by half.

    >>> estimated_roc_auc([1.0, 0.0])
    1.0
    >>> estimated_roc_auc([0.3, 0.3, 0.3])
    0.5
    """
    p = np.sort(np.asarray(probability, dtype=np.float64))
    first = np.unique(p, return_index=True)[1]
    below = np.concatenate([[0.0], np.cumsum(1 - p)])[first]  # the 0s to be expected beneath each value
    tied = np.add.reduceat(1 - p, first)
    ones = np.add.reduceat(p, first)
    wins = float((ones * (below + tied / 2)).sum()) - float((p * (1 - p)).sum()) / 2  # no row is paired with itself
    pairs = float(p.sum() * (1 - p).sum() - (p * (1 - p)).sum())
    return wins / pairs if pairs > 0 else 0.5
