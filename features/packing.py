"""A feature row as bytes: slots of eight bytes that numpy reads for many rows at once, the texts behind them.

    slot 0            the layout's mark: another one means that the contract or this format has changed since
    slot 1            seen_at, as microseconds since 1970
    numbers, times    in the contract's order: float64 with NaN for missing, and int64 microseconds with NOT_A_TIME
    texts' lengths    in bytes, in the contract's order; -1 for missing
    texts             UTF-8, one after the other

The long texts of LONG come last, and a place for rows may keep them apart: a question about many keys reads the others alone.

All little-endian. A whole number is held as float64 and must not be beyond 2^53, which float64 holds exactly.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.tables import FEATURES
from whence.contracts.times import EPOCH, micros

Ints = npt.NDArray[np.int64]

FORMAT = 3
"""Of the bytes, and of how they are kept; 1 was JSON, 2 kept long texts with the others."""
NOT_A_TIME = -(2**63)
FOREIGN = -1
"""The mark of a row that is packed as another version packs, and cannot be read."""
NEVER = 2**62
"""The seen_at of a row that is not there: so far ahead that no `now` has reached it."""
EXACT = 2**53
SLOT = 8
MARK, SEEN_AT, FIRST = 0, 1, 2
"""The places of a row's mark, of its seen_at, and of its first feature."""

JOIN_KEYS: dict[str, tuple[str, ...]] = {
    name: tuple(key for key in table.key if key != "day") for name, table in FEATURES.items()
}
"""What each view is looked up by, as `{"pair_features": ("ip_key", "person_id")}`."""

FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple(column for column in table.schema.names if column not in {"day", "seen_at", *JOIN_KEYS[name]})
    for name, table in FEATURES.items()
}
"""The features of each view, in the contract's order."""

INSTANTS: dict[str, frozenset[str]] = {
    name: frozenset(column for column in FIELDS[name] if pa.types.is_timestamp(table.schema.field(column).type))
    for name, table in FEATURES.items()
}
"""The features that are times."""

LONG: dict[str, tuple[str, ...]] = {"person_features": ("recent_touches", "recent_sales")}
"""Texts that are read of one key at a time, and longer than all else in the row together."""

Held = tuple[int, bytes]
"""One packed row as stored: when it could first be known, in microseconds since 1970, and its bytes."""


class PackError(ValueError):
    """A value does not fit its slot, or bytes are of another layout; the message says what to do."""


@dataclass(frozen=True)
class Layout:
    """Where each feature of a view lies in a packed row."""

    view: str
    names: tuple[str, ...]
    """Numbers and times, a slot each."""
    times: frozenset[str]
    whole: frozenset[str]
    """Numbers that are integers in the tables."""
    texts: tuple[str, ...]
    """Those that are kept apart come last."""
    long: tuple[str, ...] = ()
    """The texts that are kept apart."""
    slots: Mapping[str, int] = field(init=False)
    kept_as_text: frozenset[str] = field(init=False)
    mark: int = field(init=False)
    nothing: Ints = field(init=False)
    """The slots of a row that is not there."""

    def __post_init__(self) -> None:
        """Count the slots once."""
        said = orjson.dumps([FORMAT, self.view, self.names, sorted(self.times), sorted(self.whole), self.texts])
        object.__setattr__(self, "slots", {name: FIRST + place for place, name in enumerate((*self.names, *self.texts))})
        object.__setattr__(self, "kept_as_text", frozenset(self.texts))
        object.__setattr__(self, "mark", zlib.crc32(said) << 8 | FORMAT)
        row = np.full(FIRST + len(self.slots), -1, dtype=np.int64)
        row[MARK], row[SEEN_AT] = 0, NEVER
        for name in self.names:
            row[self.slots[name]] = NOT_A_TIME if name in self.times else np.float64(np.nan).view(np.int64)
        row.setflags(write=False)
        object.__setattr__(self, "nothing", row)

    @property
    def size(self) -> int:
        """Bytes of the slots."""
        return SLOT * len(self.nothing)

    def texts_read(self, is_whole: bool) -> tuple[str, ...]:
        """The texts that come with a row, read whole or without its long ones."""
        return self.texts if is_whole else self.texts[: len(self.texts) - len(self.long)]

    @property
    def struct(self) -> struct.Struct:
        """How the slots are written."""
        kinds = "".join("q" if name in self.times else "d" for name in self.names)
        return struct.Struct(f"<qq{kinds}{'q' * len(self.texts)}")


def _layout(view: str) -> Layout:
    kinds = {name: FEATURES[view].schema.field(name).type for name in FIELDS[view]}
    texts = tuple(name for name, kind in kinds.items() if pa.types.is_string(kind))
    whole = frozenset(name for name, kind in kinds.items() if pa.types.is_integer(kind))
    long = LONG.get(view, ())
    ordered = (*(name for name in texts if name not in long), *long)
    return Layout(view, tuple(name for name in kinds if name not in texts), INSTANTS[view], whole, ordered, long)


LAYOUTS: dict[str, Layout] = {view: _layout(view) for view in FEATURES}


