"""Scores rows with LightGBM's own library and nothing else: no scikit-learn, no pandas, a tenth of a second to start.

`import lightgbm` costs 1.3 s of CPU, nearly all of it for its scikit-learn wrappers. The scorer and the process that
checks a bundle need two functions of LightGBM's documented C interface, so they call those.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whence.trees.errors import TreesError

FLOAT64, ROW_MAJOR, ALL_ROUNDS = 1, 1, -1
RAW_SCORE, CONTRIBUTIONS = 1, 3
CHUNK = 1_000_000
"""Rows a call; the C interface counts them in 32 bits."""


class Trees:
    """A LightGBM model read from its text, on one thread, safe to share between threads.

    A truncated or edited text does not raise here: it kills the process (measured). Verify its digest first.
    """

    engine = "lightgbm"

    def __init__(self, text: str) -> None:
        self.names = feature_names(text)
        self._library = library()
        self._handle = ctypes.c_void_p()
        rounds = ctypes.c_int(0)
        self._call("LGBM_BoosterLoadModelFromString", text.encode(), ctypes.byref(rounds), ctypes.byref(self._handle))

    def raw(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Raw scores (log-odds for a binary model), one a row of the rows × features matrix; NaN is missing."""
        return self._predicted(matrix, RAW_SCORE, 1)[:, 0]

    def contributions(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What each feature adds to each row's raw score (TreeSHAP), rows × features, and the mean score in a last column.

        A row sums to its raw score. Lundberg and others: From local explanations to global understanding (2020).
        """
        return self._predicted(matrix, CONTRIBUTIONS, len(self.names) + 1)

    def _predicted(self, matrix: npt.NDArray[np.float64], kind: int, width: int) -> npt.NDArray[np.float64]:
        if matrix.ndim != 2 or matrix.shape[1] != len(self.names):
            raise TreesError(f"The model takes {len(self.names)} columns, and a matrix of shape {matrix.shape} came.")
        parts = [self._predict(matrix[start : start + CHUNK], kind, width) for start in range(0, len(matrix), CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, width))

    def _predict(self, matrix: npt.NDArray[np.float64], kind: int, width: int) -> npt.NDArray[np.float64]:
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        scores = np.empty((len(rows), width))
        written = ctypes.c_int64(0)
        self._call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            rows.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(FLOAT64),
            ctypes.c_int32(rows.shape[0]),
            ctypes.c_int32(rows.shape[1]),
            ctypes.c_int(ROW_MAJOR),
            ctypes.c_int(kind),
            ctypes.c_int(0),
            ctypes.c_int(ALL_ROUNDS),
            b"num_threads=1 verbosity=-1",
            ctypes.byref(written),
            scores.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        if written.value != scores.size:
            raise TreesError(f"{len(rows)} rows went in and {written.value} numbers came out: this is no model with one output.")
        return scores

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            raise TreesError(f"LightGBM: {self._library.LGBM_GetLastError().decode(errors='replace')}")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.LGBM_BoosterFree(self._handle)


def feature_names(text: str) -> tuple[str, ...]:
    """The columns that a model text says it takes, in order.

    >>> feature_names("tree\\nfeature_names=age hour\\n")
    ('age', 'hour')
    """
    for line in text[:1_000_000].splitlines():
        if line.startswith("feature_names="):
            return tuple(line.removeprefix("feature_names=").split())
    raise TreesError("The text has no feature_names line, so it is no LightGBM model.")


@cache
def library() -> ctypes.CDLL:
    """LightGBM's shared library, found without importing the package around it."""
    package = find_spec("lightgbm")
    if package is None or package.origin is None:
        raise TreesError("LightGBM is not installed. Install requirements.lock.")
    folder = Path(package.origin).parent
    found = sorted(path for name in ("lib/lib_lightgbm.*", "bin/lib_lightgbm.*") for path in folder.glob(name))
    if not found:
        raise TreesError(f"There is no lib_lightgbm below {folder}. Install LightGBM from its wheel.")
    loaded = ctypes.CDLL(str(found[0]))
    loaded.LGBM_GetLastError.restype = ctypes.c_char_p
    return loaded
