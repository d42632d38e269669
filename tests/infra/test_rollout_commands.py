"""`whence rollout` as a person types it: a challenger sent, looked at, and withdrawn."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.commands import app
from registry.following import under_way
from registry.journal import Journal
from registry.succession import ABORT, PROMOTE, SHADOW
from serving.rollouts.tally import Seen, Tally
from tests.builders import some_settings
from tests.serving.tiny import a_bundle
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings

pytestmark = pytest.mark.service

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)


def whence(settings: Settings, *words: str) -> Any:
    return CliRunner().invoke(app, ["rollout", *words], obj=settings)


def test_a_challenger_is_sent_by_the_beginning_of_its_digest_looked_at_and_withdrawn(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    old, new = (a_bundle(settings.bundles, IDENTITY_RANKER, seed) for seed in (1, 2))
    journal = Journal.of(settings)
    journal.promote(IDENTITY_RANKER, old, "", ("the first",), "tests", 0, NOON)
    assert "No challenger is on its way" in whence(settings, "status").stdout
    unknown = whence(settings, "start", IDENTITY_RANKER, "zz", "--reason", "try it")
    assert unknown.exit_code == 1
    assert whence(settings, "start", IDENTITY_RANKER, new[:10], "--reason", "try it").exit_code == 0

    rollout, tally = under_way(journal, NOON).get(IDENTITY_RANKER), Tally(settings.home)
    assert rollout is not None
    for number in range(500):
        for arm in (0, 1):
            tally.note(rollout, replace(Seen(arm, number % 32, 0.001), probability=0.4), time.time() - 60)
    tally.flush(time.time())
    (told,) = json.loads(whence(settings, "status", "--json").stdout)
    assert (told["stage"], told["challenger"], told["answers"]) == ("shadow", new[:12], {"champion": 500, "challenger": 500})
    assert {(each["check"], each["says"]) for each in told["checks"]} == {
        ("failures", "open"),
        ("slowness", "open"),
        ("scores", "open"),
    }
    assert "shadow" in whence(settings, "status").stdout

    assert whence(settings, "judge", "2026-05-02").exit_code == 0
    assert whence(settings, "abort", IDENTITY_RANKER, "--reason", "no time").exit_code == 0
    assert [(row.kind, row.reasons) for row in journal.rows(IDENTITY_RANKER)] == [
        (PROMOTE, ("the first",)),
        (SHADOW, ("try it",)),
        (ABORT, ("no time",)),
    ]
    again = whence(settings, "abort", IDENTITY_RANKER, "--reason", "no time")
    assert again.exit_code == 1
