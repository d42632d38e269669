"""Criteo's attribution log: a line is an impression, clicked or not, and may belong to a conversion.

The log counts seconds from an unnamed start and gives transformed costs. We let it start on
CALENDAR, and price it in XXX, ISO 4217's code for a unit that is no currency.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import INSTANT
from whence.contracts.settings import Settings
from whence.ingest import hashing, shape
from whence.ingest.batch import Batch, Fault
from whence.ingest.files import FileSource, remembered
from whence.ingest.places import Place
from whence.ingest.read import Chunk
from whence.ingest.shape import same

NEEDED = (
    "timestamp", "uid", "campaign", "conversion", "conversion_timestamp", "conversion_id", "attribution",
    "click", "click_pos", "click_nb", "cost", "cpo", "time_since_last_click", *(f"cat{i}" for i in range(1, 10)),
)  # fmt: skip
CALENDAR = datetime(2017, 1, 1, tzinfo=UTC)
CONVERSION_MICROS = 1_000_000
"""What a conversion counts for; the log names no value."""
NO_CURRENCY = "XXX"
NONE = "-1"
SECONDS = "a whole number of seconds from the log's start"


def criteo(settings: Settings) -> FileSource:
    """The log as a source: impressions as touches, and the conversions that they name, once for each line of their path."""
    keyed = hashing.keyed(hashing.secret(settings.home))
    shift = timedelta(days=settings.source.shift_days)
    place = Place(settings.source.path, settings.tables.options, delimiter="\t")

    def shape_chunk(chunk: Chunk) -> tuple[Batch, Batch]:
        rows = chunk.rows.select(list(NEEDED))
        cookie = hashing.each(rows["uid"], keyed)
        return _touches(chunk, rows, cookie, shift), _conversions(chunk, rows, cookie, shift)

    return FileSource(place, lambda _: NEEDED, shape_chunk, remembered(settings))


def _touches(chunk: Chunk, rows: pa.RecordBatch, cookie: pa.Array, shift: timedelta) -> Batch:
    at, touch = _time(rows["timestamp"], shift), shape.row_ids("touches", rows)
    is_click = pc.fill_null(pc.equal(rows["click"], "1"), False)
    price = _micros(rows["cost"])
    given = {
        "event_id": touch,
        "touch_id": touch,
        "happened_at": at,
        "seen_at": at,
        "kind": pc.if_else(is_click, "click", "view"),
        "campaign_id": rows["campaign"],
        "creative_id": rows["cat1"],
        "channel": same("display", rows.num_rows),
        "price_micros": price,
        "currency": same(NO_CURRENCY, rows.num_rows),
        "holdout": same(False, rows.num_rows, pa.bool_()),
        "click_id": pc.if_else(is_click, touch, pa.scalar(None, pa.string())),
        "cookie_id": cookie,
    }
    faults = (
        *chunk.faults,
        *shape.unread(chunk.numbers, rows["timestamp"], at, "timestamp", SECONDS),
        *shape.unread(chunk.numbers, rows["cost"], price, "cost", "a number"),
    )
    return Batch("touches", chunk.source, shape.contract_rows("touches", rows.num_rows, given), chunk.numbers, "", faults)


def _conversions(chunk: Chunk, every: pa.RecordBatch, every_cookie: pa.Array, shift: timedelta) -> Batch:
    """A conversion for each line that names one; the line of the path's last click gives it its click id."""
    touch = shape.row_ids("touches", every)
    named = pc.fill_null(pc.equal(every["conversion"], "1"), False)
    rows, numbers = every.filter(named), chunk.numbers.filter(named)
    at = _time(_or_null(rows["conversion_timestamp"]), shift)
    clicked = pc.and_(pc.equal(rows["click"], "1"), pc.equal(pc.add(_whole(rows["click_pos"]), 1), _whole(rows["click_nb"])))
    given = {
        "event_id": pc.binary_join_element_wise("conversion", _or_null(rows["conversion_id"]), "-"),
        "conversion_id": _or_null(rows["conversion_id"]),
        "happened_at": at,
        "seen_at": at,
        "kind": same("purchase", rows.num_rows),
        "value_micros": same(CONVERSION_MICROS, rows.num_rows, pa.int64()),
        "currency": same(NO_CURRENCY, rows.num_rows),
        "source": same("pixel", rows.num_rows),
        "click_id": pc.if_else(pc.fill_null(clicked, False), touch.filter(named), pa.scalar(None, pa.string())),
        "cookie_id": every_cookie.filter(named),
    }
    faults = tuple(_conversion_faults(rows, numbers, at))
    made = shape.contract_rows("conversions", rows.num_rows, given)
    return Batch("conversions", chunk.source, made, numbers, "", faults, _time(rows["timestamp"], shift))


def _conversion_faults(rows: pa.RecordBatch, numbers: pa.Array, at: pa.Array) -> Iterator[Fault]:
    yield from shape.unread(numbers, _or_null(rows["conversion_timestamp"]), at, "conversion_timestamp", SECONDS)
    for name in ("conversion_timestamp", "conversion_id"):
        for place in pc.indices_nonzero(pc.is_null(_or_null(rows[name]))).to_pylist():
            yield Fault(numbers[place].as_py(), name, f"conversion is 1 and {name} is {NONE} or empty. Fill it in the source.")


def _or_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.fill_null(pc.equal(values, NONE), True), pa.scalar(None, pa.string()), values)


def _time(values: pa.Array, shift: timedelta) -> pa.Array:
    seconds = _whole(values)
    start = int((CALENDAR + shift).timestamp())
    return pc.multiply(pc.add(seconds, start), 1_000_000).cast(INSTANT)


def _whole(values: pa.Array) -> pa.Array:
    return _numbers(values, r"^-?\d{1,12}$", pa.int64())


def _micros(values: pa.Array) -> pa.Array:
    numbers = _numbers(values, r"^-?\d{1,9}(\.\d+)?([eE]-?\d{1,3})?$", pa.float64())
    return pc.round(pc.multiply(numbers, 1_000_000.0)).cast(pa.int64())


def _numbers(values: pa.Array, form: str, kind: pa.DataType) -> pa.Array:
    fits = pc.fill_null(pc.match_substring_regex(values, form), False)
    return pc.if_else(fits, values, pa.scalar(None, pa.string())).cast(kind)
