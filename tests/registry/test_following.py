"""A journal that is asked every second: only what is new is read, and what it says is what the whole of it says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.following import Following, under_way
from registry.journal import Journal, Tampered
from registry.rollouts import Step, proceed, start
from registry.succession import CANARY, FINISH, PROMOTE
from tests.registry.test_journal import forge
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER
from whence.contracts.settings import Settings

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)


@dataclass
class Heard:
    """A journal that remembers which rows were asked for whole."""

    journal: Journal
    whole_rows: list[int] = field(default_factory=list)

    def told(self, since: int = 0) -> Any:
        return self.journal.told(since)

    def whole(self, epochs: list[int]) -> Any:
        self.whole_rows.extend(epochs)
        return self.journal.whole(epochs)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def journal(settings: Settings) -> Journal:
    return Journal.of(settings)


def promote(journal: Journal, model: str, name: str) -> int:
    row = journal.champion(model)
    return journal.promote(model, name * 64, "", ("better",), "tests", row.epoch if row else 0, NOON).epoch


def test_of_a_promotion_one_row_is_read_whole_and_of_a_second_without_news_none(journal: Journal) -> None:
    heard = Heard(journal)
    following = Following(heard, lambda: NOON)  # type: ignore[arg-type]
    assert following() == ({}, {}, {})
    for model in (IDENTITY_RANKER, ATTRIBUTION_RANKER):
        promote(journal, model, "a")
    following()
    following()
    assert sorted(heard.whole_rows) == [1, 2]
    newest = promote(journal, IDENTITY_RANKER, "b")
    told = following()
    assert heard.whole_rows[2:] == [newest]
    assert {model: row.epoch for model, row in told.champions.items()} == {IDENTITY_RANKER: newest, ATTRIBUTION_RANKER: 2}
    assert told.before == {IDENTITY_RANKER: "a" * 64}


def test_what_was_followed_row_by_row_is_what_the_whole_journal_says(settings: Settings, journal: Journal) -> None:
    following = Following(journal, lambda: NOON)
    for name in "abc":
        promote(journal, IDENTITY_RANKER, name)
        following()
    start(settings, IDENTITY_RANKER, "d" * 64, ("it passed",), "tests", NOON)
    for kind in (CANARY, FINISH, PROMOTE):
        assert following() == Following(journal, lambda: NOON)()
        proceed(journal, under_way(journal, NOON)[IDENTITY_RANKER], Step(kind, ("because",), 0.25), "tests", NOON)
    assert following() == Following(journal, lambda: NOON)()
    for champion, before in (("c", "b"), ("b", "a"), ("a", None)):
        journal.rollback(IDENTITY_RANKER, "tests", "it does harm", NOON)
        told = following()
        assert told == Following(journal, lambda: NOON)()
        assert told.champions[IDENTITY_RANKER].bundle == champion * 64
        assert told.before.get(IDENTITY_RANKER) == (before * 64 if before else None)


def test_a_database_that_was_restored_is_read_from_its_beginning(settings: Settings, journal: Journal, tmp_path: Path) -> None:
    promote(journal, IDENTITY_RANKER, "a")
    shutil.copytree(settings.home, tmp_path / "backup")
    promote(journal, IDENTITY_RANKER, "b")
    following = Following(journal, lambda: NOON)
    assert following().champions[IDENTITY_RANKER].bundle == "b" * 64
    shutil.rmtree(settings.home)
    shutil.copytree(tmp_path / "backup", settings.home)
    promote(journal, IDENTITY_RANKER, "c")  # of the same epoch as the one that is lost
    assert following().champions[IDENTITY_RANKER].bundle == "c" * 64


def test_a_forged_champion_is_never_followed(journal: Journal) -> None:
    promote(journal, IDENTITY_RANKER, "a")
    following = Following(journal, lambda: NOON)
    following()
    columns = "epoch, model, bundle, previous, kind, verdict, reasons, who, at, prior, seal, form, details, versions, signature"
    copied = columns.replace("epoch", "2", 1).replace("bundle", f"'{'e' * 64}'", 1)
    forge(journal, f"INSERT INTO promotions ({columns}) SELECT {copied} FROM promotions WHERE epoch = 1")
    for _ in range(2):
        with pytest.raises(Tampered):
            following()
