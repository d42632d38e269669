"""`whence token`: a token is seen once, listed without itself, and taken back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from infra.service_commands import app
from serving.web.tokens import open_book
from tests.builders import some_settings


def test_a_token_is_made_listed_and_taken_back(tmp_path: Path) -> None:
    settings, now = some_settings(tmp_path), datetime.now(UTC)

    def whence(*words: str) -> str:
        done = CliRunner().invoke(app, ["token", *words], obj=settings)
        return done.output if done.exit_code == 0 else f"failed: {done.output}"

    made = json.loads(whence("add", "shop", "--scopes", "score,explain", "--days", "30", "--json"))
    found = open_book(settings).find(f"Bearer {made['token']}", now)
    assert found is not None
    assert found.scopes == ("score", "explain")
    listed = whence("list", "--json")
    assert made["token"] not in listed
    assert {each["holder"] for each in json.loads(listed)} == {"shop", "local"}
    assert found.id in whence("revoke", found.id)
    assert open_book(settings).find(f"Bearer {made['token']}", now) is None
    assert whence("revoke", "nobody").startswith("failed: ")
