"""Phone numbers in E.164, through the numbering plans that Google's libphonenumber keeps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import phonenumbers

VERSION = "phones-2"
"""2: the numbering plans decide which lengths a country has, a bracketed trunk 0 goes, and a national number needs its
region: 1 took every run of 8 to 15 digits for an international number."""


def is_region(text: str) -> bool:
    """Whether the numbering plans know a country by these two letters.

    >>> is_region("GB"), is_region("UK")
    (True, False)
    """
    return text in phonenumbers.SUPPORTED_REGIONS


def e164(text: str, region: str | None = None) -> str | None:
    """The number with + and its country code; nothing when it cannot be one. Idempotent.

    Without a region only international forms are taken, +44 … and 0044 …. `region` is a country in two letters of
    ISO 3166, for numbers written as one dials them there. An extension is left out.

    >>> e164("+44 (0)7700 900123"), e164("0044-7700-900123"), e164("07700 900123"), e164("07700 900123", "GB")
    ('+447700900123', '+447700900123', None, '+447700900123')
    """
    if len(text) > 60:
        return None
    plain = text.strip()
    if region is None and not plain.startswith(("+", "＋")):
        digits = re.sub(r"[^\d]", "", plain)
        if not digits.startswith("00"):
            return None
        plain = "+" + digits[2:]
    try:
        number = phonenumbers.parse(plain, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def country(text: str) -> str | None:
    """The country of a number in E.164, in two letters; nothing when the plan knows none.

    >>> country("+447700900123"), country("+16505551212")
    ('GB', 'US')
    """
    try:
        return phonenumbers.region_code_for_country_code(phonenumbers.parse(text, None).country_code or 0)
    except phonenumbers.NumberParseException:
        return None


def likely_region(values: Sequence[str], sample: int = 1000) -> str | None:
    """The country that most of a column's international numbers are of.

    Nothing when fewer than half agree, or when fewer than one number in twenty is international.

    >>> likely_region(["+44 7700 900123", "07700 900456", "+44 20 7946 0018"])
    'GB'
    """
    abroad = sorted(value for value in values if value.lstrip().startswith(("+", "＋", "00")))
    step = max(1, len(abroad) // sample)
    known = [found for value in abroad[::step] if (found := e164(value))]
    if 20 * len(abroad) < len(values):
        return None
    counts = Counter(country(number) for number in known)
    best, count = counts.most_common(1)[0] if counts else (None, 0)
    return best if best not in (None, "ZZ", "001") and 2 * count > len(known) else None
