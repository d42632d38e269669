"""What a person should know about promotions: what happened lately, and what stands until it is put right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.alarms import BEHIND, LOST, MOVED, TAMPERED, Alarm, Alarms
from registry.aliases import Change
from registry.follow import Watch
from registry.rows import stamp
from whence.contracts.settings import Settings

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=9)
LOOKED_FOR = (LOST, BEHIND)


def of(kind: str, words: str, at: datetime = NOON) -> Alarm:
    return Alarm(stamp(at), "identity-ranker", kind, 2, words)


@pytest.fixture
def alarms(tmp_path: Path) -> Alarms:
    return Alarms(f"sqlite:///{tmp_path / 'journal.db'}")


def test_a_lost_champion_is_told_once_for_as_long_as_it_is_lost_and_no_longer(alarms: Alarms):
    for hour in range(3):
        alarms.settle([of(LOST, "a is lost", NOON + timedelta(hours=hour))], LOOKED_FOR, NOON + timedelta(hours=hour))
    assert alarms.since(LATER) == [of(LOST, "a is lost")], "nine days later it is lost still"

    alarms.settle([], LOOKED_FOR, LATER)
    assert alarms.since(NOON) == []

    alarms.settle([of(LOST, "a is lost", LATER)], LOOKED_FOR, LATER)
    assert alarms.since(LATER) == [of(LOST, "a is lost", LATER)], "lost once more, told once more"


def test_the_next_champion_ends_what_was_told_of_the_one_before(alarms: Alarms):
    alarms.settle([of(LOST, "a is lost")], LOOKED_FOR, NOON)
    alarms.settle([of(LOST, "b is lost", LATER)], LOOKED_FOR, LATER)
    assert [each.words for each in alarms.since(NOON)] == ["b is lost"]


def test_what_happened_is_told_each_time_and_for_a_while(alarms: Alarms):
    for _ in range(2):
        alarms.settle([of(MOVED, "moved by hand")], LOOKED_FOR, NOON)
    assert len(alarms.since(NOON)) == 2
    assert alarms.since(LATER) == []


def test_a_changed_journal_is_worth_knowing_for_a_while_though_it_was_put_right(alarms: Alarms):
    alarms.settle([of(TAMPERED, "row 2 was changed")], (TAMPERED,), NOON)
    alarms.settle([], LOOKED_FOR, NOON)
    assert len(alarms.since(LATER)) == 1, "who asks MLflow does not know whether the journal is whole"
    alarms.settle([], (TAMPERED,), NOON)
    assert len(alarms.since(NOON)) == 1
    assert alarms.since(LATER) == []


class Cut(Watch):
    """A watch whose journal is out of reach when a test says so."""

    is_cut = True

    def glance(self, now: datetime) -> list[Change]:
        if self.is_cut:
            raise OSError("the disk is gone")
        return []


def test_a_journal_that_cannot_be_followed_is_said_once_until_it_can_be_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Cut(Settings(home=tmp_path))
    for is_cut in (True, False, True):
        watch.is_cut = is_cut
        for _ in range(3):
            watch.look(NOON)
    assert [each.levelname for each in caplog.records] == ["ERROR", "ERROR"]
