"""Rows as the matrix that a model takes; training and scoring both come through here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from whence.contracts.models import FeatureSchema

if TYPE_CHECKING:
    import pandas as pd

Numbers = npt.NDArray[np.float64]
UNSEEN = -1.0
FEW = 4096
"""So many rows are put side by side at once, in two thirds of the time; more would be held twice for a while."""
PLAIN_NUMBERS: frozenset[type] = frozenset((int, float, bool, type(None)))
PLAIN_TEXTS: frozenset[type] = frozenset((str, type(None)))


class InputError(ValueError):
    """Rows do not fit the model's inputs; the message names the column."""


def encode(frame: pd.DataFrame | Mapping[str, Any], schema: FeatureSchema) -> Numbers:
    """The rows × features matrix that the model takes; training and scoring both come through here.

    >>> schema = FeatureSchema(("hour",), {"channel": ("search", "video")})
    >>> encode({"channel": ["video", "radio", None], "hour": [3, None, 5]}, schema).tolist()
    [[3.0, 1.0], [nan, -1.0], [5.0, nan]]
    """
    if missing := [name for name in schema.names if name not in frame]:
        raise InputError(f"The rows have no column {missing[0]}. The model takes {', '.join(schema.names)}.")
    if not schema.categories and (matrix := _as_floats(frame, schema.numbers)) is not None:
        return matrix
    columns = [number_column(name, frame[name]) for name in schema.numbers]
    columns += [_category_column(name, frame[name], codes) for name, codes in schema.codes.items()]
    if len(columns[0]) <= FEW and len(set(map(len, columns))) == 1:
        return np.ascontiguousarray(np.concatenate(columns).reshape(len(columns), -1).T)
    matrix = np.empty((len(columns[0]), len(columns)))
    for place, column in enumerate(columns):
        if len(column) != len(matrix):
            raise InputError(f"Columns have different lengths: {len(matrix)} and {len(column)}.")
        matrix[:, place] = column
    return matrix


def _as_floats(frame: pd.DataFrame | Mapping[str, Any], names: tuple[str, ...]) -> Numbers | None:
    """The columns of a data frame that are floats already, as they are; None where they want a closer look."""
    if not hasattr(frame, "dtypes"):
        return None
    kept = cast("pd.DataFrame", frame)[list(names)]
    is_plain = kept.shape[1] == len(names) and all(kind == np.float64 for kind in kept.dtypes)
    return np.ascontiguousarray(kept.to_numpy(dtype=np.float64)) if is_plain else None


def number_column(name: str, values: Any) -> Numbers:
    """A column of numbers, NaN where it has none; raises InputError for anything that is no number."""
    if type(values) is np.ndarray and values.dtype == np.float64 and values.ndim == 1:
        return values
    if _holds_only(values, PLAIN_NUMBERS):
        return np.array(values, dtype=np.float64)  # None becomes NaN
    kept = np.asarray(values)
    if kept.ndim != 1:
        raise InputError(f"Column {name} is there {kept.shape[-1]} times. Keep one.")
    if kept.dtype.kind in "fiub":
        return kept.astype(np.float64, copy=False)
    return np.array([_number(name, value) for value in kept.tolist()], dtype=np.float64)


def _number(name: str, value: object) -> float:
    if is_missing(value):
        return math.nan
    if isinstance(value, int | float):
        return float(value)
    raise InputError(f"Column {name} takes numbers, and {value!r} ({type(value).__name__}) came.")


def _category_column(name: str, values: Any, codes: Mapping[str | None, float]) -> Numbers:
    if _holds_only(values, PLAIN_TEXTS):
        return np.array([codes.get(value, UNSEEN) for value in values])
    kept = np.asarray(values, dtype=object)
    if kept.ndim != 1:
        raise InputError(f"Column {name} is there {kept.shape[-1]} times. Keep one.")
    return np.array([_code(name, value, codes) for value in kept.tolist()], dtype=np.float64)


def _code(name: str, value: object, codes: Mapping[str | None, float]) -> float:
    if isinstance(value, str):
        return codes.get(value, UNSEEN)
    if is_missing(value):
        return math.nan
    raise InputError(f"Column {name} is a category and takes text, and {value!r} ({type(value).__name__}) came.")


def _holds_only(values: Any, kinds: frozenset[type]) -> bool:
    """Whether values are what comes out of JSON, and all of these kinds: then they need no look one by one."""
    return type(values) in (list, tuple) and kinds.issuperset(map(type, values))


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN or one of pandas' own missing values."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")
