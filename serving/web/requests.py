"""What may be asked, field by field, and the questions as the matcher takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from serving.rollouts.rollout import person_key
from serving.web.shapes import MAX_TEXT, Array, Choice, Digest, Moment, Object, RequestError, Shape, Text, Truth, Whole, show
from whence.contracts.events import CONSENTS, CONVERSION_SOURCES, CONVERSIONS, IDENTIFIERS, TOUCH_KINDS, TOUCHES
from whence.contracts.models import MODELS

MAX_TOUCHES = 200
MAX_ROWS = 1000
"""Of a batch, and of rows to score."""
MAX_COLUMNS = 1000
MAX_SKEW = timedelta(minutes=5)
"""A source's clock may be this much ahead, as at ingest."""

IDENTIFIER_NAMES = tuple(column.name for column in IDENTIFIERS)

_SPACES = r"[ \t\n\r\f\v]*"
"""In the document, patterns are read by others, to whom spaces, digits and the end of a text are not quite what they are to us."""
_MAIL = (
    re.compile(rf"^{_SPACES}[^@ \t\n\r\f\v]+@[^@ \t\n\r\f\v]+\.[^@ \t\n\r\f\v]+{_SPACES}$"),
    "holds an e-mail address, which may not be sent. Hash it, or send your own id.",
)
_ADDRESS = (
    re.compile(rf"^{_SPACES}([0-9]{{1,3}}(\.[0-9]{{1,3}}){{3}}|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*){_SPACES}$"),
    "holds a plain IP address, which may not be sent. Send the keyed hash that ingest makes of it.",
)
_NO_MAIL = frozenset(("click_id", "cookie_id", "device_id", "external_id", "person_id", "order_id", "refund_of"))
_NO_PERSON = frozenset(("event_id", "touch_id", "conversion_id"))
"""Ids that stand in the decision log."""


def _shape(column: pa.Field) -> Shape:
    """How a column of the contract's tables comes in JSON."""
    name, doc = column.name, (column.metadata or {}).get(b"doc", b"").decode()
    if name in ("email_hash", "phone_hash"):
        return Digest(doc)
    if name == "consent":
        return Choice(CONSENTS, doc)
    if name == "source":
        return Choice(CONVERSION_SOURCES, doc)
    if pa.types.is_timestamp(column.type):
        return Moment(doc)
    if pa.types.is_int64(column.type):
        return Whole(doc)
    if pa.types.is_boolean(column.type):
        return Truth(doc)
    return Text(doc, _refused(name))


