"""The cells of rows as JSON has them, read into the matrix that a model takes; by `cells.c` where it was built.

What is built is built when whence is installed, as `whence/trees/blend.c` is; without it the same is done in Python, in five
times the time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whence import kernels
from whence.contracts.models import FeatureSchema
from whence.encoding import UNSEEN

Numbers = npt.NDArray[np.float64]
Row = Sequence[Any]
Cells = tuple[Numbers, dict[str, int]]
"""Rows × features, and by category the rows whose value the model never saw."""
NUMBERS: frozenset[type] = frozenset((int, float, type(None)))
TEXTS: frozenset[type] = frozenset((str, type(None)))
SOURCE = Path(__file__).with_name("cells.c")


def read(schema: FeatureSchema, rows: Sequence[Row]) -> Cells | None:
    """Rows in the schema's order, each whole; None when one holds what it may not, and nobody asked yet which.

    >>> read(FeatureSchema(("hour",), {"channel": ("search", "video")}), [[3, "video"], [None, "radio"]])
    (array([[ 3.,  1.],
           [nan, -1.]]), {'channel': 1})
    """
    kernel = compiled()
    return read_plainly(schema, rows) if kernel is None else _read(kernel, schema, rows)


def read_plainly(schema: FeatureSchema, rows: Sequence[Row]) -> Cells | None:
    """The same without the kernel: all looked at at once, column by column of the categories."""
    width, cells, unseen = len(schema.names), list(chain.from_iterable(rows)), dict[str, int]()
    for column, (name, codes) in enumerate(schema.codes.items(), len(schema.numbers)):
        said = cells[column::width]
        try:
            found = list(map(codes.get, said))
        except TypeError:  # a list, or an object
            return None
        if None in found:
            if not TEXTS.issuperset(map(type, said)):
                return None
            unseen[name] = found.count(None)
            found = [UNSEEN if code is None else code for code in found]
        cells[column::width] = found
    if not NUMBERS.issuperset(map(type, cells)):  # numpy would read "3" as 3
        return None
    try:
        return np.array(cells, dtype=np.float64).reshape(len(rows), width), unseen
    except OverflowError:
        return None


@cache
def compiled() -> Callable[..., int] | None:
    """The built kernel; None when there is none, or none that this machine can load."""
    if (kernel := kernels.loaded(SOURCE)) is None:
        return None
    found: Callable[..., int] = kernel.whence_cells_read
    kinds = (ctypes.py_object, ctypes.py_object, ctypes.c_ssize_t, ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p)
    found.argtypes = kinds  # type: ignore[attr-defined]
    return found


def _read(kernel: Callable[..., int], schema: FeatureSchema, rows: Sequence[Row]) -> Cells | None:
    codes = tuple(schema.codes.values())
    matrix, counts = np.empty((len(rows), len(schema.names))), np.zeros(len(codes), np.int64)
    listed = rows if type(rows) is list else list(rows)
    if kernel(listed, codes, len(schema.names), UNSEEN, matrix.ctypes.data, counts.ctypes.data):
        return None
    return matrix, {name: count for name, count in zip(schema.codes, counts.tolist(), strict=True) if count}
