"""What served last, on disk: it forgets no model that is only not there yet, and what is broken in it is written anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from registry.following import Standings
from serving.champion import Champion
from serving.web.lastgood import LastGood, Remembered
from whence.bundle import Scorer


def a_champion(digest: str, epoch: int) -> Champion:
    return Champion(cast(Scorer, SimpleNamespace(digest=digest)), epoch)


def a_record(path: Path) -> LastGood:
    def look() -> Any:
        raise OSError("the journal is gone")

    return LastGood(path / "lastgood.json", look)


def test_after_a_restart_the_first_model_that_is_there_is_not_the_last_that_is_known(tmp_path: Path) -> None:
    a_record(tmp_path).note({"one": a_champion("a", 1), "other": a_champion("b", 2)})
    a_record(tmp_path).note({"one": a_champion("c", 3)})
    assert a_record(tmp_path)() == Standings({"one": Remembered("c", 3), "other": Remembered("b", 2)}, {}, None)


def test_what_is_known_already_is_not_written_and_what_is_broken_is_written_anew(tmp_path: Path) -> None:
    record = a_record(tmp_path)
    record.note({})
    assert not record.path.exists()
    record.note({"one": a_champion("a", 1)})
    before = record.path.stat().st_ino
    a_record(tmp_path).note({"one": a_champion("a", 1)})
    assert record.path.stat().st_ino == before
    record.path.write_text('{"one": {"bundle": "a"')
    assert record.read() == {}
    record.note({"one": a_champion("a", 1)})
    assert record.read() == {"one": Remembered("a", 1)}
