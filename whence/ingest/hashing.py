"""Turns what a source says about people into keys: normalise, then hash; placeholders become nothing."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from whence.normalise import emails, phones
from whence.normalise.placeholders import is_placeholder


def sha256(text: str) -> str:
    """SHA-256 as lower-case hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def email(text: str) -> str | None:
    """The hash of an e-mail address in its one form (see emails.address); nothing when it is none, or nobody's.

    >>> email(" John_Smith@gmail.com ")
    '62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f'
    >>> email("test@test.com") is None
    True
    """
    plain = emails.address(text)
    return None if plain is None or is_placeholder("email", plain) else sha256(plain)


def phone(text: str, region: str | None = None) -> str | None:
    """The hash of a phone number in E.164 (see phones.e164); nothing when it is none, or nobody's.

    `region` is the country, in two letters, of numbers that carry no country code; without one they are none.

    >>> phone("+44 7700 900123") == phone("0044-7700-900123") == phone("07700 900123", "GB") == sha256("+447700900123")
    True
    """
    plain = phones.e164(text, region)
    return None if plain is None or is_placeholder("phone", plain) else sha256(plain)


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
