"""What a calibrator sees beside the score: the fields of a row, and the trees that were grown on them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from whence.calibration.errors import CalibrationError
from whence.contracts.models import FeatureSchema
from whence.encoding import encode
from whence.trees import Engine, Trees, fastest

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fields:
    """The fields of the rows that a calibrator is fitted on."""

    matrix: Floats
    """The rows as the model takes them: whence.encoding.encode of them by `schema`."""
    schema: FeatureSchema
    columns: tuple[str, ...]
    """Those of the schema's columns that the calibrator may look at."""
    groups: npt.NDArray[Any] | None = None
    """Rows of one query or person, which are kept together where the number of rounds is chosen."""

    def take(self, rows: npt.NDArray[Any]) -> Fields:
        """Some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Fields(self.matrix[rows], self.schema, self.columns, groups)


@dataclass(frozen=True)
class FieldTrees:
    """A shallow LightGBM over (score, fields) that never falls in the score, as its text, and how to read its fields."""

    text: str
    inputs: tuple[str, ...]
    """All columns of the model's matrix, in order."""
    numbers: tuple[str, ...]
    """The columns that the trees take, behind the score: numbers …"""
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    """… then categories, each with its known values."""

    @classmethod
    def of(cls, text: str, schema: FeatureSchema, columns: tuple[str, ...]) -> FieldTrees:
        """Trees over these columns of a schema, in the schema's order."""
        numbers = tuple(name for name in schema.numbers if name in columns)
        categories = tuple((name, known) for name, known in schema.categories.items() if name in columns)
        return cls(text, schema.names, numbers, categories)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the trees take behind the score."""
        return (*self.numbers, *(name for name, _ in self.categories))

    def reads(self, schema: FeatureSchema) -> bool:
        """Whether a matrix of this schema is what the trees were grown on."""
        same = all(schema.categories.get(name) == known for name, known in self.categories)
        return schema.names == self.inputs and same and set(self.numbers) <= set(schema.numbers)

    def added(self, score: Floats, fields: pd.DataFrame | Floats | None) -> Floats:
        """What the fields add to the log-odds of each score, the shape of `score`."""
        rows = self.matrix(fields, score.size)
        return self._trees.raw(np.column_stack([score.ravel(), rows])).reshape(score.shape)

    def matrix(self, fields: pd.DataFrame | Floats | None, count: int) -> Floats:
        """The rows × columns that the trees take behind the score; raises CalibrationError when they do not fit."""
        if fields is None:
            raise CalibrationError(f"This calibrator also looks at {', '.join(self.columns)}. Give it the rows' fields.")
        if isinstance(fields, np.ndarray):
            if fields.ndim != 2 or fields.shape[1] != len(self.inputs):
                raise CalibrationError(f"A matrix of shape {fields.shape} came, and the model has {len(self.inputs)} columns.")
            rows = fields[:, self._places]
        else:
            rows = encode(fields, FeatureSchema(self.numbers, dict(self.categories)))
        if len(rows) != count:
            raise CalibrationError(f"{count} scores and the fields of {len(rows)} rows came. Give the fields of each.")
        return rows

    def to_json(self) -> dict[str, Any]:
        """A plain dict, with the SHA-256 of the text: LightGBM does not notice a changed one, and may die of it."""
        return {
            "lightgbm": self.text,
            "sha256": _sha256(self.text),
            "inputs": list(self.inputs),
            "numbers": list(self.numbers),
            "categories": [[name, list(known)] for name, known in self.categories],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> FieldTrees:
        """What `to_json` wrote; raises CalibrationError when the text is another."""
        text = str(given["lightgbm"])
        if _sha256(text) != given["sha256"]:
            raise CalibrationError("The trees of this calibrator were changed. Train the model again.")
        categories = tuple((str(name), tuple(map(str, known))) for name, known in given["categories"])
        return cls(text, tuple(map(str, given["inputs"])), tuple(map(str, given["numbers"])), categories)

    @cached_property
    def _trees(self) -> Engine:
        return fastest(self.text, Trees(self.text))

    @cached_property
    def _places(self) -> list[int]:
        return [self.inputs.index(name) for name in self.columns]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
