"""What JSON may look like: one definition checks a request and describes it in the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from whence.contracts.times import NaiveTimeError, utc

MAX_TEXT = 256
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside of these are a unit's mistake, and more than our columns hold."""
MOST_WHOLE = 2**63 - 1


class RequestError(ValueError):
    """A request that cannot be answered: the field, and what to do."""

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message

    def within(self, outer: str) -> RequestError:
        """The same of a field inside of another.

        >>> RequestError("[1].kind", "is required.").within("touches").field
        'touches[1].kind'
        """
        joint = "" if not self.field or self.field.startswith("[") else "."
        return RequestError(f"{outer}{joint}{self.field}", self.message)


class Shape(Protocol):
    """A kind of JSON value; null is handled by the object around it."""

    def read(self, value: Any) -> Any:
        """The value as we use it; raises RequestError whose field is empty, or lies inside."""

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema, for a value that is not null."""


@dataclass(frozen=True)
class Text:
    """Text of a bounded length; the empty one counts as missing. `refused` are (pattern, what to do) that it must not match."""

    doc: str = ""
    refused: tuple[tuple[re.Pattern[str], str], ...] = ()
    most: int | None = MAX_TEXT
    """None of our own answers."""

    def read(self, value: Any) -> str | None:
        """The text, or None."""
        if type(value) is not str:
            raise RequestError("", f"must be text, and is {show(value)}.")
        if self.most is not None and len(value) > self.most:
            raise RequestError("", f"has {len(value)} characters, and at most {self.most} are taken.")
        for pattern, why in self.refused:
            if pattern.search(value):
                raise RequestError("", why)
        return value or None

    def schema(self) -> dict[str, Any]:
        """A string."""
        made: dict[str, Any] = {"type": "string"}
        if self.most is not None:
            made["maxLength"] = self.most
        if self.refused:  # said of text alone: a pattern holds of null, too
            made["not"] = {"type": "string", "anyOf": [{"pattern": pattern.pattern} for pattern, _ in self.refused]}
        return _described(made, self.doc)


@dataclass(frozen=True)
class Digest:
    """A SHA-256 in lower-case hex; the empty text counts as missing."""

    doc: str = ""

    def read(self, value: Any) -> str | None:
        """The digest, or None."""
        if type(value) is str and (not value or (len(value) == 64 and not value.strip("0123456789abcdef"))):
            return value or None
        raise RequestError("", "must be a SHA-256 in lower-case hex (64 characters). Hash it before it is sent.")

    def schema(self) -> dict[str, Any]:
        """A string of 64 digits, or an empty one."""
        return _described({"type": "string", "pattern": "^([0-9a-f]{64})?$"}, self.doc)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    among: tuple[str, ...]
    doc: str = ""

    def read(self, value: Any) -> str:
        """The word."""
        if value not in self.among:
            raise RequestError("", f"must be one of {', '.join(self.among)}, and is {show(value)}.")
        return str(value)

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return _described({"type": "string", "enum": list(self.among)}, self.doc)


@dataclass(frozen=True)
class Whole:
    """A whole number of 64 bits."""

    doc: str = ""

    def read(self, value: Any) -> int:
        """The number."""
        if type(value) is not int or abs(value) > MOST_WHOLE:
            raise RequestError("", f"must be a whole number of 64 bits, and is {show(value)}. Money is in millionths.")
        return value

    def schema(self) -> dict[str, Any]:
        """An integer."""
        return _described({"type": "integer", "minimum": -MOST_WHOLE, "maximum": MOST_WHOLE}, self.doc)


@dataclass(frozen=True)
class Number:
    """A number, of answers."""

    doc: str = ""

    def read(self, value: Any) -> float:
        """The number."""
        if type(value) not in (int, float):
            raise RequestError("", f"must be a number, and is {show(value)}.")
        return float(value)

    def schema(self) -> dict[str, Any]:
        """A number."""
        return _described({"type": "number"}, self.doc)


@dataclass(frozen=True)
class Truth:
    """True or false."""

    doc: str = ""

    def read(self, value: Any) -> bool:
        """The truth."""
        if type(value) is not bool:
            raise RequestError("", f"must be true or false, and is {show(value)}.")
        return value

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return _described({"type": "boolean"}, self.doc)


@dataclass(frozen=True)
class Moment:
    """An instant with its zone, as 2026-05-01T10:00:00Z."""

    doc: str = ""

    def read(self, value: Any) -> datetime:
        """The instant in UTC."""
        if type(value) is not str:
            raise RequestError("", f"must be a time as 2026-05-01T10:00:00Z, and is {show(value)}.")
        try:
            moment = utc(datetime.fromisoformat(value))
        except NaiveTimeError as naive:
            raise RequestError("", str(naive)) from None
        except (ValueError, OverflowError):
            raise RequestError("", f"must be a time as 2026-05-01T10:00:00Z, and is {show(value)}.") from None
        if not FIRST <= moment < LAST:
            raise RequestError("", f"must lie between {FIRST.year} and {LAST.year}, and is {show(value)}.")
        return moment

    def schema(self) -> dict[str, Any]:
        """A string in the format of RFC 3339."""
        return _described({"type": "string", "format": "date-time", "maxLength": 40}, self.doc)


@dataclass(frozen=True)
class Array:
    """A bounded list of one shape. `too_many` says what to do about a longer one."""

    of: Shape
    most: int
    too_many: str = "Send fewer at once."
    doc: str = ""
    least: int = 0

    def read(self, value: Any) -> list[Any]:
        """The items, read."""
        if type(value) is not list:
            raise RequestError("", f"must be a list, and is {show(value)}.")
        if not self.least <= len(value) <= self.most:
            least = f"at least {self.least} and " if self.least else ""
            raise RequestError("", f"has {len(value)} items, and {least}at most {self.most} are taken. {self.too_many}")
        return [_inside(f"[{place}]", self.of.read, item) for place, item in enumerate(value)]

    def schema(self) -> dict[str, Any]:
        """An array."""
        least = {"minItems": self.least} if self.least else {}
        return _described({"type": "array", "items": self.of.schema(), "maxItems": self.most, **least}, self.doc)


@dataclass(frozen=True)
class Object:
    """Named fields, no others; those that are not `required` may be null or left out. Reading gives every field, None where missing."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    doc: str = ""
    title: str = ""
    """Its name in the OpenAPI document; objects with one are written once."""
    blank: Mapping[str, None] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blank", dict.fromkeys(self.fields))

    def read(self, value: Any) -> dict[str, Any]:
        """The fields, read."""
        if type(value) is not dict:
            raise RequestError("", f"must be an object, and is {show(value)}.")
        row: dict[str, Any] = dict(self.blank)
        fields = self.fields
        for name, given in value.items():
            if name not in fields:
                raise RequestError(name, f"is not known here. Known are {', '.join(sorted(fields))}.")
            if given is not None:
                try:
                    row[name] = fields[name].read(given)
                except RequestError as wrong:
                    raise wrong.within(name) from None
        for name in self.required:
            if row[name] is None:
                raise RequestError(name, "is required, and is missing.")
        return row

    def schema(self) -> dict[str, Any]:
        """An object without other properties, or a reference to it."""
        return {"$ref": f"#/components/schemas/{self.title}"} if self.title else self.content()

    def content(self) -> dict[str, Any]:
        """The object itself."""
        made: dict[str, Any] = {"type": "object", "additionalProperties": False}
        made["properties"] = {name: self._property(name, shape) for name, shape in self.fields.items()}
        return _described(made | ({"required": list(self.required)} if self.required else {}), self.doc)

    def _property(self, name: str, shape: Shape) -> dict[str, Any]:
        if name not in self.required:
            return _or_null(shape.schema())
        return shape.schema() | ({"minLength": 1} if isinstance(shape, Text) else {})


