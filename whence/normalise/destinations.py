"""What each advertising platform wants hashed, and how: one form for each, never one hash for two.

The rules are the platforms' own, not those of emails.py and phones.py: they take what was typed, and no placeholder is
held back here, so ask is_placeholder first. Where a platform's pages disagree, the class of its rules says which is followed.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from whence.normalise import dates, phones

VERSION = "destinations-1"

Rule = Callable[[str, str | None], str | None]
"""A text and the two-letter country it is from, to the text that is hashed; nothing when it is no such thing."""


@dataclass(frozen=True)
class Destination:
    """A platform: the rule of each field, and how the digest is written."""

    version: str
    fields: Mapping[str, Rule]
    written: Callable[[bytes], str]
    bare: frozenset[str] = frozenset()
    """Fields that are sent as they are, without hashing."""


def export(destination: str, field: str, text: str, region: str | None = None) -> str | None:
    """A value as a destination takes it, hashed; nothing when the text is no such value.

    `region` is the country of a phone number or postcode, in two letters of ISO 3166. Raises ValueError for a
    destination or field that is not known.

    >>> export("meta", "email", "John_Smith@gmail.com")
    '62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f'
    >>> export("uid2", "email", "JANE.SAOIRSE@gmail.com")
    'ku4mBX7Z3qJTXWyLFB1INzkyR2WZGW4ANSJUiW21iI8='
    """
    found = plain(destination, field, text, region)
    if found is None or field in DESTINATIONS[destination].bare:
        return found
    return DESTINATIONS[destination].written(hashlib.sha256(found.encode(errors="replace")).digest())


def plain(destination: str, field: str, text: str, region: str | None = None) -> str | None:
    """What would be hashed.

    >>> plain("google", "email", "Jane.Doe+shop@gmail.com"), plain("meta", "email", "Jane.Doe+shop@gmail.com")
    ('janedoe@gmail.com', 'jane.doe+shop@gmail.com')
    >>> plain("google", "phone", "(650) 555-1212", "US"), plain("meta", "phone", "(650) 555-1212", "US")
    ('+16505551212', '16505551212')
    """
    if destination not in DESTINATIONS:
        raise ValueError(f"There is no destination {destination!r}. Use one of: {', '.join(DESTINATIONS)}.")
    rules = DESTINATIONS[destination].fields
    if field not in rules:
        raise ValueError(f"{destination} has no rule for {field!r}. Use one of: {', '.join(rules)}.")
    return rules[field](text, region) or None


def _hex(digest: bytes) -> str:
    return digest.hex()


def _base64(digest: bytes) -> str:
    """Of the 32 raw bytes, not of their hexadecimal text."""
    return base64.b64encode(digest).decode()


def _address(text: str, region: str | None = None) -> str | None:
    """Trimmed, in lower case, with one @ and no space."""
    found = text.strip().lower()
    mailbox, _, domain = found.partition("@")
    return found if mailbox and domain and "@" not in domain and not re.search(r"\s", found) else None


def _spaceless_address(text: str, region: str | None = None) -> str | None:
    return _address(re.sub(r"\s", "", text))


def _mailbox(*domains: str) -> Rule:
    """An address whose dots and +suffix go where the domain is one of these."""

    def rule(text: str, region: str | None = None) -> str | None:
        found = _address(text)
        if found is None or found.partition("@")[2] not in domains:
            return found
        mailbox = found.partition("@")[0].partition("+")[0].replace(".", "")
        return f"{mailbox}@{found.partition('@')[2]}" if mailbox else None

    return rule


def _google_address(text: str, region: str | None = None) -> str | None:
    return _mailbox("gmail.com", "googlemail.com")(re.sub(r"\s", "", text), region)


def _plus(text: str, region: str | None = None) -> str | None:
    return phones.e164(text, region)


def _plus_ten(text: str, region: str | None = None) -> str | None:
    """E.164 with at least ten digits: the operator refuses shorter ones."""
    found = phones.e164(text, region)
    return found if found and len(found) > 10 else None


def _digits(text: str, region: str | None = None) -> str | None:
    found = phones.e164(text, region)
    return found.removeprefix("+") if found else None


def _name(text: str, region: str | None = None) -> str:
    """Lower case, no punctuation, accents and script as they are."""
    return " ".join("".join(letter for letter in text.lower() if not _is_mark(letter)).split())


def _place(text: str, region: str | None = None) -> str:
    """Lower case, letters alone, accents and script as they are."""
    return "".join(letter for letter in _name(text) if letter != " " and not letter.isdecimal())


def _postcode(text: str, region: str | None = None) -> str:
    """Lower case, without spaces and dashes; the first five digits in the United States."""
    found = re.sub(r"[\s-]", "", text.lower())
    return found[:5] if region == "US" else found


def _country(text: str, region: str | None = None) -> str | None:
    found = text.strip().lower()
    return found if re.fullmatch("[a-z]{2}", found) else None


def _gender(text: str, region: str | None = None) -> str | None:
    found = text.strip().lower()[:1]
    return found if found in ("f", "m") else None


def _birth(text: str, region: str | None = None) -> str | None:
    """YYYYMMDD; a day and month that can be read both ways are month first in the United States alone."""
    found = dates.iso(text, day_first=region != "US")
    return found.replace("-", "") if found and dates.is_real(found) else None


def _google_given(text: str, region: str | None = None) -> str | None:
    """Trimmed, in lower case, without Mr., Mrs., Ms. or Dr. before it; other punctuation stays."""
    return re.sub(r"^(mr|mrs|ms|dr)\.(\s+|$)", "", text.strip().lower()) or None


def _google_family(text: str, region: str | None = None) -> str | None:
    """Trimmed, in lower case, without Jr., III, PhD and their like after it; hyphens stay."""
    found = f" {text.strip().lower()}"
    while shorter := GOOGLE_SUFFIX.match(found):
        found = shorter[1]
    return found.strip() or None


def _region(text: str, region: str | None = None) -> str | None:
    found = text.strip().upper()
    return found if re.fullmatch("[A-Z]{2}", found) else None


def _trimmed(text: str, region: str | None = None) -> str:
    return text.strip()


def _device(text: str, region: str | None = None) -> str:
    return text.strip().lower()


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "PSC"


GOOGLE_SUFFIX = re.compile(r"(.*?)(?:,\s*|\s+)(?:jr|sr|2nd|3rd|ii|iii|iv|v|vi|cpa|dc|dds|vm|jd|md|phd)\.?\s*$", re.DOTALL)

META = Destination(
    "meta-1",
    {
        "email": _address,
        "phone": _digits,
        "given_name": _name,
        "surname": _name,
        "birth": _birth,
        "gender": _gender,
        "city": _place,
        "state": _place,
        "postcode": _postcode,
        "country": _country,
    },
    _hex,
)
"""Conversions API and Custom Audiences: no rule for Gmail, phone numbers without +, accents stay.

