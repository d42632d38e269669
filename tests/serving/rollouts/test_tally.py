"""Counts of many processes add up, looks come when they are planned, and what is broken is told at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.rollouts import Rollout, load_policy
from registry.succession import CANARY
from serving.rollouts import lines
from serving.rollouts.rollout import FAILURES, OF_ANSWERS
from serving.rollouts.tally import ASKED, BINS, Book, Seen, Tally, folder_of
from tests.serving.test_decision_log import a_disk_with_room_for
from whence.contracts.models import IDENTITY_RANKER
from whence.measures.arms import CHALLENGER, CHAMPION, GROUPS

POLICY = replace(load_policy(IDENTITY_RANKER), answers=100, looks=4, slow_ms=50.0)
CANARY_ROW = Rollout(IDENTITY_RANKER, 7, "a" * 64, "b" * 64, CANARY, 0.25, 8, datetime(2026, 5, 2, 12, tzinfo=UTC), POLICY)


def an_answer(number: int, arm: int = CHALLENGER, seconds: float = 0.001, **how: object) -> Seen:
    return replace(Seen(arm, number % GROUPS, seconds, probability=0.6), **how)


def a_book(home: Path) -> Book:
    return Book(folder_of(home, CANARY_ROW), CANARY_ROW.epoch, POLICY)


def noted(tally: Tally, *answers: Seen, at: float = 1000.0) -> None:
    for each in answers:
        tally.note(CANARY_ROW, each, at)
    tally.flush(at + 1)


def test_what_several_processes_counted_adds_up_and_a_reader_reads_on(tmp_path: Path) -> None:
    first, second, book = Tally(tmp_path), Tally(tmp_path), a_book(tmp_path)
    noted(first, *map(an_answer, range(10)))
    noted(second, *(an_answer(number, CHAMPION) for number in range(30)))
    book.read(1001)
    noted(Tally(tmp_path), *map(an_answer, range(5)), at=1002)
    book.read(1010)
    assert book.total[..., ASKED].sum(axis=1).tolist() == [30, 15]
    assert book.total[..., BINS:].sum() == 45
    again = a_book(tmp_path)
    again.read(1010)
    assert (again.total == book.total).all()
    assert Book(book.folder, 9, POLICY).total.sum() == 0


def test_an_open_second_is_not_written_and_a_torn_line_is_not_read(tmp_path: Path) -> None:
    tally, book = Tally(tmp_path), a_book(tmp_path)
    tally.note(CANARY_ROW, an_answer(1), 1000.2)
    tally.flush(1000.9)
    assert not book.folder.exists()
    tally.flush(1001.0)
    path = next(book.folder.iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    book.read(1001)
    path.write_bytes(whole + whole)
    book.read(1001)
    assert book.total[..., ASKED].sum() == 2


def test_looks_come_when_they_are_planned_however_often_one_reads(tmp_path: Path) -> None:
    tally, often = Tally(tmp_path), a_book(tmp_path)
    for second in range(60):
        noted(tally, *(an_answer(2 * second + each) for each in range(2)), an_answer(second, CHAMPION), at=1000 + second)
        often.read(1001 + second)
    once = a_book(tmp_path)
    for book in (often, once):
        book.read(1100)
    assert [look.share for look in once.looks[FAILURES]] == [0.26, 0.5, 0.76, 1.0]
    assert often.looks == once.looks
    assert set(once.looks) == set(OF_ANSWERS)


def test_a_score_that_is_no_number_is_broken_at_once(tmp_path: Path) -> None:
    tally, book = Tally(tmp_path), a_book(tmp_path)
    noted(tally, an_answer(1), replace(an_answer(2), is_wild=True, probability=None))
    book.read(1001)
    assert book.broken() == ("1 of its 2 answers hold a score that is no number from 0 to 1",)


@pytest.mark.parametrize(
    ("how", "words"), [({"has_failed": True}, "failed"), ({"seconds": 0.2}, "were slow")], ids=["failed", "slow"]
)
def test_many_failures_at_once_do_not_wait_for_a_look(tmp_path: Path, how: dict[str, object], words: str) -> None:
    tally, book = Tally(tmp_path), a_book(tmp_path)
    noted(tally, *(an_answer(number, CHAMPION) for number in range(40)))
    noted(tally, *(an_answer(number, **how) for number in range(20)))
    book.read(1001)
    assert book.broken() == (f"20 of its 20 answers {words}, and 0 of the champion's 40",)
    assert book.looks[FAILURES] == []


def test_failures_of_both_arms_are_the_platforms_and_break_nothing(tmp_path: Path) -> None:
    tally, book = Tally(tmp_path), a_book(tmp_path)
    for arm in (CHAMPION, CHALLENGER):
        noted(tally, *(an_answer(number, arm, has_failed=True) for number in range(40)))
    book.read(1001)
    assert book.broken() == ()


def test_what_a_full_disk_kept_from_being_written_is_written_later(tmp_path: Path) -> None:
    tally, book = Tally(tmp_path), a_book(tmp_path)
    book.folder.parent.mkdir()
    book.folder.write_text("a file where the folder should be")
    tally.note(CANARY_ROW, an_answer(1), 1000)
    with pytest.raises(OSError, match="exists"):
        tally.flush(1001)
    book.folder.unlink()
    tally.flush(1002)
    book.read(1002)
    assert book.total[..., ASKED].sum() == 1


def test_counts_that_another_thread_writes_meanwhile_are_written_once(tmp_path: Path) -> None:
    """As at the end, when the last look may still be under way."""

    class Interrupted(Tally):
        def _append(self, *what: Any) -> None:
            self.flush(1100)
            super()._append(*what)

    tally, book = Interrupted(tmp_path), a_book(tmp_path)
    for second in range(5):
        tally.note(CANARY_ROW, an_answer(second), 1000 + second)
    tally.flush(1100)
    book.read(1100)
    assert book.total[..., ASKED].sum() == 5


def test_half_a_line_on_a_full_disk_is_taken_back_and_spoils_nothing_that_follows(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-05-02" / "mine.jsonl"
    lines.add(path, {"subject": "e1"})
    with a_disk_with_room_for(path.stat().st_size + 5), pytest.raises(OSError, match="too large"):
        lines.add(path, {"subject": "e2"})
    lines.add(path, {"subject": "e3"})
    with path.open("ab") as file:  # as another process left it that was killed
        file.write(b'{"subje\n{"subject":"e4"}\n{"sub')
    found, end = lines.read(path)
    assert found == [{"subject": "e1"}, {"subject": "e3"}, {"subject": "e4"}]
    assert lines.read(path, end) == ([], end)
    with a_disk_with_room_for(5), pytest.raises(OSError, match="too large"):
        lines.add(tmp_path / "new.jsonl", {"subject": "e5"})
    assert not (tmp_path / "new.jsonl").exists()