def _refused(name: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    if name in _NO_PERSON:
        return _MAIL, _ADDRESS
    if name == "ip_key":
        return (_ADDRESS,)
    return (_MAIL,) if name in _NO_MAIL else ()


def _fields(schema: pa.Schema) -> dict[str, Shape]:
    return {column.name: _shape(column) for column in schema}


SIGNAL = Object(
    {
        name: shape
        for name, shape in _fields(TOUCHES).items()
        if name in ("event_id", "happened_at", "seen_at", *IDENTIFIER_NAMES)
    },
    doc="One event and its identifiers; it is seen now, and happened when it was seen, unless it says otherwise.",
    title="Signal",
)
CONVERSION = Object(_fields(CONVERSIONS), ("conversion_id", "kind", "value_micros", "currency"), "A conversion.", "Conversion")
TOUCH = Object(
    {**_fields(TOUCHES), "kind": Choice(TOUCH_KINDS)},
    ("touch_id", "kind", "campaign_id", "channel", "happened_at"),
    "A touch that the feature store may not know yet.",
    "Touch",
)
DURABLE = Truth("Wait until the decision is on the disk, and say `logged: true`; otherwise it follows within a moment.")
MATCH = Object({"signal": SIGNAL, "durable": DURABLE}, ("signal",), "Whose is this signal?", "MatchRequest")
ATTRIBUTE = Object(
    {
        "conversion": CONVERSION,
        "touches": Array(TOUCH, MAX_TOUCHES, "Send the latest."),
        "person_id": Text("Who converted, when the caller knows.", _refused("person_id")),
        "durable": DURABLE,
    },
    ("conversion",),
    "Which touches earned this conversion?",
    "AttributeRequest",
)


@dataclass(frozen=True)
class Names(Array):
    """Column names of a bounded length: looked at all at once, and one by one where one is amiss."""

    def read(self, value: Any) -> list[Any]:
        """The names."""
        is_plain = type(value) is list and set(map(type, value)) == {str} and all(value) and max(map(len, value)) <= MAX_TEXT
        return value if is_plain and self.least <= len(value) <= self.most else super().read(value)


@dataclass(frozen=True)
class Rows:
    """Rows to score: lists of values, each as long as there are names, or objects; the scorer looks at their cells at once."""

    def read(self, value: Any) -> list[Any]:
        """The rows as they are, so many at most, and all of one kind."""
        if type(value) is not list:
            raise RequestError("", f"must be a list of rows, and is {show(value)}.")
        if not 0 < len(value) <= MAX_ROWS:
            raise RequestError(
                "", f"has {len(value)} rows, and from 1 to {MAX_ROWS} are taken. Send the rest in another request."
            )
        if set(map(type, value)) not in ({list}, {dict}):
            raise RequestError("", "must be lists of values, or objects; all of one kind.")
        return value

    def schema(self) -> dict[str, Any]:
        """An array of arrays, or of objects."""
        cell = {"type": ["number", "string", "null"]}
        kinds = ({"type": "array", "items": cell}, {"type": "object", "additionalProperties": cell})
        return {"anyOf": [{"type": "array", "items": kind, "minItems": 1, "maxItems": MAX_ROWS} for kind in kinds]}


SCORE = Object(
    {
        "model": Choice(MODELS, "Whose champion scores."),
        "names": Names(
            Text(), MAX_COLUMNS, doc="Of rows that are lists: all columns that the model takes, in any order.", least=1
        ),
        "rows": Rows(),
    },
    ("model", "rows"),
    "How likely are these rows? A category is its text, null is missing.",
    "ScoreRequest",
)
EXPLAIN = Object(
    {
        "signal": SIGNAL,
        "conversion": CONVERSION,
        "touches": ATTRIBUTE.fields["touches"],
        "person_id": ATTRIBUTE.fields["person_id"],
        "option": Text("The person or touch to explain; the surest when it is left out."),
    },
    (),
    "Why? The same question as to match, with `signal`, or as to attribute, with `conversion`.",
    "ExplainRequest",
)


@dataclass(frozen=True)
class MatchRequest:
    """Whose is this signal?"""

    signal: dict[str, Any]
    """event_id, happened_at, seen_at and the identifiers, all columns there."""
    durable: bool = False

    @property
    def person_key(self) -> str:
        """What stands for the person in a sticky share: the strongest identifier, else the network, else the event."""
        return person_key(None, self.signal)


@dataclass(frozen=True)
class AttributeRequest:
    """Which touches earned this conversion?"""

    conversion: dict[str, Any]
    """A row of `conversions`, without `day`."""
    touches: tuple[dict[str, Any], ...]
    """Rows of `touches` that the feature store may not know yet."""
    person_id: str | None
    """Who converted, when the caller knows."""
    durable: bool = False

    @property
    def person_key(self) -> str:
        """What stands for the person in a sticky share: the person where it is known, else as of a signal."""
        return person_key(self.person_id, self.conversion)


@dataclass(frozen=True)
class ScoreRequest:
    """How likely are these rows?"""

    model: str
    names: Sequence[str] | None
    """The columns of rows that are lists; None where rows are objects."""
    rows: Sequence[Any]


@dataclass(frozen=True)
class ExplainRequest:
    """Why was this the answer?"""

    question: MatchRequest | AttributeRequest
    option: str | None


def match_request(content: Any, now: datetime) -> MatchRequest:
    """Read {"signal": {…}}, with `seen_at` = now unless it says otherwise.

    >>> from datetime import UTC
    >>> match_request({"signal": {"cookie_id": 5}}, datetime(2026, 5, 1, tzinfo=UTC))
    Traceback (most recent call last):
    serving.web.shapes.RequestError: signal.cookie_id: must be text, and is 5.
    """
    asked = _read(MATCH, content)
    return MatchRequest(_event(asked["signal"], "signal", now), bool(asked["durable"]))


def attribute_request(content: Any, now: datetime) -> AttributeRequest:
    """Read {"conversion": {…}, "touches": [{…}], "person_id": "…"}; the last two may be left out."""
    return _attribute(_read(ATTRIBUTE, content), now)


def score_request(content: Any) -> ScoreRequest:
    """Read {"model": "…", "names": […], "rows": [[…]]}, or without names {"model": "…", "rows": [{…}]}."""
    asked = _read(SCORE, content)
    is_named = asked["names"] is not None
    if is_named != isinstance(asked["rows"][0], list):
        raise RequestError("names", f"{'go with' if is_named else 'must come with'} rows that are lists.")
    return ScoreRequest(asked["model"], asked["names"], asked["rows"])


def explain_request(content: Any, now: datetime) -> ExplainRequest:
    """Read a question to match or to attribute, whichever it is, and the option to be explained."""
    asked = _read(EXPLAIN, content)
    if (asked["signal"] is None) == (asked["conversion"] is None):
        raise RequestError("signal", "is a question to match, conversion one to attribute. Send one of the two.")
    if asked["signal"] is None:
        return ExplainRequest(_attribute(asked, now), asked["option"])
    return ExplainRequest(MatchRequest(_event(asked["signal"], "signal", now)), asked["option"])


def _read(shape: Object, content: Any) -> dict[str, Any]:
    """The body's fields; what is wrong with the body itself, or not known in it, is named after it."""
    try:
        return shape.read(content)
    except RequestError as wrong:
        is_inner = wrong.field.partition(".")[0].partition("[")[0] in shape.fields
        raise (wrong if is_inner else wrong.within("body")) from None


def _attribute(asked: Mapping[str, Any], now: datetime) -> AttributeRequest:
    conversion = _event(asked["conversion"], "conversion", now)
    conversion["source"] = conversion["source"] or "server"
    touches = tuple(_event(touch, f"touches[{place}]", now) for place, touch in enumerate(asked["touches"] or ()))
    return AttributeRequest(conversion, touches, asked["person_id"], bool(asked.get("durable")))


def _event(row: dict[str, Any], where: str, now: datetime) -> dict[str, Any]:
    """The row with its times and consent filled in: `happened_at` and `seen_at` are now unless given, consent is unknown."""
    seen_at = row["seen_at"] = row["seen_at"] or now
    happened_at = row["happened_at"] = row["happened_at"] or seen_at
    row["consent"] = row["consent"] or "unknown"
    if happened_at > seen_at + MAX_SKEW:
        raise RequestError(
            f"{where}.happened_at", f"is {happened_at.isoformat()}, after it was seen ({seen_at.isoformat()}). Fix the clock."
        )
    return row
