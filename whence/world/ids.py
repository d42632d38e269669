"""Ids and coin tosses that follow from what they are about, so that nothing has to be remembered or handed on."""

from __future__ import annotations

import binascii
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

Keys = NDArray[np.uint64]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def key(about: str, *parts: ArrayLike) -> Keys:
    """A 64-bit key of a thing: what it is about, and the numbers that name it; arrays broadcast.

    >>> bool((key("cookie", 7, [1, 2]) == key("cookie", 7, [1, 2])).all())
    True
    >>> bool(key("cookie", 7, 1)[0] == key("device", 7, 1)[0])
    False
    """
    mixed = _stir(np.atleast_1d(np.asarray(zlib.crc32(about.encode()), dtype=np.uint64)))
    for part in parts:
        mixed = _stir(mixed ^ _stir(np.atleast_1d(np.asarray(part)).astype(np.uint64)))
    return mixed


def toss(about: str, *parts: ArrayLike) -> Floats:
    """A number from 0 to 1 that is always the same for the same thing."""
    return (key(about, *parts) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def text(keys: Keys) -> pa.StringArray:
    """Sixteen hexadecimal digits for each key.

    >>> text(np.array([255], dtype=np.uint64)).to_pylist()
    ['00000000000000ff']
    """
    digits = binascii.hexlify(keys.astype(">u8").tobytes())
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits))


def generator(seed: int, *stream: int | str) -> np.random.Generator:
    """The random numbers of one stream; another stream's use never moves them."""
    parts = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in stream]
    return np.random.default_rng([seed, *parts])


def pick(words: tuple[str, ...], places: NDArray[Any]) -> pa.Array:
    """The word at each place."""
    return pa.array(words, pa.string()).take(pa.array(places))


def _stir(values: Keys) -> Keys:
    """SplitMix64's finisher: every bit of the input moves every bit of the output."""
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
