"""Turns what a source says about people into keys: normalise, then hash; placeholders become nothing."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

EMPTY_WORDS = ("", "-", "--", "0", "-1", "n/a", "na", "nan", "nil", "none", "null", "undefined", "unknown", "anonymous", "test")
ZEROED = re.compile(r"[0\-:{}]+|f{8}-?(f{4}-?){3}f{12}", re.IGNORECASE)
"""A zeroed or all-ones device id: what systems hand out when the user has refused."""
FAKE_EMAILS = (
    "test@test.com", "test@example.com", "a@a.com", "none@none.com", "no@email.com", "noemail@noemail.com", "na@na.com",
    "user@example.com", "email@example.com", "admin@admin.com", "unknown@unknown.com", "null@null.com",
)  # fmt: skip
FAKE_PHONES = ("+10000000000", "+1111111111", "+11111111111", "+12345678900", "+1234567890", "+441234567890", "+0000000000")


def sha256(text: str) -> str:
    """SHA-256 as lower-case hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


FAKE_HASHES = frozenset(sha256(fake) for fake in (*EMPTY_WORDS, " ", *FAKE_EMAILS, *FAKE_PHONES))
"""Hashes that stand for nobody; they would link thousands of strangers into one person."""


def is_placeholder(value: str) -> bool:
    """Whether an identifier's value names nobody.

    >>> is_placeholder("00000000-0000-0000-0000-000000000000"), is_placeholder("c81e728d9d4c2f63")
    (True, False)
    """
    return value.strip().lower() in EMPTY_WORDS or value in FAKE_HASHES or ZEROED.fullmatch(value.strip()) is not None


def email(text: str) -> str | None:
    """The hash of an e-mail address, trimmed and lower-cased; nothing when it is none.

    >>> email(" John_Smith@gmail.com ")
    '62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f'
    >>> email("test@test.com") is None
    True
    """
    plain = unicodedata.normalize("NFKC", text).strip().lower()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", plain) or plain in FAKE_EMAILS or len(plain) > 254:
        return None
    return sha256(plain)


def phone(text: str) -> str | None:
    """The hash of a phone number in E.164, with its country code; nothing when it is none.

    >>> phone("+44 7700 900123") == phone("0044-7700-900123") == sha256("+447700900123")
    True
    """
    digits = re.sub(r"\D", "", text).lstrip("0")
    plain = f"+{digits}"
    if not 8 <= len(digits) <= 15 or plain in FAKE_PHONES:
        return None
    return sha256(plain)


def network(text: str) -> str | None:
    """What of an IP address names a network: all of a v4 address, the /64 of a v6 one; nothing when it is none.

    >>> network("2001:db8::7f"), network("10.1.2.3"), network("::ffff:10.1.2.3"), network("localhost")
    ('2001:db8::/64', '10.1.2.3', '10.1.2.3', None)
    """
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def keyed(secret: bytes) -> Callable[[str], str]:
    """A hash that only the holder of the key can repeat: 16 hexadecimal digits."""

    def digest(text: str) -> str:
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:16]

    return digest


def each(values: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Change every distinct text once; what is null stays null."""
    coded = values.cast(pa.string()).dictionary_encode()
    changed = pa.array([change(word) for word in coded.dictionary.to_pylist()], pa.string())
    return changed.take(coded.indices)


def secret(home: Path) -> bytes:
    """The installation's key for hashes, made on first use; keep it, or the same network gets another key."""
    path = home / "ingest.key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"ingest.key.{secrets.token_hex(6)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_hex(32).encode())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # somebody was first, and theirs is the key
        finally:
            draft.unlink()
    return path.read_bytes()
