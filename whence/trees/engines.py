"""Which engine scores a model: the fastest that gives LightGBM's own scores, bit by bit, on rows made to catch it out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from whence.trees import blend
from whence.trees.errors import TreesError
from whence.trees.lightgbm import Trees
from whence.trees.text import Forest, read

Floats = npt.NDArray[np.float64]

ROWS = 512
"""Adversarial rows; each holds such a value in every feature."""
FEW = 17
"""Rows that are scored once more in a block of their own, since a block of few rows goes another way."""
NUMBERS = (0.0, -0.0, 1e-35, -1e-35, 1e-40, -1e-40, 5e-324, -5e-324, 1e300, -1e300, np.inf, -np.inf, np.nan)
CODES = (-1.0, -0.5, 0.5, -1e12, 1e12, 255.0, 256.0, 65_536.0, 2.0**31 - 1, 2.0**31, 2.0**32, 1e300, np.inf, -np.inf, np.nan)
log = logging.getLogger(__name__)


class Engine(Protocol):
    """What scores rows."""

    @property
    def engine(self) -> str:
        """Its name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it takes, in order."""

    def raw(self, matrix: Floats) -> Floats:
        """Raw scores, one a row of the rows × features matrix; NaN is missing."""


def fastest(text: str, judge: Trees, golden: Floats | None = None) -> Engine:
    """The fastest engine of this machine that scores as `judge` does, which is LightGBM with the same text.

    Compared are the `golden` rows × features and adversarial rows of the model itself. What cannot be read exactly, or
    scores one row otherwise, is left to the judge, and the log says why.
    """
    try:
        forest = read(text)
        rows = adversarial(forest)
        if golden is not None:
            rows = np.concatenate([golden, rows])
        wanted = judge.raw(rows)
        for engine in _kernels(forest):
            if is_same(engine.raw(rows), wanted) and is_same(engine.raw(rows[:FEW]), wanted[:FEW]):
                return engine
            log.error("%s does not score this model as LightGBM does, and is not used. Please report the model.", engine.engine)
    except TreesError as reason:
        log.info("LightGBM scores this model: %s", reason)
    return judge


def is_same(one: Floats, other: Floats) -> bool:
    """Whether two arrays of scores hold the same bits."""
    return np.array_equal(one.view(np.int64), other.view(np.int64))


def adversarial(forest: Forest, seed: int = 0) -> Floats:
    """Rows that are made of a model: its thresholds and their next neighbours, its codes, and what no feature should hold."""
    rng = np.random.default_rng(seed)
    return np.column_stack([_drawn(_values(forest, feature), rng) for feature in range(len(forest.names))])


def _drawn(values: Floats, rng: np.random.Generator) -> Floats:
    """Each value as often as any other, in an order that no other feature has."""
    rounds = -(-ROWS // len(values))
    return np.concatenate([rng.permutation(values) for _ in range(rounds)])[:ROWS]


def _values(forest: Forest, feature: int) -> Floats:
    mine = forest.feature == feature
    known = np.unique(forest.threshold[mine & ~forest.is_category])
    beside = np.concatenate([known, np.nextafter(known, np.inf), np.nextafter(known, -np.inf)])
    codes = np.unique(forest.members(np.flatnonzero(mine & forest.is_category))[1]).astype(np.float64)
    return np.concatenate([NUMBERS, beside, codes, codes + 0.5, CODES if len(codes) else ()])


def _kernels(forest: Forest) -> Iterator[Engine]:
    for vectors in range(blend.vectors(), -1, -1):
        yield blend.Blend(forest, vectors)