The page says nothing of digits in the name of a city; Meta's own code takes them out, and is followed.
developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters"""

GOOGLE = Destination(
    "google-2",
    {
        "email": _google_address,
        "phone": _plus,
        "given_name": _google_given,
        "surname": _google_family,
        "postcode": _trimmed,
        "country": _region,
    },
    _hex,
    frozenset(("postcode", "country")),
)
"""Enhanced Conversions, Customer Match and Data Manager: phone numbers with +, dots of Gmail's addresses go.

Google's own code disagrees with itself on what follows a +: its Node library drops it for gmail.com and googlemail.com,
its Python library of 2025 keeps it, as older pages do. The newer one is followed (1 kept it). Addresses stay at
googlemail.com, and other domains keep dots and suffix. Google takes base64 of the raw digest as well as hexadecimal digits.
developers.google.com/data-manager/api/get-started/formatting, github.com/googleads/data-manager-node"""

UID2 = Destination("uid2-1", {"email": _mailbox("gmail.com"), "phone": _plus_ten}, _base64)
"""Unified ID 2.0: dots and suffix go at gmail.com alone (not googlemail.com), base64 of the raw digest.
unifiedid.com/docs/getting-started/gs-normalization-encoding"""

EUID = Destination("euid-1", UID2.fields, _base64)
"""European Unified ID: the same operator, and so the same rules, as UID2; a destination of its own, should they part."""

TIKTOK = Destination("tiktok-1", {"email": _spaceless_address, "phone": _plus, "device_id": _device}, _hex)
"""Events API and Customer File: lower case without spaces, phone numbers in E.164 with +.

TikTok's pages disagree. The one on making a custom audience (September 2025) wants the + and takes numbers without it
too; the list of supported ids wanted the + in 2024 and has it removed since August 2025; partners' guides to the Events
API want it. The + is followed. The same list has dots and +suffix removed from an e-mail address's mailbox, the page does not; the
page is followed. Its published digest is that of janedoe@gmail.com, though the line says johndoe@gmail.com.
ads.tiktok.com/help/article/how-to-create-a-custom-audience-with-a-customer-file"""

SNAP = Destination(
    "snap-1", {"email": _address, "phone": _digits, "given_name": _name, "surname": _name, "device_id": _device}, _hex
)
"""Conversions API: no rule for Gmail, phone numbers without +, accents stay, device ids in lower case with hyphens.
developers.snap.com/api/marketing-api/Conversions-API/Parameters"""

DESTINATIONS: Mapping[str, Destination] = {
    "meta": META,
    "google": GOOGLE,
    "uid2": UID2,
    "euid": EUID,
    "tiktok": TIKTOK,
    "snap": SNAP,
}