class Either:
    """One of several shapes: the first that takes the value."""

    def __init__(self, *among: Shape) -> None:
        self.among = among

    def read(self, value: Any) -> Any:
        """What the shape reads; the last one says what is wrong."""
        for shape in self.among[:-1]:
            with suppress(RequestError):
                return shape.read(value)
        return self.among[-1].read(value)

    def schema(self) -> dict[str, Any]:
        """Any of the schemas."""
        return {"anyOf": [each.schema() for each in self.among]}


@dataclass(frozen=True)
class Anything:
    """Values by names that are not known beforehand, of answers: each of one shape."""

    of: Shape
    doc: str = ""

    def read(self, value: Any) -> dict[str, Any]:
        """The values, read."""
        return {name: _inside(name, self.of.read, given) for name, given in value.items()}

    def schema(self) -> dict[str, Any]:
        """An object of any properties."""
        return _described({"type": "object", "additionalProperties": self.of.schema()}, self.doc)


def titled(shapes: Sequence[Shape]) -> dict[str, dict[str, Any]]:
    """The objects with a title, in and under the shapes, by title."""
    found: dict[str, dict[str, Any]] = {}
    waiting = list(shapes)
    while waiting:
        shape = waiting.pop()
        if isinstance(shape, Object):
            if shape.title:
                found[shape.title] = shape.content()
            waiting.extend(shape.fields.values())
        elif isinstance(shape, Either):
            waiting.extend(shape.among)
        elif isinstance(shape, Array | Anything):
            waiting.append(shape.of)
    return dict(sorted(found.items()))


def show(value: Any) -> str:
    """A value as an error shows it: as JSON, and not at length."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _inside(place: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except RequestError as wrong:
        raise wrong.within(place) from None


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _described(schema: dict[str, Any], doc: str) -> dict[str, Any]:
    return {**schema, "description": doc} if doc else schema
