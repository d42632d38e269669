"""Who may ask what: bearer tokens, kept as digests with their holder, scopes and last day."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whence.contracts.settings import Settings

SCOPES = ("score", "explain", "admin")
TOKEN_BYTES = 32
MOST_LIVE = 2
"""Live keys of one holder: the one in use, and the one that takes its place."""
OWN = "local"
"""The holder of the machine's own token."""
LOOK_SECONDS = 1.0
log = logging.getLogger("serving.web.tokens")


class TokensError(RuntimeError):
    """The file of tokens cannot be used or changed as asked; the message says what to do."""


@dataclass(frozen=True)
class Token:
    """A token that was given out, without the token itself."""

    holder: str
    digest: str
    """SHA-256 of the token, in hex."""
    scopes: tuple[str, ...]
    expires: datetime | None = None
    """None of the machine's own."""

    @property
    def id(self) -> str:
        """What it is called in lists: the first digits of the digest."""
        return self.digest[:12]

    def is_live(self, now: datetime) -> bool:
        """Whether it still lets in."""
        return self.expires is None or now < self.expires


def fitting(tokens: Sequence[Token], header: str | None, now: datetime) -> Token | None:
    """The live token that an `Authorization` header carries; every digest is compared, in constant time.

    >>> mine = Token("demo", hashlib.sha256(b"secret").hexdigest(), ("score",))
    >>> now = datetime(2026, 5, 1, tzinfo=UTC)
    >>> [fitting([mine], header, now) is mine for header in ("Bearer secret", "bearer secret", "Bearer guess", "secret", None)]
    [True, True, False, False, False]
    """
    scheme, _, token = (header or "").partition(" ")
    given = hashlib.sha256(token.strip().encode()).hexdigest()
    found = [each for each in tokens if hmac.compare_digest(each.digest, given)]
    return found[0] if found and found[0].is_live(now) and scheme.lower() == "bearer" else None


@dataclass
class TokenBook:
    """The tokens of a file that is read again when it changes; one that cannot be read leaves the tokens as they were."""

    path: Path
    clock: Callable[[], float] = time.monotonic
    _tokens: tuple[Token, ...] = ()
    _mark: tuple[int, int, int] | None = None
    _looked_at: float = float("-inf")

    def __post_init__(self) -> None:
        """Read the file once; raises TokensError when it cannot be."""
        self._mark, self._tokens = _mark(self.path), read(self.path)
        self._looked_at = self.clock()

    def find(self, header: str | None, now: datetime) -> Token | None:
        """The live token that the header carries."""
        if self.clock() - self._looked_at >= LOOK_SECONDS:
            self._look()
        return fitting(self._tokens, header, now)

    def _look(self) -> None:
        self._looked_at = self.clock()
        try:
            if (mark := _mark(self.path)) != self._mark:
                self._tokens, self._mark = read(self.path), mark
        except (TokensError, OSError) as wrong:
            log.error("The tokens stay as they were: %s", wrong)


def tokens_file(settings: Settings) -> Path:
    """Where the digests lie."""
    return settings.home / "serving_tokens.json"


def open_book(settings: Settings) -> TokenBook:
    """The tokens that are let in, this machine's own among them."""
    own_token(settings)
    return TokenBook(tokens_file(settings))


def own_token(settings: Settings) -> str:
    """This machine's own token, for the command line and the demo; made on first use, for its owner's eyes only."""
    file = tokens_file(settings)
    token = _keep(settings.home / "run" / "serving_token", secrets.token_urlsafe(TOKEN_BYTES))
    mine = Token(OWN, hashlib.sha256(token.encode()).hexdigest(), SCOPES)
    if not file.exists() or not any(each.digest == mine.digest for each in read(file)):
        with _changing(file) as tokens:
            tokens[:] = [*(each for each in tokens if each.holder != OWN), mine]
    return token


