"""Device ids and cookies in one form: advertising ids of phones as lower-case UUIDs, everything else as it is."""

from __future__ import annotations

import re

VERSION = "devices-1"

UUID = re.compile(r"\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?", re.IGNORECASE)
GOOGLE_ANALYTICS = re.compile(r"(?:GA\d\.\d\.)?(\d{4,10}\.\d{10})", re.ASCII)


def advertising_id(text: str) -> str | None:
    """An IDFA, a GAID or another UUID as 8-4-4-4-12 lower-case digits; nothing when it is none. Idempotent.

    >>> advertising_id("{CDDA802E-FB9C-47AD-9866-0794D394C912}"), advertising_id("cdda802efb9c47ad0794d394c9129866")
    ('cdda802e-fb9c-47ad-9866-0794d394c912', 'cdda802e-fb9c-47ad-0794-d394c9129866')
    """
    found = UUID.fullmatch(text.strip())
    return "-".join(found.groups()).lower() if found else None


def cookie(text: str) -> str | None:
    """A cookie's value, trimmed; the client id of a Google Analytics cookie without its version. Idempotent.

    Capitals stay, since most cookies are case-sensitive; only a UUID is brought to lower case.

    >>> cookie("GA1.2.1234567890.1700000000"), cookie(" AbC "), cookie("  ")
    ('1234567890.1700000000', 'AbC', None)
    """
    plain = text.strip()
    if found := GOOGLE_ANALYTICS.fullmatch(plain):
        return found[1]
    return advertising_id(plain) or plain or None
