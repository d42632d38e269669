"""Who may write promotions: the holder of a private key; and everybody with its public half can tell.

    promoter.key   Ed25519, 32 bytes in hexadecimal, for the promoter's eyes only; made at first use
    promoter.pub   the public halves that are trusted, one a line; a server needs this file alone

A folder with the second file and without the first is a server's: it verifies, and never makes a key of its own that
nobody else would trust. After a renewal the rows of the old key still hold.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from registry.succession import JournalError

PRIVATE, PUBLIC = "promoter.key", "promoter.pub"
PURPOSE = b"whence promotion "
"""Signed in front of every seal, so that the key's signature under anything else is no promotion."""


class SigningError(JournalError):
    """There is no key to sign or to verify with, or others could read it."""


@dataclass(frozen=True)
class Keys:
    """The promoter's keys in a folder."""

    folder: Path

    def sign(self, seal: str) -> str:
        """The signature of a row's seal, in hexadecimal; makes the key at first use. Raises SigningError on a server."""
        key = self._private()
        self._trust(key.public_key().public_bytes_raw().hex())
        return key.sign(PURPOSE + seal.encode()).hex()

    def has_signed(self, seal: str, signature: str) -> bool:
        """True when one of the trusted keys has signed the seal. Raises SigningError when none is trusted."""
        return any(_is_by(public, seal, signature) for public in self._trusted())

    def renew(self) -> None:
        """Sign with another key from now on; copy promoter.pub to the servers before the next promotion."""
        path = self.folder / PRIVATE
        os.replace(_draft(path, secrets.token_hex(32)), path)  # a promotion meanwhile finds the old key or the new one
        self._trust(self._private().public_key().public_bytes_raw().hex())

    def _private(self) -> Ed25519PrivateKey:
        path = self.folder / PRIVATE
        if not path.exists():
            if (self.folder / PUBLIC).exists():
                raise SigningError(
                    f"There is no {path}: this machine may verify promotions, and not make any. Do it where they are made."
                )
            _make(path, secrets.token_hex(32))
        if path.stat().st_mode & 0o077:
            raise SigningError(
                f"Others can read {path}, which signs promotions. Run chmod 600 on it, or delete it for a new one."
            )
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))

    def _trust(self, public: str) -> None:
        path = self.folder / PUBLIC
        if path.exists() and public in path.read_text().split():
            return
        with path.open("a") as file:
            file.write(f"{public}\n")
            file.flush()
            os.fsync(file.fileno())

    def _trusted(self) -> tuple[str, ...]:
        path = self.folder / PUBLIC
        if not path.exists():
            raise SigningError(
                f"There is no {path}, so nobody can tell who wrote a promotion. Copy it from where promotions are made."
            )
        return tuple(path.read_text().split())


def _make(path: Path, content: str) -> None:
    """Of two first users one makes the key, and both read it."""
    draft = _draft(path, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _draft(path: Path, content: str) -> Path:
    """A file beside the path, whole and for our eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(content)
    return draft


def _is_by(public: str, seal: str, signature: str) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), PURPOSE + seal.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
