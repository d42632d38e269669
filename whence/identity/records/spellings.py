"""How a column writes its values, settled from all of them: decimal commas, durations, links."""

from __future__ import annotations

import re
from collections.abc import Sequence


def plain(kind: str, values: Sequence[str]) -> list[str]:
    """The values with a decimal point and no thousands' marks, durations in seconds, links without what all links have.

    >>> plain("number", ["1.234,50", "12,5", "3:45"]), plain("code", ["https://www.lee.com/a/?utm_source=x", "A-1"])
    (['1234.50', '12.5', '225'], ['lee.com/a', 'A-1'])
    """
    if kind == "number":
        change = _with_comma if has_decimal_comma(values) else _without_marks
        return [_seconds(value) or change(value) for value in values]
    if kind == "code":
        return [_linked(value) if LINK.match(value) else value for value in values]
    return list(values)


def has_decimal_comma(values: Sequence[str]) -> bool:
    """Whether a column's numbers have a comma before the fraction; what is both ways, such as 1.234, counts by the rest.

    >>> has_decimal_comma(["1.234,50"]), has_decimal_comma(["1,234.50"])
    (True, False)
    >>> has_decimal_comma(["950", "1.234", "12.500"]), has_decimal_comma(["47.123", "47.200"])
    (True, False)
    """
    comma = sum(bool(COMMA.search(value)) for value in values)
    point = sum(bool(POINT.search(value)) for value in values)
    if comma or point:
        return comma > point
    shown = [value.strip() for value in values]
    grouped = sum(bool(GROUPED.fullmatch(value)) for value in shown)
    told = sum(bool(SMALL.fullmatch(value) or TWICE.fullmatch(value)) for value in shown)
    return grouped > 0 and told > 0 and all(GROUPED.fullmatch(value) or SMALL.fullmatch(value) for value in shown)


def _with_comma(value: str) -> str:
    return re.sub(r"(?<=\d)[.' \u00a0\u202f’](?=\d{3})", "", value).replace(",", ".")


def _without_marks(value: str) -> str:
    return re.sub(r"(?<=\d)[' \u00a0\u202f’](?=\d{3})", "", value)


def _seconds(value: str) -> str | None:
    found = DURATION.fullmatch(value.strip())
    return str(int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3])) if found else None


def _linked(value: str) -> str:
    """A link's host and path."""
    bare = re.sub(r"(?i)^(?:https?://)?(?:www\.)?", "", value.strip())
    return re.sub(r"[?&]utm_[^&#]*|#.*$", "", bare).rstrip("/?&")


LINK = re.compile(r"(?i)\s*(?:https?://|www\.)\S+\s*$")
COMMA = re.compile(r"\d\.\d{3},\d|^\D*\d*,(?:\d{1,2}|\d{4,})\D*$")
POINT = re.compile(r"\d,\d{3}\.\d|^\D*\d*\.(?:\d{1,2}|\d{4,})\D*$")
GROUPED = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")
TWICE = re.compile(r"\d{1,3}(?:\.\d{3}){2,}")
SMALL = re.compile(r"\d{1,3}")
DURATION = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):([0-5]\d)")
