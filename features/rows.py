"""Packed rows read: asked of Redis, out of its answer, into slots side by side, and the texts behind these; by `rows.c` where it was built.

What is built is built when whence is installed, as `whence/trees/blend.c` is; without it the same is done by numpy and hiredis,
and a match that nobody asked for a moment ago takes a tenth longer.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

import numpy as np

from features.packing import FIRST, FOREIGN, MARK, Ints, Layout, is_of
from whence import kernels

Found = list[bytes | None]
"""Rows as they were packed, with something before each maybe; None for one that is not there."""
SOURCE = Path(__file__).with_name("rows.c")


def in_resp(keys: list[str], place: str) -> bytes:
    """Keys of rows as Redis is asked for them in RESP, `place` before each, which is ASCII.

    >>> in_resp(["n1", "é"], "v:")
    b'$4\\r\\nv:n1\\r\\n$4\\r\\nv:\\xc3\\xa9\\r\\n'
    """
    if (kernel := compiled()) is None:
        return in_resp_plainly(keys, place)
    packed: bytes = kernel.whence_rows_in_resp(keys, place.encode())
    return packed


def in_resp_plainly(keys: list[str], place: str) -> bytes:
    """The same without the kernel."""
    names = [(place + key).encode() for key in keys]
    return b"".join([b"$%d\r\n%b\r\n" % (len(name), name) for name in names])


def taken(came: bytes, at: int, count: int) -> tuple[Found, int] | None:
    """The next texts of an answer in RESP, and the place behind them; None where they are not all there, or there is no kernel.

    None, too, for what is no text: who reads it in another way will say what it is.
    """
    if (kernel := compiled()) is None:
        return None
    found: Found = [None] * count
    end = kernel.whence_rows_taken(came, at, count, found)
    return None if end < 0 else (found, end)


def slots_of(layout: Layout, found: Found, start: int) -> Ints:
    """The slots of rows that begin at `start` of their bytes: rows × slots, those of another layout not there but for their mark."""
    kernel = compiled()
    if kernel is None:
        return slots_of_plainly(layout, found, start)
    read = np.empty((len(found), len(layout.nothing)), np.int64)
    if kernel.whence_rows_slots(found, start, len(layout.nothing), layout.mark, layout.nothing, read):
        return _one_by_one(layout, found, start)
    return read


def slots_of_plainly(layout: Layout, found: Found, start: int) -> Ints:
    """The same without the kernel."""
    nothing, end = layout.nothing.tobytes(), start + layout.size
    heads = b"".join([nothing if packed is None else packed[start:end] for packed in found])
    if len(heads) == layout.size * len(found):
        read = np.frombuffer(heads, dtype="<i8").reshape(-1, len(layout.nothing))
        if read[:, MARK].tolist().count(layout.mark) + found.count(None) == len(found):
            return read
    return _one_by_one(layout, found, start)


def _one_by_one(layout: Layout, found: Found, start: int) -> Ints:
    return np.stack([layout.nothing if packed is None else _slots(layout, packed[start:]) for packed in found])


def _slots(layout: Layout, payload: bytes) -> Ints:
    if is_of(layout, payload):
        return np.frombuffer(payload, dtype="<i8", count=len(layout.nothing))
    row = layout.nothing.copy()
    row[MARK] = FOREIGN
    return row


def texts_at(layout: Layout, found: Found, read: Ints, start: int, place: int) -> list[str | None]:
    """The text of each row that is the one at `place` of its layout's, None where it has none; `read` are the rows' slots.

    Raises UnicodeDecodeError for what is no UTF-8.
    """
    kernel = compiled()
    if kernel is None:
        return texts_at_plainly(layout, found, read, start, place)
    width, first = len(layout.nothing), FIRST + len(layout.names)
    told: list[str | None] = kernel.whence_rows_texts(found, read, width, first, place, start + layout.size)
    return told


def texts_at_plainly(layout: Layout, found: Found, read: Ints, start: int, place: int) -> list[str | None]:
    """The same without the kernel."""
    first = FIRST + len(layout.names)
    lengths = read[:, first : first + place + 1]
    ends = start + layout.size + np.maximum(lengths, 0).sum(axis=1)
    rows = zip(found, lengths[:, place].tolist(), ends.tolist(), strict=True)
    return [None if packed is None or length < 0 else packed[end - length : end].decode() for packed, length, end in rows]


@cache
def compiled() -> ctypes.PyDLL | None:
    """The built kernel; None when there is none that this machine can use."""
    kernel = kernels.loaded(SOURCE) if sys.byteorder == "little" else None
    if kernel is not None:
        size, data = ctypes.c_ssize_t, ctypes.py_object
        kernel.whence_rows_in_resp.argtypes = (data, ctypes.c_char_p)
        kernel.whence_rows_in_resp.restype = data
        kernel.whence_rows_taken.argtypes = (data, size, size, data)
        kernel.whence_rows_taken.restype = size
        kernel.whence_rows_slots.argtypes = (data, size, size, ctypes.c_int64, data, data)
        kernel.whence_rows_texts.argtypes = (data, data, size, size, size, size)
        kernel.whence_rows_texts.restype = data
    return kernel
