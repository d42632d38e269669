"""Embeddings: rows of numbers, seen from a few directions that are the same every day and on every machine.

A vector becomes its length, its norm and where it lies along each direction, and these are summed up like any number: so a
summary is as large for ten numbers as for a thousand, and days merge. A change of the vectors changes how they lie along almost
every direction (Cramér and Wold 1936); the directions are of random signs (Achlioptas 2003).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from whence.summaries.distinct import mixed
from whence.summaries.histogram import Codes, Floats, number_codes

DIRECTIONS = 8
LENGTH, NORM = "length", "norm"
BITS = 8
"""Leading bits that are kept of a norm, and of a place along a direction: half a per cent."""
AT_ONCE = 4096
"""Vectors that are looked at together, so that they stay in the processor's cache."""


def as_vector(value: object) -> Floats | None:
    """A list of numbers as floats, NaN for those that are missing; None for an empty one, and for anything else."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "fiu":
        return value.astype(np.float64) if len(value) else None
    given = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(given, list | tuple) or not given or not all(each is None or _is_number(each) for each in given):
        return None
    return np.array([np.nan if each is None else as_float(each) for each in given])


def as_float(value: Any) -> float:
    """A number of any kind as a float; one beyond all floats is infinite."""
    try:
        return float(value)
    except OverflowError:  # a whole number
        return np.inf if value > 0 else -np.inf


def seen(vectors: Floats) -> Mapping[str, Floats]:
    """What is kept of vectors of one length, rows of a matrix: their norms, and how they lie along each direction.

    All of it is NaN for one that lacks a number, and infinite for one that holds an infinity.
    """
    parts = [_seen(vectors[first : first + AT_ONCE]) for first in range(0, len(vectors), AT_ONCE)]
    found = np.concatenate(parts, axis=1) if parts else np.zeros((1 + DIRECTIONS, 0))
    return dict(zip((NORM, *names()), found, strict=True))


def names() -> Iterator[str]:
    """What the directions are called."""
    return (f"direction {place}" for place in range(1, DIRECTIONS + 1))


def hashes(of: Mapping[str, Floats]) -> Codes:
    """A hash for each vector by what is kept of it; equal ones have equal hashes."""
    found = np.zeros(len(of[NORM]), np.uint64)
    for values in of.values():
        found = mixed(found ^ number_codes(values))
    return found


def _seen(vectors: Floats) -> Floats:
    """Norms and directions by row; added up number by number, since a matrix product's sums depend on the rows beside them."""
    columns = np.ascontiguousarray(vectors.T)
    signs = _signs(len(columns))
    found = np.zeros((1 + DIRECTIONS, len(vectors)))
    with np.errstate(over="ignore", invalid="ignore"):
        for column, each in zip(columns, signs, strict=True):
            found[0] += column * column
            found[1:] += each[:, None] * column
        found[0] = np.sqrt(found[0])
        found[1:] /= np.sqrt(len(columns))
    found = _rounded(found)
    found[:, np.isinf(vectors).any(axis=1)] = np.inf
    found[:, np.isnan(vectors).any(axis=1)] = np.nan
    return found


def _rounded(values: Floats) -> Floats:
    """As many digits as are kept: vectors of norm 1 are of norm 1, however an encoder's floats were rounded on the way."""
    share, power = np.frexp(values)
    return np.asarray(np.ldexp(np.round(share * 2**BITS), power - BITS))


@lru_cache(maxsize=16)
def _signs(length: int) -> Floats:
    """For each number of a vector its sign in each direction, by hash: a generator's stream may change with its library."""
    codes = mixed(np.arange(1, length * DIRECTIONS + 1, dtype=np.uint64))
    return np.where(codes >> np.uint64(63), 1.0, -1.0).reshape(length, DIRECTIONS)


def _is_number(value: object) -> bool:
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)
