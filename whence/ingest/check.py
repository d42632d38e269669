"""Holds rows against the contract of their table: the good go on, the others get a reason that a person can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import CONSENTS, CONVERSION_SOURCES, EVENTS, TOUCH_KINDS
from whence.ingest import hashing
from whence.ingest.batch import Batch, Fault
from whence.ingest.currencies import CURRENCIES
from whence.normalise import devices
from whence.normalise.placeholders import is_placeholder

MAX_SKEW = timedelta(minutes=5)
"""How much later a thing may have happened than it was seen: clocks differ that much."""
PERSONAL = ("click_id", "cookie_id", "device_id", "email_hash", "phone_hash", "external_id", "ip_key")
HASHES = ("email_hash", "phone_hash")
RAW_ADDRESS = r"^\s*(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)\s*$"

Found = tuple[str, pa.Array, str]
"""A field, which rows break its rule, and the reason with {value} and {other} to fill in."""


@dataclass(frozen=True)
class Checked:
    """A batch cut in two: rows that go on, with their numbers, and faults."""

    rows: pa.RecordBatch
    numbers: pa.Array
    faults: tuple[Fault, ...]


def check(batch: Batch) -> Checked:
    """Hold a batch against its table's contract; each refused row has one fault, its first.

    Rows of one number, which were one row of the source, are refused together.
    """
    rows = _clean(batch.rows.select(EVENTS[batch.table].names))
    faults: dict[int, Fault] = {fault.row: fault for fault in reversed(batch.faults)}
    numbers = batch.numbers.to_pylist()
    for name, broken, reason in _broken(batch, rows):
        for at in pc.indices_nonzero(pc.fill_null(broken, False)).to_pylist():
            if numbers[at] not in faults:
                faults[numbers[at]] = Fault(numbers[at], name, _say(reason, rows, at, name))
    keep = pc.invert(pc.is_in(batch.numbers, pa.array(list(faults), pa.int64())))
    good = rows.filter(keep)
    times = Counter(numbers)
    return Checked(good, batch.numbers.filter(keep), tuple(faults[row] for row in sorted(faults) for _ in range(times[row] or 1)))


def _clean(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Identifiers that name nobody become null; hashes and the UUIDs of devices become lower case."""
    for name in PERSONAL:
        change = _lower_or_nothing if name in HASHES else _device_or_nothing if name == "device_id" else _or_nothing
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), hashing.each(rows[name], change))
    return rows


def _or_nothing(value: str) -> str | None:
    return None if is_placeholder("identifier", value) else value


def _device_or_nothing(value: str) -> str | None:
    return _or_nothing(devices.advertising_id(value) or value)


def _lower_or_nothing(value: str) -> str | None:
    return _or_nothing(value.strip().lower())


def _broken(batch: Batch, rows: pa.RecordBatch) -> Iterator[Found]:
    yield from _missing(batch.table, rows)
    yield from _times(batch, rows)
    yield from _identifiers(rows)
    yield from {"touches": _touches, "conversions": _conversions, "sightings": _sightings}[batch.table](rows)


def _missing(table: str, rows: pa.RecordBatch) -> Iterator[Found]:
    for column in EVENTS[table]:
        if not column.nullable:
            is_empty = pc.is_null(rows[column.name])
            if pa.types.is_string(column.type):
                is_empty = pc.or_(is_empty, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(rows[column.name]), ""), False))
            yield column.name, is_empty, f"{column.name} is missing, and every row of {table} needs it. Fill it in the source."
    yield "consent", _unknown(rows["consent"], CONSENTS), f"consent is '{{value}}'. Expected {', '.join(CONSENTS)}."


