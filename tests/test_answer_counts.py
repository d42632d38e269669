"""Answers of several processes add up by day, and what is not written yet waits."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from whence.answer_counts import Keeper, read

MONDAY, TUESDAY = date(2026, 5, 4), date(2026, 5, 5)
MATCH, LOST = ("/v1/match", "200"), ("/v1/match", "500")


def test_each_answer_counts_once_on_the_day_on_which_it_was_written_down(tmp_path: Path) -> None:
    counted = {MATCH: 5}
    keeper, other = Keeper(tmp_path, lambda: counted), Keeper(tmp_path, lambda: {MATCH: 1})
    keeper.keep(MONDAY)
    keeper.keep(MONDAY)
    other.keep(MONDAY)
    counted |= {MATCH: 7, LOST: 1}
    keeper.keep(MONDAY)
    counted |= {MATCH: 10}
    keeper.keep(TUESDAY)
    assert read(tmp_path, MONDAY) == {MATCH: 8, LOST: 1}
    assert read(tmp_path, TUESDAY) == {MATCH: 3}


def test_what_the_disk_did_not_take_is_written_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    keeper = Keeper(folder, lambda: {MATCH: 5})
    folder.write_text("in the way")
    with pytest.raises(OSError, match="counts"):
        keeper.keep(MONDAY)
    folder.unlink()
    keeper.keep(MONDAY)
    assert read(folder, MONDAY) == {MATCH: 5}
    assert read(folder, TUESDAY) == {}


def test_a_damaged_file_is_told_and_takes_nothing_from_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Keeper(tmp_path, lambda: {MATCH: 5}).keep(MONDAY)
    (tmp_path / f"day={MONDAY}" / "7-abc.json").write_text('[["/v1/match", "200", 3')
    assert read(tmp_path, MONDAY) == {MATCH: 5}
    assert "7-abc.json holds no counts of answers" in caplog.text
