"""Click logs in TalkingData's form: a click is a touch, and a click with an attributed time brings an install.

The log has no cookie, log-in or advertising id. What it has, network, device and system, makes a
fingerprint that stands in for the device id: people behind one network with the same phone are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

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

NEEDED = ("ip", "app", "device", "os", "channel", "click_time", "attributed_time", "is_attributed")
INSTALL_MICROS = 1_000_000
"""What an install counts for; the log names no value, so each is one dollar."""
FORM = "%Y-%m-%d %H:%M:%S"
EXPECTED = "a UTC time as 2017-11-07 09:30:38"


def talkingdata(settings: Settings) -> FileSource:
    """The log as a source; its times carry no zone and are UTC, as its publisher says."""
    keyed = hashing.keyed(hashing.secret(settings.home))
    shift = timedelta(days=settings.source.shift_days)
    place = Place(settings.source.path, settings.tables.options)
    return FileSource(place, lambda _: NEEDED, lambda chunk: _shape(chunk, keyed, shift), remembered(settings))


def _shape(chunk: Chunk, keyed: Callable[[str], str], shift: timedelta) -> tuple[Batch, Batch]:
    rows = chunk.rows.select(list(NEEDED))
    clicked, installed = _time(rows["click_time"], shift), _time(rows["attributed_time"], shift)
    click = shape.row_ids("touches", rows)
    signal = {
        "click_id": click,
        "ip_key": hashing.each(rows["ip"], keyed),
        "device_id": hashing.each(_join(rows, "ip", "device", "os"), keyed),
        "user_agent": _join(rows, "device", "os", between="/"),
    }
    touch = {
        **signal,
        "event_id": click,
        "touch_id": click,
        "happened_at": clicked,
        "seen_at": clicked,
        "kind": same("click", rows.num_rows),
        "campaign_id": rows["app"],
        "channel": rows["channel"],
        "holdout": same(False, rows.num_rows, pa.bool_()),
    }
    install = shape.row_ids("conversions", rows)
    conversion = {
        **signal,
        "event_id": install,
        "conversion_id": install,
        "happened_at": installed,
        "seen_at": installed,
        "kind": same("install", rows.num_rows),
        "value_micros": same(INSTALL_MICROS, rows.num_rows, pa.int64()),
        "currency": same("USD", rows.num_rows),
        "source": same("sdk", rows.num_rows),
    }
    is_install = pc.or_(pc.is_valid(rows["attributed_time"]), pc.fill_null(pc.equal(rows["is_attributed"], "1"), False))
    faults = tuple(shape.unread(chunk.numbers, rows["click_time"], clicked, "click_time", EXPECTED))
    install_faults = tuple(
        _install_faults(rows.filter(is_install), chunk.numbers.filter(is_install), installed.filter(is_install))
    )
    conversions = shape.contract_rows("conversions", rows.num_rows, conversion).filter(is_install)
    touches = shape.contract_rows("touches", rows.num_rows, touch)
    return (
        Batch("touches", chunk.source, touches, chunk.numbers, "", (*chunk.faults, *faults)),
        Batch(
            "conversions",
            chunk.source,
            conversions,
            chunk.numbers.filter(is_install),
            "",
            install_faults,
            clicked.filter(is_install),
        ),
    )


def _install_faults(rows: pa.RecordBatch, numbers: pa.Array, installed: pa.Array) -> Iterator[Fault]:
    yield from shape.unread(numbers, rows["attributed_time"], installed, "attributed_time", EXPECTED)
    for at in pc.indices_nonzero(pc.is_null(rows["attributed_time"])).to_pylist():
        yield Fault(
            numbers[at].as_py(), "attributed_time", f"is_attributed is 1 and attributed_time is empty. Expected {EXPECTED}."
        )


def _time(values: pa.Array, shift: timedelta) -> pa.Array:
    read_at = pc.strptime(values, format=FORM, unit="us", error_is_null=True)
    return pc.add(pc.assume_timezone(read_at, "UTC"), pa.scalar(shift, pa.duration("us"))).cast(INSTANT)


def _join(rows: pa.RecordBatch, *names: str, between: str = "|") -> pa.Array:
    return pc.binary_join_element_wise(*(rows[name] for name in names), between)
