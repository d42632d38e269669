"""What the gate is given: two sides' answers on the same held-out rows, and what is known of the candidate's making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]
Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Evaluation:
    """One bundle's probabilities on held-out rows, with what the gate needs to know of each row."""

    bundle: str
    as_of: str
    """The last day of data that it may have seen."""
    labels: Floats
    """1 where it was so, 0 where not."""
    probability: Floats
    baseline: Floats
    """The baseline's probability for the same rows."""
    persons: npt.NDArray[Any]
    """Whose row it is: rows of a person stand or fall together."""
    slices: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """For each column that rows are cut by, the row's part."""
    queries: npt.NDArray[Any] | None = None
    """Rows that compete, as the candidates of one signal."""
    label_age_days: Floats | None = None
    """How long each label had to come."""
    ripens_after_days: float = 0.0
    """From this age on a label hardly changes."""
    most_candidates: int | None = None
    """Where its list of candidates is cut; None where nothing is retrieved."""
    unscored: int = 0
    """Rows whose score before calibration is no number: a calibrator gives such a row the mean, and hides it."""
    size_bytes: int = 0
    cpu_us: float = 0.0
    """Microseconds of CPU that scoring takes a row, measured."""

    @property
    def last_day(self) -> date | None:
        """`as_of` as a date."""
        return date.fromisoformat(self.as_of) if self.as_of else None


@dataclass(frozen=True)
class Learned:
    """What a candidate was fitted on, as its report says: hashes, and when each row was seen."""

    rows: Hashes
    persons: Hashes
    content: Hashes
    """Of inputs and label together."""
    seen_at: Times


@dataclass(frozen=True)
class Retrieved:
    """Where each query's positive was listed (from 0) before the list was cut; NaN where it was not."""

    place: Floats
    persons: npt.NDArray[Any]


@dataclass(frozen=True)
class Finding:
    """What monitoring found in the candidate's data on its last day."""

    model: str
    level: str
    metric: str
    segment: str
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What is known of the candidate's making and inputs, beside its answers; None where its report does not say."""

    rows: Hashes
    """Of the held-out rows' ids."""
    persons: Hashes
    content: Hashes
    seen_at: Times
    delay_days: Floats
    """How long a positive label took to come; NaN for the others."""
    features: Floats
    """Rows × inputs as the model takes them: a category's place, -1 where it is unseen, NaN where it is missing."""
    names: tuple[str, ...]
    categories: frozenset[str]
    learned: Learned | None = None
    is_by_person: bool = True
    """Whether people were kept apart by lot; otherwise time alone keeps the parts apart."""
    retrieved: Retrieved | None = None
    findings: tuple[Finding, ...] | None = None
