"""Scores with our own kernel, `blend.c`, where it was built when whence was installed.

It is built then and not at run time, because a machine that serves has no compiler, a service may not write where its code
lies, and the first request should not wait for one. Without it everything works, and LightGBM scores.
"""

from __future__ import annotations

import ctypes
import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whence.trees.errors import TreesError
from whence.trees.layout import lay_out
from whence.trees.text import Forest

SOURCE = Path(__file__).with_name("blend.c")
NAMES = ("blend", "blend-avx2", "blend-avx512")
"""By the width of vectors, as `blend.c` counts them."""
ARRAYS = ("numbers", "thresholds", "categories", "codes", "groups", "trees", "splits", "sets", "forks", "nodes", "leaves")
COUNTS = ("number_count", "category_count", "group_count", "leaf_slots", "slots", "features")


class _Forest(ctypes.Structure):
    _fields_ = (*((name, ctypes.c_void_p) for name in ARRAYS), *((name, ctypes.c_int32) for name in COUNTS))


class Blend:
    """A forest ready for the kernel; immutable, and safe to share between threads."""

    def __init__(self, forest: Forest, vectors: int) -> None:
        """`vectors` chooses among NAMES; raises TextError when the forest does not fit, TreesError when there is no kernel."""
        layout = lay_out(forest)
        self.names, self.engine = forest.names, NAMES[vectors]
        self._kernel, self._vectors = kernel(), vectors
        self._arrays = layout.arrays  # the structure points into them
        places = {name: array.ctypes.data for name, array in layout.arrays.items()}
        self._forest = _Forest(**places, **layout.counts)
        self._place = ctypes.addressof(self._forest)

    def raw(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Raw scores, one a row of the rows × features matrix; NaN is missing."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self.names):
            raise TreesError(f"The model takes {len(self.names)} columns, and a matrix of shape {matrix.shape} came.")
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        scores = np.empty(len(rows))
        if self._kernel.whence_blend_score(self._place, _address(rows), len(rows), _address(scores), self._vectors):
            raise TreesError("There is no memory left to score in.")
        return scores


def _address(array: npt.NDArray[np.float64]) -> int:
    """Where an array's numbers lie, asked in a fifth of the time that numpy takes to say so."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # it may not be written to, or is empty
        return array.ctypes.data


def vectors() -> int:
    """The widest vectors that the kernel has for this processor; raises TreesError when there is no kernel."""
    return int(kernel().whence_blend_vectors())


def path() -> Path:
    """Where the kernel of this very source lies once it is built."""
    return SOURCE.with_name(f"_blend-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so")


@cache
def kernel() -> ctypes.CDLL:
    """The built kernel; raises TreesError when there is none, or none that this machine can load."""
    if not path().exists():
        raise TreesError("The scoring kernel was not built. Install a C compiler, then whence again: `make install`.")
    try:
        loaded = ctypes.CDLL(str(path()))
    except OSError as wrong:
        raise TreesError(f"The scoring kernel cannot be loaded ({wrong}). Install whence again on this machine.") from None
    loaded.whence_blend_score.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int,
    )
    return loaded
