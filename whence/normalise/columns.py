"""A column's values in the form that is compared, one rule set for each kind of column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from whence.normalise import addresses, dates, devices, names, networks, text
from whence.normalise.placeholders import is_placeholder

VERSION = "columns-1"

Change = Callable[[str], str | None]


def normalise(kind: str, values: Sequence[str], *, region: str | None = None, day_first: bool | None = None) -> list[str | None]:
    """The values as they are compared, in the order given; None for what is missing, or stands for nobody.

    Give distinct values: dates settle the order of day and month, and phone numbers their country, from all of them,
    unless `day_first` or `region` (two letters of ISO 3166) says it. Raises ValueError for a kind that is none of
    KINDS, and never for a value.

    A date is YYYY-MM-DD, YYYY-MM or YYYY, as precise as it is known. A phone number is in E.164 where its country is
    known, else its bare digits. A v6 address is its /64. An e-mail address that is none stays as it is written, in lower
    case: it may be a slip of the pen.

    >>> normalise("name", ["Dr. Zoë O’Neill", "n/a", "John Doe"]), normalise("date", ["25/12/2001", "03/04/2001"])
    (['zoe oneill', None, None], ['2001-12-25', '2001-04-03'])
    """
    if kind == "date":
        day_first = dates.order(values).is_day_first if day_first is None else day_first
        return [_unless_fake(found) for found in dates.column(values, day_first)]
    if kind == "phone":
        return _phones(values, region)
    change = CHANGES.get(kind)
    if change is None:
        raise ValueError(f"There is no kind {kind!r}. Use one of: {', '.join(KINDS)}.")
    return [change(value) for value in values]


def _plain(kind: str, change: Callable[[str], str | None]) -> Change:
    """A rule with its placeholders taken out: before, as they were written, and after, as they are compared."""

    def changed(value: str) -> str | None:
        found = change(value)
        return None if not found or is_placeholder(kind, value) or is_placeholder(kind, found) else found

    return changed


def _unless_fake(found: str | None) -> str | None:
    return None if found is None or is_placeholder("date", found) else found


def _phones(values: Sequence[str], region: str | None) -> list[str | None]:
    from whence.normalise import phones

    region = region or phones.likely_region(values)
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
        "device_id": devices.advertising_id,
        "cookie": devices.cookie,
    }.items()
}
KINDS = (*CHANGES, "date", "phone")
