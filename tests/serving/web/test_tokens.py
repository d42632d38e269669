"""Tokens: digests alone are kept, a scope is all that they give, and a holder can change keys without a gap."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.web import tokens
from serving.web.tokens import SCOPES, TokenBook, TokensError
from tests.builders import some_settings
from whence.contracts.settings import Settings

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_the_file_holds_digests_and_no_token_and_is_its_owners_alone(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    token = tokens.add(settings, "shop", ["score"], TOMORROW, NOW)
    file = tokens.tokens_file(settings)
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert len(token) >= 43  # 32 random bytes


def test_a_token_lets_in_until_it_ends_with_its_scopes_alone(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    token = tokens.add(settings, "shop", ["explain", "score"], TOMORROW, NOW)
    book = TokenBook(tokens.tokens_file(settings))
    found = book.find(bearer(token), NOW)
    assert found is not None
    assert (found.holder, found.scopes) == ("shop", ("score", "explain"))
    assert book.find(bearer(token), TOMORROW) is None


def test_a_holder_has_two_live_keys_at_most_so_that_one_takes_the_others_place(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    old, new = (tokens.add(settings, "shop", ["score"], TOMORROW, NOW) for _ in range(2))
    with pytest.raises(TokensError, match="Revoke one first"):
        tokens.add(settings, "shop", ["score"], TOMORROW, NOW)
    book = TokenBook(tokens.tokens_file(settings))
    assert all(book.find(bearer(token), NOW) for token in (old, new))
    tokens.add(settings, "shop", ["score"], TOMORROW + timedelta(days=9), TOMORROW)
    assert len(tokens.read(tokens.tokens_file(settings))) == 1  # the ended ones are gone


def test_a_change_is_seen_within_a_second_and_a_broken_file_leaves_the_tokens_as_they_were(tmp_path: Path) -> None:
    settings, at = some_settings(tmp_path), [0.0]
    kept, gone = (tokens.add(settings, holder, ["score"], TOMORROW, NOW) for holder in ("kept", "gone"))
    book = TokenBook(tokens.tokens_file(settings), lambda: at[0])
    tokens.revoke(settings, "gone")
    assert book.find(bearer(gone), NOW) is not None
    at[0] = 1.0
    assert (book.find(bearer(gone), NOW), book.find(bearer(kept), NOW) is None) == (None, False)
    tokens.tokens_file(settings).write_text("{")
    at[0] = 2.0
    assert book.find(bearer(kept), NOW) is not None


def test_a_file_from_before_there_were_scopes_lets_in_as_it_did(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    file = tokens.tokens_file(settings)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"shop": hashlib.sha256(b"secret").hexdigest()}))
    found = TokenBook(file).find(bearer("secret"), NOW)
    assert found is not None
    assert (found.holder, found.scopes, found.expires) == ("shop", SCOPES, None)
    tokens.add(settings, "other", ["score"], TOMORROW, NOW)
    assert {each.holder for each in tokens.read(file)} == {"shop", "other"}


def test_the_machines_own_token_is_made_once_stays_beside_others_and_is_made_anew_when_taken_back(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    tokens.add(settings, "shop", ["score"], TOMORROW, NOW)
    own = tokens.own_token(settings)
    assert tokens.own_token(settings) == own
    tokens.revoke(settings, "local")
    again = tokens.own_token(settings)
    book = tokens.open_book(settings)
    assert (book.find(bearer(own), NOW), book.find(bearer(again), NOW) is None) == (None, False)


def test_a_token_that_others_can_read_is_refused_as_keys_are(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    own = tokens.own_token(settings)
    file = settings.home / "run" / "serving_token"
    file.chmod(0o644)  # as of a home that was copied
    with pytest.raises(TokensError, match="Run chmod 600 on it"):
        tokens.own_token(settings)
    file.unlink()
    assert tokens.own_token(settings) != own


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"digest": "secret"}, "Write the digest, not the token"),
        ({"scopes": ["everything"]}, "has the scope 'everything'"),
        ({"expires": "soon"}, "no file of tokens"),
    ],
    ids=["a token in clear", "a scope that does not exist", "no time"],
)
def test_a_wrong_entry_keeps_the_service_from_starting_and_says_what_to_do(
    tmp_path: Path, entry: dict[str, object], words: str
) -> None:
    plain = {"holder": "shop", "digest": "0" * 64, "scopes": ["score"], "expires": None}
    (tmp_path / "tokens.json").write_text(json.dumps({"tokens": [plain | entry]}))
    with pytest.raises(TokensError, match=words):
        TokenBook(tmp_path / "tokens.json")


@pytest.mark.parametrize(
    ("holder", "scopes", "expires", "words"),
    [
        ("shop", ["admin", "root"], TOMORROW, "no scope 'root'"),
        ("shop", [], TOMORROW, "at least one scope"),
        (" ", ["score"], TOMORROW, "a holder's name"),
        ("shop", ["score"], NOW, "is past"),
    ],
    ids=["scope", "no scope", "no holder", "past"],
)
def test_a_token_that_makes_no_sense_is_not_made(
    tmp_path: Path, holder: str, scopes: list[str], expires: datetime, words: str
) -> None:
    with pytest.raises(TokensError, match=words):
        tokens.add(some_settings(tmp_path), holder, scopes, expires, NOW)


def _add(settings: Settings, number: int) -> None:
    tokens.add(settings, f"shop-{number}", ["score"], TOMORROW, NOW)


def test_of_tokens_added_at_once_none_is_lost(tmp_path: Path) -> None:
    settings, fork = some_settings(tmp_path), multiprocessing.get_context("fork")
    adders = [fork.Process(target=_add, args=(settings, number)) for number in range(8)]
    for each in adders:
        each.start()
    for each in adders:
        each.join()
    assert len(tokens.read(tokens.tokens_file(settings))) == 8