def pack(view: str, values: Mapping[str, Any], seen_at: int) -> Held:
    """A row of the view, known since `seen_at` (microseconds since 1970); what `values` lacks is missing.

    >>> unpack("campaign_features", pack("campaign_features", {"views_7d": 3}, 0)[1])["views_7d"]
    3

    Raises PackError for a value that is not of its feature's kind, and for a whole number that float64 does not hold.
    """
    layout = LAYOUTS[view]
    slots = [
        _time(view, name, values.get(name)) if name in layout.times else _number(layout, name, values) for name in layout.names
    ]
    texts = [_text(view, name, values.get(name)) for name in layout.texts]
    lengths = [-1 if text is None else len(text) for text in texts]
    head = layout.struct.pack(layout.mark, seen_at, *slots, *lengths)
    return seen_at, head + b"".join(text for text in texts if text is not None)


def pack_rows(view: str, rows: pa.RecordBatch) -> list[Held]:
    """Rows with the view's features and their `seen_at`, each packed as `pack` packs it; many times faster than one by one.

    Raises PackError for a whole number that float64 does not hold.
    """
    layout = LAYOUTS[view]
    slots = np.tile(layout.nothing, (len(rows), 1))
    floats = slots.view(np.float64)
    slots[:, MARK], slots[:, SEEN_AT] = layout.mark, _instants(rows["seen_at"])
    for name in layout.names:
        at = layout.slots[name]
        if name in layout.times:
            slots[:, at] = _instants(rows[name])
        else:
            floats[:, at] = _floats(layout, name, rows[name])
    texts = [rows[name].cast(pa.large_binary()) for name in layout.texts]
    for name, column in zip(layout.texts, texts, strict=True):
        slots[:, layout.slots[name]] = pc.fill_null(pc.binary_length(column), -1).to_numpy()
    nothing = pa.scalar(b"", pa.large_binary())
    filled = [pc.fill_null(each, nothing) for each in texts]
    joined = pc.binary_join_element_wise(*filled, nothing).to_pylist() if filled else [b""] * len(rows)
    heads, size = slots.astype("<i8").tobytes(), layout.size
    times = slots[:, SEEN_AT].tolist()
    return [(at, heads[row * size : (row + 1) * size] + text) for row, (at, text) in enumerate(zip(times, joined, strict=True))]


def _instants(column: pa.Array) -> Ints:
    whole = pc.fill_null(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()), NOT_A_TIME)
    return np.asarray(whole.to_numpy())


def _floats(layout: Layout, name: str, column: pa.Array) -> npt.NDArray[np.float64]:
    if name in layout.whole and (far := pc.max(pc.abs(column)).as_py() or 0) > EXACT:
        _number(layout, name, {name: far})
    values = np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    values[np.isnan(values)] = math.nan
    return values


def unpack(view: str, payload: bytes) -> dict[str, Any]:
    """Feature values by name, None where missing; raises PackError for a row of another layout."""
    layout = LAYOUTS[view]
    if not is_of(layout, payload):
        raise PackError(f"A row of {view} is packed as another version packs. Run `whence materialise` for the last days.")
    row = layout.struct.unpack_from(payload)
    values = {name: _plain(layout, name, row[layout.slots[name]]) for name in layout.names}
    values |= dict(zip(layout.texts, texts_of(layout, payload, row[FIRST + len(layout.names) :]), strict=True))
    return {name: values[name] for name in FIELDS[view]}


def is_of(layout: Layout, payload: bytes) -> bool:
    """Whether the bytes are a row of this layout."""
    return len(payload) >= layout.size and payload[:SLOT] == layout.mark.to_bytes(SLOT, "little")


def split(layout: Layout, payload: bytes) -> tuple[bytes, bytes]:
    """A packed row without its long texts, and these; bytes of another layout stay in one piece.

    >>> layout = LAYOUTS["person_features"]
    >>> _, payload = pack("person_features", {"locale": "de-DE", "recent_sales": "[]"}, 0)
    >>> [part[-5:] for part in split(layout, payload)]
    [b'de-DE', b'[]']
    """
    if not layout.long or not is_of(layout, payload):
        return payload, b""
    lengths = struct.unpack_from(f"<{len(layout.long)}q", payload, layout.size - SLOT * len(layout.long))
    end = len(payload) - sum(max(length, 0) for length in lengths)
    return payload[:end], payload[end:]


def texts_of(layout: Layout, payload: bytes, lengths: Sequence[int]) -> list[str | None]:
    """The texts behind the slots, in the layout's order."""
    found: list[str | None] = []
    start = layout.size
    for length in lengths:
        found.append(None if length < 0 else str(payload[start : start + length], "utf-8"))
        start += max(length, 0)
    return found


def _number(layout: Layout, name: str, values: Mapping[str, Any]) -> float:
    value = values.get(name)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PackError(f"{layout.view}.{name} takes numbers, and {value!r} ({type(value).__name__}) came.")
    if isinstance(value, int) and abs(value) > EXACT:
        raise PackError(f"{layout.view}.{name} is {value}, and beyond 2^53 a count is no longer exact. Count something smaller.")
    return math.nan if value != value else float(value)


def _time(view: str, name: str, value: Any) -> int:
    if value is None:
        return NOT_A_TIME
    if not isinstance(value, datetime):
        raise PackError(f"{view}.{name} takes times, and {value!r} ({type(value).__name__}) came.")
    return micros(value)


def _text(view: str, name: str, value: Any) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise PackError(f"{view}.{name} takes text, and {value!r} ({type(value).__name__}) came.")
    return value.encode()


def _plain(layout: Layout, name: str, slot: float | int) -> Any:
    if name in layout.times:
        return None if slot == NOT_A_TIME else EPOCH + timedelta(microseconds=slot)
    if slot != slot:
        return None
    return int(slot) if name in layout.whole else slot
