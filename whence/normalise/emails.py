"""E-mail addresses in one form, as they are kept here; what each advertising platform wants is in destinations.py."""

from __future__ import annotations

import re
import unicodedata

import idna

from whence.normalise.text import listed

VERSION = "emails-2"
"""2: domains in IDNA 2008, so that münchen.example and xn--mnchen-3ya.example are one; addresses in ASCII are as in 1."""

SHAPE = re.compile(r"[^@\s]+@[^@\s]+")
PLAIN_DOMAIN = re.compile(r"[a-z0-9._-]+")
ROLES = listed(
    "abuse accounts admin administrator billing bonjour careers contact contacto customerservice enquiries feedback "
    "finance hallo hello help helpdesk hostmaster hr info information inquiries invoice invoices it jobs kontakt mail "
    "mailer-daemon marketing media news newsletter no-reply noc noreply office orders postmaster press privacy reception "
    "root sales security service shop spam staff support team web webmaster donotreply do-not-reply"
)
"""Mailboxes that several people read (RFC 2142, and what is usual)."""


def address(text: str) -> str | None:
    """The address trimmed, in lower case, its domain in ASCII; nothing when it is none. Idempotent.

    >>> address(" John_Smith@Gmail.com "), address("jane@MÜNCHEN.example"), address("no address")
    ('john_smith@gmail.com', 'jane@xn--mnchen-3ya.example', None)
    """
    plain = text.strip().lower() if text.isascii() else _settled(text)
    if not SHAPE.fullmatch(plain):
        return None
    mailbox, _, domain = plain.rpartition("@")
    ascii_domain = domain if PLAIN_DOMAIN.fullmatch(domain) else _ascii(domain)
    whole = f"{mailbox}@{ascii_domain}"
    return whole if ascii_domain and len(whole) <= 254 and _is_encodable(whole) else None


def is_role(text: str) -> bool:
    """Whether several people read this mailbox: evidence of a company or a household, not of a person.

    >>> is_role("info@shop.example"), is_role("Sales+spring@shop.example"), is_role("infanta@shop.example")
    (True, True, False)
    """
    found = address(text)
    return found is not None and found.rpartition("@")[0].partition("+")[0] in ROLES


def _settled(text: str) -> str:
    """NFKC and lower case until nothing changes: a few characters need a second round."""
    for _ in range(6):
        plain = unicodedata.normalize("NFKC", text).strip().lower()
        if plain == text:
            break
        text = plain
    return text


def _ascii(domain: str) -> str | None:
    """The domain as the name system knows it (IDNA 2008 with the mapping of UTS 46); nothing when it cannot be one."""
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return None


def _is_encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
