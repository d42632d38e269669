"""A column's values in the form that is compared, one rule set for each kind of column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from whence.normalise import addresses, dates, devices, names, networks, text
from whence.normalise.placeholders import EMPTY, FAKE_DATES, is_placeholder

VERSION = "columns-1"

Change = Callable[[str], str | None]


def normalise(kind: str, values: Sequence[str], *, region: str | None = None, day_first: bool | None = None) -> list[str | None]:
    """The values as they are compared, in the order given; None for what is missing, or stands for nobody.

    Give distinct values: dates settle the order of day and month, and phone numbers their country, from all of them,
    unless `day_first` or `region` (two letters of ISO 3166) says it. Raises ValueError for a kind that is none of
    KINDS, and never for a value.

    A date is YYYY-MM-DD, YYYY-MM or YYYY, as precise as it is known, slips of the pen included. A phone number is in E.164 where its country is
    known, else its bare digits. A v6 address is its /64. An e-mail address that is none stays as it is written, in lower
    case: it may be a slip of the pen.

    >>> normalise("name", ["Dr. Zoë O’Neill", "n/a", "John Doe"]), normalise("date", ["25/12/2001", "03/04/2001"])
    (['zoe oneill', None, None], ['2001-12-25', '2001-04-03'])
    """
    if kind in DATES:
        day_first = dates.order(values).is_day_first if day_first is None else day_first
        return [None if found in FAKE_DATES else found for found in dates.column(values, day_first)]
    if kind == "phone":
        return _phones(values, region)
    change = CHANGES.get(kind)
    if change is None:
        raise ValueError(f"There is no kind {kind!r}. Use one of: {', '.join(KINDS)}.")
    if kind == "email":
        return _but_the_plain(values, change, PLAIN_EMAIL)
    return [change(value) for value in values]


def _but_the_plain(values: Sequence[str], change: Change, plain: str, odd: str | None = None) -> list[str | None]:
    """The values changed, but for those that a pattern knows to be in their form already: a column at a time, 20 times as fast."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array([value if value.isascii() else "" for value in values], type=pa.string())
    is_settled = pc.match_substring_regex(texts, f"^(?:{plain})$")
    if odd is not None:
        is_settled = pc.and_not(is_settled, pc.match_substring_regex(texts, odd))
    found: list[str | None] = list(values)
    for place in np.flatnonzero(~is_settled.to_numpy(zero_copy_only=False)).tolist():
        found[place] = change(values[place])
    return found


def _plain(kind: str, change: Callable[[str], str | None]) -> Change:
    """A rule with its placeholders taken out, as they are compared or as they were written."""

    def changed(value: str) -> str | None:
        found = change(value)
        return None if not found or value in EMPTY or is_placeholder(kind, found) else found

    return changed


def _phones(values: Sequence[str], region: str | None) -> list[str | None]:
    from whence.normalise import phones

    region = region or phones.likely_region(values)
    if region is None:
        return _but_the_plain(values, lambda value: _phone(value, phones.e164(value)), PLAIN_DIGITS, ODD_DIGITS)
    return [_phone(value, phones.e164(value, region)) for value in values]


def _phone(value: str, found: str | None) -> str | None:
    if is_placeholder("phone", value):
        return None
    digits = re.sub(r"[^0-9]", "", text.fold(value).removesuffix(".0"))
    return found or (digits if 5 <= len(digits) <= 20 else None)


def _email(value: str) -> str | None:
    from whence.normalise import emails

    return emails.address(value) or text.fold(value)


def _agent(value: str) -> str | None:
    from whence.normalise import agents

    return agents.text(value)


def _code(value: str) -> str:
    return text.compact(FLOAT.sub(r"\1", value.strip()))


def _number(value: str) -> str | None:
    """A number without its thousands' marks, unit and idle zeros; a comma before other than three digits is a decimal one."""
    found = NUMBER.search(text.fold(value).replace(" ", ""))
    if not found:
        return None
    plain = found[0]
    if (plain.count(",") == 1 and not GROUPED.fullmatch(plain)) or plain.count(".") > 1:
        plain = plain.replace(".", "").replace(",", ".")
    try:
        number = Decimal(plain.replace(",", ""))
    except InvalidOperation:
        return None
    if abs(number.adjusted()) > 30:
        return None
    written = f"{number.normalize():f}"
    return "0" if written in ("-0", "0") else written


PLAIN_EMAIL = r"[a-z0-9][a-z0-9_.+-]{9,60}@[a-z0-9-]{2,60}(\.[a-z]{2,20}){1,3}"
"""Addresses that are in their form, with mailboxes longer than that of any placeholder."""
PLAIN_DIGITS = "0?[1-9][0-9]{6,14}"
ODD_DIGITS = "0123|4567|8901|3210|7654|1098|55501" + "".join(f"|{digit}{{5}}" for digit in range(10))
"""Numbers that stay bare digits where no country is known, and what every placeholder among them has."""
FLOAT = re.compile(r"(\d{3,})\.0")
NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d{1,3})?", re.ASCII)
GROUPED = re.compile(r"[-+]?\d{1,3},\d{3}(?:\.\d+)?", re.ASCII)

CHANGES: dict[str, Change] = {
    kind: _plain(kind, change)
    for kind, change in {
        "name": names.person,
        "given_name": names.given,
        "surname": names.surname,
        "year": dates.year,
        "email": _email,
        "postcode": addresses.postcode,
        "address": addresses.address,
        "place": addresses.place,
        "code": _code,
        "category": text.words,
        "number": _number,
        "text": text.fold,
        "ip": networks.network,
        "user_agent": _agent,
        "device_id": devices.device,
        "cookie": devices.cookie,
    }.items()
}
DATES = ("date", "day")
"""A day is a date that means a moment, as of a payment: two of one matter come close, and need not be the same."""
KINDS = (*CHANGES, *DATES, "phone")
