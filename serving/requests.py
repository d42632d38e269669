"""A request's JSON, checked field by field, as the rows that the matcher takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from whence.contracts.events import CONSENTS, CONVERSION_SOURCES, CONVERSIONS, IDENTIFIERS, TOUCH_KINDS, TOUCHES
from whence.contracts.times import NaiveTimeError, utc

MAX_TOUCHES = 200
MAX_TEXT = 256
MAX_SKEW = timedelta(minutes=5)
"""A source's clock may be this much ahead, as at ingest."""

IDENTIFIER_NAMES = tuple(field.name for field in IDENTIFIERS)
HASHES = ("email_hash", "phone_hash")


class RequestError(ValueError):
    """A request that cannot be answered: the field, and what to do."""

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True)
class MatchRequest:
    """Whose is this signal?"""

    signal: dict[str, Any]
    """event_id, happened_at, seen_at and the identifiers, all columns there."""


@dataclass(frozen=True)
class AttributeRequest:
    """Which touches earned this conversion?"""

    conversion: dict[str, Any]
    """A row of `conversions`, without `day`."""
    touches: tuple[dict[str, Any], ...]
    """Rows of `touches` that the feature store may not know yet."""
    person_id: str | None
    """Who converted, when the caller knows."""


def match_request(body: bytes, now: datetime) -> MatchRequest:
    """Read the body of POST /v1/match: {"signal": {…}}, with `seen_at` = now unless it says otherwise.

    >>> from datetime import UTC, datetime, timedelta
    >>> match_request(b'{"signal": {"cookie_id": 5}}', datetime(2026, 5, 1, tzinfo=UTC))
    Traceback (most recent call last):
    serving.requests.RequestError: signal.cookie_id: must be text, and is 5.
    """
    content = _object(_loads(body), "body", {"signal"})
    row = _object(content.get("signal"), "signal", {"event_id", "happened_at", "seen_at", *IDENTIFIER_NAMES})
    return MatchRequest(_event(row, "signal", now))


def attribute_request(body: bytes, now: datetime) -> AttributeRequest:
    """Read the body of POST /v1/attribute: {"conversion": {…}, "touches": [{…}], "person_id": "…"}; the last two may be left out."""
    content = _object(_loads(body), "body", {"conversion", "touches", "person_id"})
    conversion = _conversion(content.get("conversion"), now)
    touches = content.get("touches", [])
    if not isinstance(touches, list):
        raise RequestError("touches", f"must be a list of touches, and is {_show(touches)}.")
    if len(touches) > MAX_TOUCHES:
        raise RequestError("touches", f"has {len(touches)} touches, and at most {MAX_TOUCHES} are taken. Send the latest.")
    rows = tuple(_touch(touch, f"touches[{place}]", now) for place, touch in enumerate(touches))
    return AttributeRequest(conversion, rows, _text(content.get("person_id"), "person_id"))


def _conversion(given: Any, now: datetime) -> dict[str, Any]:
    row = _object(given, "conversion", set(CONVERSIONS.names))
    event = _event(row, "conversion", now)
    _demand(row, "conversion", ("conversion_id", "kind", "value_micros", "currency"))
    source = row.get("source", "server")
    if source not in CONVERSION_SOURCES:
        raise RequestError("conversion.source", f"must be one of {', '.join(CONVERSION_SOURCES)}, and is {_show(source)}.")
    rest = _columns(row, "conversion", CONVERSIONS, event)
    return {**rest, **event, "source": source}


def _touch(given: Any, where: str, now: datetime) -> dict[str, Any]:
    row = _object(given, where, set(TOUCHES.names))
    _demand(row, where, ("touch_id", "kind", "campaign_id", "channel", "happened_at"))
    if row["kind"] not in TOUCH_KINDS:
        raise RequestError(f"{where}.kind", f"must be one of {', '.join(TOUCH_KINDS)}, and is {_show(row['kind'])}.")
    event = _event(row, where, now)
    return {**_columns(row, where, TOUCHES, event), **event}


def _event(row: Mapping[str, Any], where: str, now: datetime) -> dict[str, Any]:
    """Times and identifiers; `happened_at` and `seen_at` are now unless they are given, consent is unknown."""
    seen_at = _moment(row.get("seen_at"), f"{where}.seen_at") or now
    happened_at = _moment(row.get("happened_at"), f"{where}.happened_at") or seen_at
    if happened_at > seen_at + MAX_SKEW:
        raise RequestError(
            f"{where}.happened_at", f"is {happened_at.isoformat()}, after it was seen ({seen_at.isoformat()}). Fix the clock."
        )
    identifiers = {name: _text(row.get(name), f"{where}.{name}") for name in IDENTIFIER_NAMES}
    for name in HASHES:
        if (value := identifiers[name]) and not _is_sha256(value):
            raise RequestError(
                f"{where}.{name}", "must be a SHA-256 in lower-case hex (64 characters). Hash it before it is sent."
            )
    identifiers["consent"] = identifiers["consent"] or "unknown"
    if identifiers["consent"] not in CONSENTS:
        raise RequestError(f"{where}.consent", f"must be one of {', '.join(CONSENTS)}, and is {_show(identifiers['consent'])}.")
    event_id = _text(row.get("event_id"), f"{where}.event_id")
    return {"event_id": event_id, "happened_at": happened_at, "seen_at": seen_at, **identifiers}


def _columns(row: Mapping[str, Any], where: str, schema: pa.Schema, done: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field.name: _reader(field.type)(row.get(field.name), f"{where}.{field.name}")
        for field in schema
        if field.name not in done
    }


def _reader(kind: pa.DataType) -> Callable[[Any, str], Any]:
    if pa.types.is_int64(kind):
        return _integer
    return _truth if pa.types.is_boolean(kind) else _text


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise RequestError("body", f"is no JSON: {wrong}.") from None


def _no_constant(name: str) -> Any:
    raise RequestError("body", f"has {name}, which JSON does not know. Send null.")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise RequestError(next(name for name in names if names.count(name) > 1), "is there twice. Send it once.")
    return content


def _object(given: Any, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise RequestError(where, f"must be an object, and is {_show(given)}.")
    if unknown := sorted(set(given) - known):
        raise RequestError(f"{where}.{unknown[0]}", f"is not known here. Known are {', '.join(sorted(known))}.")
    return given


def _demand(row: Mapping[str, Any], where: str, names: tuple[str, ...]) -> None:
    for name in names:
        if row.get(name) in (None, ""):
            raise RequestError(f"{where}.{name}", "is required, and is missing.")


def _text(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RequestError(where, f"must be text, and is {_show(value)}.")
    if len(value) > MAX_TEXT:
        raise RequestError(where, f"has {len(value)} characters, and at most {MAX_TEXT} are taken.")
    return value


def _integer(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
        raise RequestError(where, f"must be a whole number of 64 bits, and is {_show(value)}. Money is in millionths.")
    return value


def _truth(value: Any, where: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise RequestError(where, f"must be true or false, and is {_show(value)}.")
    return value


def _moment(value: Any, where: str) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestError(where, f"must be a time as 2026-05-01T10:00:00Z, and is {_show(value)}.")
    try:
        return utc(datetime.fromisoformat(value)).astimezone(UTC)
    except NaiveTimeError as naive:
        raise RequestError(where, str(naive)) from None
    except (ValueError, OverflowError):
        raise RequestError(where, f"must be a time as 2026-05-01T10:00:00Z, and is {_show(value)}.") from None


def _is_sha256(value: str) -> bool:
    return len(value) == 64 and set(value) <= set("0123456789abcdef")


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
