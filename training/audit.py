"""What a trained model is asked beyond its test rows: an audit belongs to the examples, because it needs what they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.calibration import Calibrator
from whence.contracts.models import FeatureSchema
from whence.encoding import encode
from whence.measures import Measure
from whence.trees import Trees

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A trained model as it will answer in a bundle."""

    schema: FeatureSchema
    trees: Trees
    calibrator: Calibrator

    def score(self, frame: Any) -> tuple[Floats, Floats]:
        """Raw scores and calibrated probabilities, one a row."""
        matrix = encode(frame, self.schema)
        raw = self.trees.raw(matrix)
        return raw, np.asarray(self.calibrator.apply(raw, matrix), dtype=np.float64)


@dataclass(frozen=True)
class Audited:
    """What came of an audit."""

    measures: Mapping[str, Measure] = field(default_factory=dict)
    """For the candidate's report."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """For the bundle to carry, because serving needs it."""


Audit = Callable[[Trained, set[str]], Audited]
"""Asks a model about these persons alone, from whom it has not learned."""
