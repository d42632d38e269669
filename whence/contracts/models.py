"""The four models by name, and what passes between training, gate and serving."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

IDENTITY_RANKER = "identity-ranker"
ATTRIBUTION_RANKER = "attribution-ranker"
CONVERSION_VALUE = "conversion-value"
EXPOSURE_RESPONSE = "exposure-response"
MODELS = (IDENTITY_RANKER, ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE)
LABELLED = (IDENTITY_RANKER, ATTRIBUTION_RANKER, CONVERSION_VALUE)
"""Those whose probabilities can be checked by what comes of decisions; exposure-response is asked about conversions alone."""


@dataclass(frozen=True)
class FeatureSchema:
    """A model's inputs in order: numbers first come, and for each category its list of known values.

    A category's code is its place in the list; an unseen value gets the code -1, a missing one NaN.
    """

    numbers: tuple[str, ...]
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All columns in the model's order: numbers, then categories."""
        return (*self.numbers, *self.categories)

    @cached_property
    def codes(self) -> dict[str, dict[str | None, float]]:
        """The code of each category's known values, and of a missing one."""
        return {
            name: {None: math.nan} | {value: float(place) for place, value in enumerate(known)}
            for name, known in self.categories.items()
        }


@dataclass(frozen=True)
class Candidate:
    """A trained bundle that nobody has judged yet; small enough to be handed on by name."""

    model: str
    bundle: str
    """SHA-256 of the bundle's content."""
    as_of: str
    """The last day of data that it may have seen."""
    folder: str
    """Where its report lies: test.parquet, metrics.json, params.json, plots."""
    drill: str = ""
    """Not empty when it was spoiled on purpose, as `shuffled_labels`."""
    recalibrates: str = ""
    """The bundle whose trees it has, with a calibrator of its own; empty when its trees are new."""

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return asdict(self)