def _times(batch: Batch, rows: pa.RecordBatch) -> Iterator[Found]:
    limit = pc.add(rows["seen_at"], pa.scalar(MAX_SKEW, pa.duration("us")))
    reason = "It happened at {value} and was seen at {other}, before that. Fix the source's clock, or swap its two columns."
    yield "happened_at", pc.greater(rows["happened_at"], limit), reason
    if batch.touched_at is not None:
        early = pc.less(rows["happened_at"], batch.touched_at)
        yield (
            "happened_at",
            early,
            "The conversion at {value} comes before its own touch. Fix the source's clock, or the join that made the row.",
        )


def _identifiers(rows: pa.RecordBatch) -> Iterator[Found]:
    for name in HASHES:
        shape = pc.invert(pc.match_substring_regex(rows[name], "^[0-9a-f]{64}$"))
        yield name, shape, f"{name} is no SHA-256 in 64 hexadecimal digits. Hash it in the mapping with hash = '{name[:5]}'."
    raw = pc.match_substring_regex(rows["ip_key"], RAW_ADDRESS)
    yield "ip_key", raw, "ip_key holds a plain IP address, which no table may. Hash it in the mapping with hash = 'ip'."
    for name in ("cookie_id", "device_id", "external_id", "click_id"):
        mail = pc.match_substring_regex(rows[name], r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
        yield name, mail, f"{name} holds an e-mail address, which no table may. Hash it in the mapping with hash = 'email'."


def _touches(rows: pa.RecordBatch) -> Iterator[Found]:
    yield "kind", _unknown(rows["kind"], TOUCH_KINDS), f"kind is '{{value}}'. Expected {', '.join(TOUCH_KINDS)}."
    yield "currency", _no_currency(rows), _CURRENCY
    for name in ("bid_micros", "price_micros"):
        yield name, pc.less(rows[name], 0), f"{name} is {{value}}; nobody is paid to show an ad. Fix the sign in the source."
        unsaid = pc.and_(pc.is_valid(rows[name]), pc.is_null(rows["currency"]))
        yield "currency", unsaid, f"{name} has no currency. Add one to the source or, as a constant, to the mapping."


def _conversions(rows: pa.RecordBatch) -> Iterator[Found]:
    yield (
        "source",
        _unknown(rows["source"], CONVERSION_SOURCES),
        f"source is '{{value}}'. Expected {', '.join(CONVERSION_SOURCES)}.",
    )
    yield "currency", _no_currency(rows), _CURRENCY
    is_refund = pc.or_(pc.fill_null(pc.equal(rows["kind"], "refund"), False), pc.is_valid(rows["refund_of"]))
    is_own = [pc.fill_null(pc.equal(rows["conversion_id"], rows[name]), False) for name in ("order_id", "refund_of")]
    yield (
        "conversion_id",
        pc.and_(is_refund, pc.or_(*is_own)),
        "conversion_id is {value}, as is the order. A refund is a conversion of its own, and would take the place of what it takes back: "
        "leave conversion_id out of its section of the mapping; order_id or refund_of says what it is of.",
    )
    below, above = pc.less(rows["value_micros"], 0), pc.greater(rows["value_micros"], 0)
    yield (
        "value_micros",
        pc.and_(below, pc.invert(is_refund)),
        "value_micros is {value}, and it is no refund. Give it kind = 'refund' or refund_of, or fix the sign.",
    )
    yield "value_micros", pc.and_(above, is_refund), "value_micros is {value}, and a refund takes back. Make it negative."


def _sightings(rows: pa.RecordBatch) -> Iterator[Found]:
    yield from ()


_CURRENCY = "currency is '{value}', which ISO 4217 does not know. Use three capital letters, as EUR."


def _no_currency(rows: pa.RecordBatch) -> pa.Array:
    return _unknown(rows["currency"], tuple(CURRENCIES))


def _unknown(values: pa.Array, known: tuple[str, ...]) -> pa.Array:
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, pa.array(known))))


def _say(reason: str, rows: pa.RecordBatch, at: int, name: str) -> str:
    return reason.format(value=_plain(rows[name][at].as_py()), other=_plain(rows["seen_at"][at].as_py()))


def _plain(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)[:80]
