"""Examples: labelled rows of one model, with what a split, a measure and a gate need to know of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.audit import Audit
from whence.delay import is_ripe, maturity_curve

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FACTS = ("row_id", "label", "delay_days", "happened_at", "seen_at", "person", "group", "segment", "baseline_group")
"""The columns of `Examples.facts`; `group` is the query that a row competes in, empty when it competes in none."""
CONVERSIONS_FOR_A_CURVE = 100
NEARLY_ALL = 0.99


@dataclass(frozen=True)
class Examples:
    """A row for each example, in the order of (seen_at, row_id), as known at `now`."""

    inputs: pd.DataFrame
    """The model's inputs: `numbers` as floats, `categories` as text."""
    facts: pd.DataFrame
    """The columns of FACTS, row by row with the inputs; `delay_days` is from the event until its label was known, NaN for 0."""
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    now: datetime
    """The end of the last day: labels are as known then."""
    window_days: float = 0.0
    """How long a label may still change from 0 to 1; 0 when it is known at once."""
    learning: Mapping[str, Any] = field(default_factory=dict)
    """LightGBM's parameters where this model needs others than training.fit's."""
    audit: Audit | None = None
    """Asked once the model is trained, about persons that it has not learned from; its answers go into the report."""
    retrieval: pd.DataFrame | None = None
    """Where rows are retrieved candidates: for each query `group`, `person`, `seen_at`, and the `place` (from 0) at which its
    positive was listed, before the list was cut; NaN when it was not."""

    @property
    def labels(self) -> Floats:
        """0 or 1, as known now."""
        return np.asarray(self.facts["label"].to_numpy(dtype=np.float64))

    @property
    def seen_at(self) -> pd.Series:
        """When each row was known; splits in time go by it."""
        return self.facts["seen_at"]

    def elapsed(self, at: datetime) -> Floats:
        """Days from each row's event until `at`, at least 0."""
        days = (pd.Timestamp(at) - self.facts["happened_at"]).dt.total_seconds().to_numpy(dtype=np.float64) / 86_400
        return np.asarray(np.maximum(days, 0.0))

    def ripens_after(self) -> float:
        """Days after which at least 99 % of a row's conversions are known; the window when few came to tell.

        A conversion that comes still later counts, but nobody waits a week for the last hundredth.
        """
        if not self.window_days:
            return 0.0
        delays, watched = self.facts["delay_days"].to_numpy(dtype=np.float64), self.elapsed(self.now)
        if int((self.labels > 0).sum()) < CONVERSIONS_FOR_A_CURVE:
            return self.window_days
        curve = maturity_curve(watched, delays, self.window_days)
        reached = curve.ages[curve.shares >= NEARLY_ALL]
        return min(float(reached[0]), self.window_days) if len(reached) else self.window_days

    def ripe(self) -> Bools:
        """Rows whose label can be judged by."""
        return is_ripe(self.elapsed(self.now), self.ripens_after())

    def digest(self) -> str:
        """SHA-256 of inputs, labels and times: two trainings with the same one learned from the same rows."""
        seen = hashlib.sha256()
        for frame in (self.inputs, self.facts):
            seen.update(",".join(frame.columns).encode())
            seen.update(np.ascontiguousarray(pd.util.hash_pandas_object(frame, index=False).to_numpy()).tobytes())
        return seen.hexdigest()

    def keep(self, rows: npt.NDArray[np.bool_]) -> Examples:
        """These rows alone, in the same order."""
        chosen = np.flatnonzero(rows)
        inputs, facts = (frame.iloc[chosen].reset_index(drop=True) for frame in (self.inputs, self.facts))
        return replace(self, inputs=inputs, facts=facts)


def made(
    inputs: pd.DataFrame,
    facts: pd.DataFrame,
    categories: tuple[str, ...],
    now: datetime,
    window_days: float = 0.0,
    learning: Mapping[str, Any] | None = None,
    audit: Audit | None = None,
) -> Examples:
    """Examples in their order; every column of FACTS must be there."""
    order = facts.reset_index(drop=True).sort_values(["seen_at", "row_id"], kind="stable").index.to_numpy()
    facts = facts.iloc[order].reset_index(drop=True)[list(FACTS)]
    numbers = tuple(name for name in inputs.columns if name not in categories)
    inputs = inputs.iloc[order].reset_index(drop=True)
    return Examples(inputs, facts, numbers, categories, now, window_days, learning or {}, audit)
