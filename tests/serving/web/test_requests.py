"""What a request may say; and an error names the field and what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from serving.web import requests
from serving.web.requests import MAX_TOUCHES
from serving.web.shapes import RequestError
from serving.web.strict import loads

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CONVERSION = {"conversion_id": "v", "kind": "purchase", "value_micros": 1, "currency": "USD"}
TOUCH = {"touch_id": "t", "kind": "click", "campaign_id": "c", "channel": "search", "happened_at": "2026-05-01T10:00:00Z"}


def body(**content: Any) -> bytes:
    return json.dumps(content).encode()


def match_request(content: bytes, now: datetime) -> requests.MatchRequest:
    return requests.match_request(loads(content), now)


def attribute_request(content: bytes, now: datetime) -> requests.AttributeRequest:
    return requests.attribute_request(loads(content), now)


def test_a_signal_is_seen_now_unless_it_says_otherwise() -> None:
    signal = match_request(body(signal={"cookie_id": "c"}), NOW).signal
    assert (signal["seen_at"], signal["happened_at"], signal["consent"], signal["device_id"]) == (NOW, NOW, "unknown", None)


def test_a_time_is_brought_to_utc() -> None:
    signal = match_request(body(signal={"seen_at": "2026-05-01T12:00:00+02:00"}), NOW).signal
    assert signal["seen_at"] == datetime(2026, 5, 1, 10, tzinfo=UTC)


def test_a_conversion_with_its_touches_is_read_whole() -> None:
    asked = attribute_request(body(conversion=CONVERSION, touches=[TOUCH], person_id="p"), NOW)
    assert (asked.conversion["source"], asked.touches[0]["touch_id"], asked.person_id) == ("server", "t", "p")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b'{"signal": {"cookie_id": NaN}}', "body"),
        (b'{"signal": {}, "signal": {}}', "signal"),
        (b"[]", "body"),
        (body(), "signal"),
        (body(signal=[]), "signal"),
        (body(signal={}, more=1), "body.more"),
        (body(signal={"cookie": "c"}), "signal.cookie"),
        (body(signal={"cookie_id": 5}), "signal.cookie_id"),
        (body(signal={"cookie_id": "c" * 1000}), "signal.cookie_id"),
        (body(signal={"email_hash": "ann@example.org"}), "signal.email_hash"),
        (body(signal={"consent": "maybe"}), "signal.consent"),
        (body(signal={"seen_at": "2026-05-01T10:00:00"}), "signal.seen_at"),
        (body(signal={"seen_at": 1777000000}), "signal.seen_at"),
        (body(signal={"seen_at": "yesterday"}), "signal.seen_at"),
        (body(signal={"happened_at": "2026-05-01T13:00:00Z"}), "signal.happened_at"),
    ],
)
def test_a_signal_that_cannot_be_read_is_refused_by_field(content: bytes, field: str) -> None:
    with pytest.raises(RequestError) as refused:
        match_request(content, NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (body(conversion={**CONVERSION, "value_micros": 1.5}), "conversion.value_micros"),
        (body(conversion={**CONVERSION, "value_micros": True}), "conversion.value_micros"),
        (body(conversion={**CONVERSION, "value_micros": 2**63}), "conversion.value_micros"),
        (body(conversion={**CONVERSION, "source": "fax"}), "conversion.source"),
        (body(conversion={"kind": "purchase"}), "conversion.conversion_id"),
        (body(conversion=CONVERSION, touches={}), "touches"),
        (body(conversion=CONVERSION, touches=[TOUCH] * (MAX_TOUCHES + 1)), "touches"),
        (body(conversion=CONVERSION, touches=[TOUCH, {**TOUCH, "kind": "glance"}]), "touches[1].kind"),
        (body(conversion=CONVERSION, touches=[{**TOUCH, "holdout": "no"}]), "touches[0].holdout"),
        (body(conversion=CONVERSION, touches=[{**TOUCH, "happened_at": None}]), "touches[0].happened_at"),
        (body(conversion=CONVERSION, person_id=7), "person_id"),
    ],
)
def test_a_conversion_that_cannot_be_read_is_refused_by_field(content: bytes, field: str) -> None:
    with pytest.raises(RequestError) as refused:
        attribute_request(content, NOW)
    assert refused.value.field == field


MAILS = ["ann@example.org", " ann@example.org\n", "\u00fc@\u00fc.de", "a\u001eb@c.org", "a\u0085@b.org", "a\u00a0b@c.org"]
ADDRESSES = ["10.0.0.1", "\t10.0.0.1 ", "::1", "2001:db8::1\n"]
OTHERS = [
    "c1",
    "ann at example.org",
    "@handle",
    "a b@c.org",
    "a@b",
    "1.2.3",
    "\u0661\u0660.0.0.1",
    "\ufeff10.0.0.1",
    "10.0.0.1\u0085",
    "12:30",
]


@pytest.mark.parametrize("value", [*MAILS, *ADDRESSES, *OTHERS], ids=ascii)
def test_the_document_and_we_refuse_the_same_text(value: str) -> None:
    import jsonschema_rs

    shape = requests.TOUCH.fields["touch_id"]
    try:
        is_taken = bool(shape.read(value))
    except RequestError:
        is_taken = False
    assert is_taken == jsonschema_rs.validator_for(shape.schema()).is_valid(value) == (value in OTHERS)
