"""What a model was shown and what it said, for all options of one question at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """A row for each option: the inputs as the model took them, its raw score, the calibrated probability."""

    names: tuple[str, ...]
    """The schema's columns: numbers, then categories."""
    matrix: Numbers
    """Options × names; NaN is missing, a category is its place in the schema's list, or -1 when the model never saw it."""
    texts: Mapping[str, Sequence[str | None]]
    """What each category column said, option by option; empty for a model without categories."""
    raw: Numbers
    probability: Numbers
    options: Sequence[str]
    """The person or touch of each row."""
    chosen: int | None
    """The row that was taken."""

    def inputs(self, row: int) -> dict[str, float | str | None]:
        """One option's inputs by name, None where missing: what the decision log's `features` hold."""
        return {name: self._input(name, value, row) for name, value in zip(self.names, self.matrix[row].tolist(), strict=True)}

    def _input(self, name: str, value: float, row: int) -> float | str | None:
        if name in self.texts:
            return self.texts[name][row]
        return value if math.isfinite(value) else None