def add(settings: Settings, holder: str, scopes: Sequence[str], expires: datetime, now: datetime) -> str:
    """Make a token, keep its digest, and give the token: the only time that it is seen.

    Raises TokensError for a scope that does not exist, an end that is past, or a third live key of one holder.
    """
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise TokensError(f"There is no scope '{unknown[0]}'. There are {', '.join(SCOPES)}.")
    if not holder.strip() or not scopes:
        raise TokensError("A token needs a holder's name and at least one scope.")
    if expires <= now:
        raise TokensError(f"{expires.isoformat()} is past. Let the token end later.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    made = Token(holder, hashlib.sha256(token.encode()).hexdigest(), tuple(each for each in SCOPES if each in scopes), expires)
    with _changing(tokens_file(settings)) as tokens:
        live = [each for each in tokens if each.holder == holder and each.is_live(now)]
        if len(live) >= MOST_LIVE:
            raise TokensError(f"{holder} has {len(live)} live keys ({', '.join(each.id for each in live)}). Revoke one first.")
        tokens[:] = [*(each for each in tokens if each.is_live(now)), made]
    return token


def revoke(settings: Settings, which: str) -> tuple[Token, ...]:
    """Strike out the tokens of a holder, or the one with this id; raises TokensError when there is none.

    The machine's own is forgotten, too, so that another is made when it is wanted.
    """
    with _changing(tokens_file(settings)) as tokens:
        gone = tuple(each for each in tokens if which in (each.holder, each.id))
        if not gone:
            raise TokensError(f"There is no token of or called '{which}'. `whence token list` shows what there is.")
        tokens[:] = [each for each in tokens if each not in gone]
        if any(each.holder == OWN for each in gone):
            (settings.home / "run" / "serving_token").unlink(missing_ok=True)
    return gone


def read(path: Path) -> tuple[Token, ...]:
    """The tokens of a file, or of one from before tokens had scopes: those may do everything, as they could."""
    try:
        content = json.loads(path.read_text())
        tokens = tuple(_token(each) for each in content["tokens"]) if "tokens" in content else _without_scopes(content)
    except (ValueError, AttributeError, KeyError, TypeError) as wrong:
        raise TokensError(f"{path} is no file of tokens ({wrong}). Mend it, or delete it and add the tokens anew.") from None
    for each in tokens:
        if len(each.digest) != 64 or each.digest.strip("0123456789abcdef"):
            raise TokensError(f"{path}: the entry of {each.holder} has no SHA-256 digest. Write the digest, not the token.")
        if unknown := sorted(set(each.scopes) - set(SCOPES)):
            raise TokensError(f"{path}: the entry of {each.holder} has the scope '{unknown[0]}'. There are {', '.join(SCOPES)}.")
    return tokens


def _token(content: dict[str, Any]) -> Token:
    expires = None if content["expires"] is None else datetime.fromisoformat(content["expires"]).astimezone(UTC)
    return Token(str(content["holder"]), str(content["digest"]), tuple(content["scopes"]), expires)


def _without_scopes(content: dict[str, Any]) -> tuple[Token, ...]:
    return tuple(Token(str(holder), str(digest), SCOPES) for holder, digest in content.items())


def _text(tokens: Sequence[Token]) -> str:
    rows = [
        {
            "holder": each.holder,
            "digest": each.digest,
            "scopes": list(each.scopes),
            "expires": each.expires.isoformat() if each.expires else None,
        }
        for each in tokens
    ]
    return json.dumps({"tokens": rows}, indent=1) + "\n"


@contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """The file's tokens to be changed, one writer at a time; the file is replaced whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = list(read(path)) if path.exists() else []
        yield tokens
        draft = _draft(path, _text(tokens))
        draft.replace(path)


def _keep(path: Path, text: str) -> str:
    """Write the file unless it is there, readable by its owner alone; of two first users one makes it, and both read it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(path, text)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise TokensError(
            f"Others can read {path}, which lets in to everything. Run chmod 600 on it, or delete it for a new one."
        )
    return path.read_text().strip()


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _mark(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
