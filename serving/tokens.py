"""Who may ask: bearer tokens, kept as digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from whence.contracts.settings import Settings


class TokensError(RuntimeError):
    """The file of tokens cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Tokens:
    """The digests of the tokens that are let in, by the name of their holder."""

    digests: dict[str, str]

    def holder(self, header: str | None) -> str | None:
        """Whose the `Authorization` header is; None when it is nobody's. Every digest is compared, in constant time.

        >>> tokens = Tokens({"demo": hashlib.sha256(b"secret").hexdigest()})
        >>> tokens.holder("Bearer secret"), tokens.holder("Bearer guess"), tokens.holder(None)
        ('demo', None, None)
        """
        scheme, _, token = (header or "").partition(" ")
        given = hashlib.sha256(token.strip().encode()).hexdigest()
        fitting = [name for name, digest in self.digests.items() if hmac.compare_digest(digest, given)]
        return fitting[0] if fitting and scheme.lower() == "bearer" else None


def tokens(settings: Settings) -> Tokens:
    """The tokens that are let in; at the first start one is made for this machine's owner (see `own_token`)."""
    path = _digests_file(settings)
    if not path.exists():
        own_token(settings)
    try:
        content = json.loads(path.read_text())
        digests = {str(name): str(digest) for name, digest in content.items()}
    except (ValueError, AttributeError) as wrong:
        raise TokensError(f"{path} is no JSON object of name to SHA-256 digest ({wrong}). Mend it, or delete it.") from None
    if bad := [name for name, digest in digests.items() if len(digest) != 64]:
        raise TokensError(
            f"{path}: the entry of {bad[0]} is no SHA-256 digest (64 hex characters). Write the digest, not the token."
        )
    return Tokens(digests)


def own_token(settings: Settings) -> str:
    """This machine's own token, for the command line and the demo; made on first use, for its owner's eyes only."""
    path = settings.home / "run" / "serving_token"
    token = _keep(path, secrets.token_urlsafe(32))
    _keep(_digests_file(settings), json.dumps({"local": hashlib.sha256(token.encode()).hexdigest()}, indent=1) + "\n")
    return token


def _digests_file(settings: Settings) -> Path:
    return settings.home / "serving_tokens.json"


def _keep(path: Path, text: str) -> str:
    """Write the file unless it is there, readable by its owner alone; of two first users one makes it, and both read it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(text)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
