"""Device ids and cookies in one form: advertising ids of phones as lower-case UUIDs, everything else as it is."""

from __future__ import annotations

import re

VERSION = "devices-1"

UUID = re.compile(r"\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?", re.IGNORECASE)
"""An IDFA, a GAID or another UUID. Its hyphens are needed: 32 digits without them are as well an MD5 of something."""
GOOGLE_ANALYTICS = re.compile(r"GA\d\.\d\.(\d{4,10}\.\d{10})", re.ASCII)


def advertising_id(text: str) -> str | None:
    """A UUID in lower case; nothing when it is none. Idempotent.

    >>> advertising_id("{CDDA802E-FB9C-47AD-9866-0794D394C912}"), advertising_id("cdda802e")
    ('cdda802e-fb9c-47ad-9866-0794d394c912', None)
    """
    found = UUID.fullmatch(text.strip())
    return found[1].lower() if found else None


def device(text: str) -> str | None:
    """A device's id: a UUID in lower case, anything else trimmed. Idempotent.

    >>> device("CDDA802E-FB9C-47AD-9866-0794D394C912"), device(" a1B2 "), device(" ")
    ('cdda802e-fb9c-47ad-9866-0794d394c912', 'a1B2', None)
    """
    return advertising_id(text) or text.strip() or None


def cookie(text: str) -> str | None:
    """A cookie's value, trimmed; of Google Analytics' cookie the client id alone. Idempotent.

    Capitals stay, since most cookies are case-sensitive; only a UUID is brought to lower case.

    >>> cookie("GA1.2.1234567890.1700000000"), cookie(" AbC "), cookie("  ")
    ('1234567890.1700000000', 'AbC', None)
    """
    found = GOOGLE_ANALYTICS.fullmatch(text.strip())
    return found[1] if found else device(text)
