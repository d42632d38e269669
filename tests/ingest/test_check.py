"""Rows against their contract: what is refused and why, what is cleaned, what is left alone."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pytest

from tests.builders import Row, a_click, a_conversion, a_sighting, a_touch, an_instant
from whence.contracts.events import EVENTS
from whence.ingest.batch import Batch, Fault
from whence.ingest.check import Checked, check

SHA = hashlib.sha256(b"somebody@somewhere.example").hexdigest()


def checked(table: str, *rows: Row, **more: Any) -> Checked:
    schema = pa.schema([column.with_nullable(True) for column in EVENTS[table]])
    plain = [{name: row.get(name) for name in schema.names} for row in rows]
    numbers = pa.array(range(1, len(rows) + 1), pa.int64())
    return check(Batch(table, "rows.csv", pa.RecordBatch.from_pylist(plain, schema=schema), numbers, "2026-05-01", **more))


BAD = [
    ("touches", a_touch(event_id=None, touch_id="t"), "event_id", "event_id is missing"),
    ("touches", a_touch(touch_id=" "), "touch_id", "touch_id is missing"),
    ("touches", a_touch(kind="glance"), "kind", "kind is 'glance'. Expected view, engaged_view, click, eligible."),
    ("touches", a_touch(consent="maybe"), "consent", "consent is 'maybe'"),
    ("touches", a_touch(currency="QQQ"), "currency", "currency is 'QQQ', which ISO 4217 does not know"),
    ("touches", a_touch(currency=None), "currency", "price_micros has no currency"),
    ("touches", a_touch(price_micros=-1), "price_micros", "price_micros is -1"),
    ("touches", a_touch(bid_micros=-5), "bid_micros", "bid_micros is -5"),
    (
        "touches",
        a_touch("10:10", seen_at="10:04"),
        "happened_at",
        "It happened at 2026-05-01T10:10:00Z and was seen at 2026-05-01T10:04:00Z",
    ),
    ("touches", a_touch(ip_key="10.1.2.3"), "ip_key", "plain IP address"),
    ("touches", a_touch(ip_key="2001:db8::1"), "ip_key", "plain IP address"),
    ("touches", a_touch(cookie_id="jane@doe.example"), "cookie_id", "e-mail address, which no table may"),
    ("conversions", a_conversion(source="pigeon"), "source", "source is 'pigeon'"),
    ("conversions", a_conversion(currency="usd"), "currency", "currency is 'usd'"),
    ("conversions", a_conversion(value_micros=-10), "value_micros", "value_micros is -10, and it is no refund"),
    ("conversions", a_conversion(kind="refund"), "value_micros", "a refund takes back"),
    ("conversions", a_conversion(email_hash="jane@doe.example"), "email_hash", "no SHA-256 in 64 hexadecimal digits"),
    ("sightings", a_sighting(phone_hash="+447700900123"), "phone_hash", "hash = 'phone'"),
    ("sightings", a_sighting(kind=None), "kind", "kind is missing"),
]


@pytest.mark.parametrize(
    ("table", "row", "field", "reason"), BAD, ids=[f"{table}-{field}-{i}" for i, (table, _, field, _) in enumerate(BAD)]
)
def test_a_row_that_breaks_the_contract_is_refused_with_its_field_and_a_reason(
    table: str, row: Row, field: str, reason: str
) -> None:
    good = {"touches": a_touch, "conversions": a_conversion, "sightings": a_sighting}[table]()
    found = checked(table, good, row, {**good, "event_id": "third"})
    assert found.numbers.to_pylist() == [1, 3], "the good rows go on"
    [fault] = found.faults
    assert (fault.row, fault.field) == (2, field)
    assert reason in fault.reason


def test_a_reason_never_repeats_what_a_person_typed() -> None:
    found = checked("conversions", a_conversion(email_hash="jane@doe.example"), a_conversion(external_id="jane@doe.example"))
    assert len(found.faults) == 2
    assert not any("jane" in fault.reason for fault in found.faults)


@pytest.mark.parametrize(
    "row",
    [
        a_conversion(kind="refund", value_micros=-10_000_000, refund_of="c1"),
        a_conversion(value_micros=0),
        a_conversion(currency="XXX"),
        a_conversion("10:04", seen_at="10:00"),
        a_conversion(email_hash=SHA, phone_hash=SHA, cookie_id="c81e728d9d4c2f63"),
    ],
    ids=["a refund", "no value", "no currency", "clocks four minutes apart", "identifiers"],
)
def test_what_is_unusual_and_allowed_goes_on(row: Row) -> None:
    assert not checked("conversions", row).faults


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device_id", "00000000-0000-0000-0000-000000000000"),
        ("device_id", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ("device_id", "unknown"),
        ("cookie_id", "undefined"),
        ("cookie_id", ""),
        ("external_id", "NULL"),
        ("click_id", "-1"),
        ("email_hash", hashlib.sha256(b"").hexdigest()),
        ("email_hash", hashlib.sha256(b"test@test.com").hexdigest().upper()),
        ("phone_hash", hashlib.sha256(b"+1234567890").hexdigest()),
        ("device_id", hashlib.md5(b"").hexdigest()),
        ("external_id", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    ],
)
def test_an_identifier_that_names_nobody_becomes_null_and_its_row_goes_on(name: str, value: str) -> None:
    found = checked("sightings", a_sighting(**{name: value}))
    assert not found.faults
    assert found.rows[name].to_pylist() == [None]


def test_hashes_are_brought_to_lower_case_so_that_two_writers_agree() -> None:
    assert checked("sightings", a_sighting(email_hash=SHA.upper())).rows["email_hash"].to_pylist() == [SHA]


def test_a_devices_uuid_is_brought_to_lower_case_and_a_cookie_is_not() -> None:
    found = checked("sightings", a_sighting(device_id="CDDA802E-FB9C-47AD-9866-0794D394C912", cookie_id="AbC"))
    assert found.rows["device_id"].to_pylist() == ["cdda802e-fb9c-47ad-9866-0794d394c912"]
    assert found.rows["cookie_id"].to_pylist() == ["AbC"]


def test_a_conversion_before_its_own_touch_is_refused() -> None:
    touched = pa.array([an_instant("11:00"), an_instant("12:30")], EVENTS["touches"].field("happened_at").type)
    found = checked("conversions", a_conversion("12:00"), a_conversion("12:00"), touched_at=touched)
    [fault] = found.faults
    assert fault.row == 2
    assert "2026-05-01T12:00:00Z comes before its own touch" in fault.reason


def test_a_fault_of_the_reader_wins_over_ours_and_each_row_has_one() -> None:
    found = checked("touches", a_click(kind="x", happened_at=None), faults=(Fault(1, "ts", "ts is 'yesterday'"),))
    assert found.faults == (Fault(1, "ts", "ts is 'yesterday'"),)
    assert found.rows.num_rows == 0
