"""The journal: one winner a race, history that nobody changes, and champions as of any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.journal import ABORT, CANARY, FINISH, SHADOW, Conflict, Journal, JournalError, Promotion, Tampered
from whence.contracts.times import NaiveTimeError

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
MODEL = "identity-ranker"
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(f"sqlite:///{tmp_path / 'new' / 'journal.db'}")


def a_promotion(journal: Journal, bundle: str, at: datetime = NOON, model: str = MODEL) -> int:
    row = journal.champion(model)
    return journal.promote(model, bundle, "verdict", ("it is better",), "ana", row.epoch if row else 0, at).epoch


def a_step(journal: Journal, kind: str, bundle: str, expected: int | None = None, **details: Any) -> Promotion:
    based_on = journal.head(MODEL) if expected is None else expected
    return journal.step(kind, MODEL, bundle, details, (f"time to {kind}",), "the controller", based_on, NOON)


def test_there_is_no_champion_before_the_first(journal: Journal) -> None:
    assert journal.champion(MODEL) is None
    assert journal.rows() == []
    assert journal.verify() == 0


def test_each_model_has_its_own_champion_and_all_share_the_epochs(journal: Journal) -> None:
    assert [a_promotion(journal, "a"), a_promotion(journal, "x", model="other"), a_promotion(journal, "b")] == [1, 2, 3]
    assert journal.champion(MODEL).bundle == "b"  # type: ignore[union-attr]
    assert journal.champion(MODEL).previous == "a"  # type: ignore[union-attr]
    assert journal.champion("other").bundle == "x"  # type: ignore[union-attr]
    assert journal.epoch() == 3


def test_what_served_at_five_past_two_is_known_later(journal: Journal) -> None:
    a_promotion(journal, "a", NOON)
    a_promotion(journal, "b", NOON + timedelta(hours=2))

    assert journal.champion(MODEL, NOON - timedelta(seconds=1)) is None
    assert journal.champion(MODEL, NOON + timedelta(hours=1)).bundle == "a"  # type: ignore[union-attr]
    assert journal.champion(MODEL, NOON + timedelta(hours=2)).bundle == "b"  # type: ignore[union-attr]


def test_a_clock_that_runs_behind_does_not_rewrite_history(journal: Journal) -> None:
    a_promotion(journal, "a", NOON)
    a_promotion(journal, "b", NOON - timedelta(hours=1))

    assert journal.champion(MODEL, NOON - timedelta(minutes=30)) is None
    assert journal.champion(MODEL, NOON).bundle == "b"  # type: ignore[union-attr]


def test_a_time_without_a_zone_is_refused(journal: Journal) -> None:
    with pytest.raises(NaiveTimeError):
        a_promotion(journal, "a", datetime(2026, 5, 3))  # noqa: DTZ001
    assert journal.rows() == []


def test_promoting_the_champion_again_writes_no_row(journal: Journal) -> None:
    first = journal.promote(MODEL, "a", "v", ("better",), "ana", 0, NOON)
    assert journal.promote(MODEL, "a", "v", ("better",), "bo", 0, NOON + timedelta(days=1)) == first
    assert len(journal.rows()) == 1


def test_a_decision_based_on_an_old_champion_is_a_conflict(journal: Journal) -> None:
    a_promotion(journal, "a")
    a_promotion(journal, "b")
    with pytest.raises(Conflict, match=r"epoch 2, and this decision was based on epoch 1\. Judge again"):
        journal.promote(MODEL, "c", "v", ("better",), "ana", 1, NOON)


def test_rolling_back_twice_goes_back_two(journal: Journal) -> None:
    for bundle in "abc":
        a_promotion(journal, bundle)

    assert [journal.rollback(MODEL, "bo", "credit fell", NOON).bundle for _ in range(2)] == ["b", "a"]
    with pytest.raises(JournalError, match="none to go back to"):
        journal.rollback(MODEL, "bo", "credit fell", NOON)
    assert [row.kind for row in journal.rows()] == ["promote"] * 3 + ["rollback"] * 2


def test_a_rollback_asked_for_twice_is_done_once(journal: Journal) -> None:
    for bundle in "abc":
        a_promotion(journal, bundle)
    journal.rollback(MODEL, "bo", "credit fell", NOON, expected_epoch=3)
    with pytest.raises(Conflict, match="epoch 4 already"):
        journal.rollback(MODEL, "bo", "credit fell", NOON, expected_epoch=3)


def test_a_challenger_is_tried_beside_the_champion_and_then_takes_its_place(journal: Journal) -> None:
    a_promotion(journal, "a")
    assert journal.challenger(MODEL) is None

    a_step(journal, SHADOW, "b")
    canary = a_step(journal, CANARY, "b", stage=1, share=0.05, evidence={"ece": [0.01, 0.02]})

    assert journal.challenger(MODEL) == canary
    assert (canary.previous, canary.details["share"], canary.details["evidence"]) == ("a", 0.05, {"ece": [0.01, 0.02]})
    assert journal.champion(MODEL).bundle == "a"  # type: ignore[union-attr]
    assert journal.champion(MODEL, NOON + timedelta(days=1)).bundle == "a"  # type: ignore[union-attr]
    assert not journal.was_champion(MODEL, "b")
    assert journal.pin("resolve", "2026-05-02", MODEL, NOON) == "a"

    finish = a_step(journal, FINISH, "b")
    assert journal.challenger(MODEL) == finish, "its promotion is still to come"
    journal.promote(MODEL, "b", "v", ("it is better online",), "the controller", finish.epoch, NOON)
    assert journal.challenger(MODEL) is None
    assert journal.champion(MODEL).previous == "a"  # type: ignore[union-attr]
    assert journal.rollback(MODEL, "bo", "credit fell", NOON).bundle == "a"
    assert journal.verify() == 6


def test_an_aborted_challenger_had_its_turn_and_is_promoted_only_by_who_knows(journal: Journal) -> None:
    first = a_promotion(journal, "a")
    a_step(journal, CANARY, "b")
    abort = a_step(journal, ABORT, "b")

    assert journal.challenger(MODEL) is None
    assert journal.had_its_turn(MODEL, "b")
    with pytest.raises(Conflict, match="aborted at epoch 3"):
        journal.promote(MODEL, "b", "v", ("better",), "ana", first, NOON)
    assert journal.promote(MODEL, "b", "v", ("better",), "ana", abort.epoch, NOON).bundle == "b"


def test_another_champion_ends_a_rollout(journal: Journal) -> None:
    first = a_promotion(journal, "a")
    a_step(journal, SHADOW, "b")
    journal.promote(MODEL, "c", "v", ("better",), "ana", first, NOON)
    assert journal.challenger(MODEL) is None
    with pytest.raises(JournalError, match="none to finish"):
        a_step(journal, FINISH, "b")


def test_of_two_steps_based_on_the_same_row_one_is_a_conflict(journal: Journal) -> None:
    first = a_promotion(journal, "a")
    a_step(journal, SHADOW, "b", first)
    with pytest.raises(Conflict, match="epoch 2, and this step was based on epoch 1"):
        a_step(journal, CANARY, "b", first)


@pytest.mark.parametrize(
    ("kind", "bundle", "said"),
    [
        (SHADOW, "a", "cannot challenge itself"),
        (SHADOW, "c", "Abort that rollout first"),
        ("promote", "b", "has no step 'promote'"),
    ],
)
def test_a_step_that_cannot_follow_is_refused(journal: Journal, kind: str, bundle: str, said: str) -> None:
    a_promotion(journal, "a")
    a_step(journal, SHADOW, "b")
    with pytest.raises(JournalError, match=said):
        a_step(journal, kind, bundle)
    with pytest.raises(JournalError, match="plain JSON"):
        a_step(journal, CANARY, "b", evidence=float("nan"))
    assert len(journal.rows()) == 2


def test_a_challenger_wants_a_champion(journal: Journal) -> None:
    with pytest.raises(JournalError, match="no champion that b could challenge"):
        a_step(journal, SHADOW, "b")


def test_the_first_caller_fixes_a_days_champion_also_when_there_is_none(journal: Journal) -> None:
    assert journal.pin("resolve", "2026-05-01", MODEL, NOON) is None
    a_promotion(journal, "a")
    assert journal.pin("resolve", "2026-05-02", MODEL, NOON) == "a"
    a_promotion(journal, "b")

    assert journal.pin("resolve", "2026-05-01", MODEL, NOON) is None
    assert journal.pin("resolve", "2026-05-02", MODEL, NOON) == "a"
    assert journal.pin("attribute", "2026-05-02", MODEL, NOON) == "b"


def test_the_database_itself_refuses_to_change_a_row(journal: Journal) -> None:
    a_promotion(journal, "a")
    with sqlite3.connect(journal.url.removeprefix("sqlite:///")) as raw:
        for statement in ("UPDATE promotions SET bundle = 'b'", "DELETE FROM promotions"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                raw.execute(statement)
    raw.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE promotions SET bundle = 'z' WHERE epoch = 2", "Row 2"),
        ("UPDATE promotions SET who = 'eve' WHERE epoch = 1", "Row 1"),
        ("UPDATE promotions SET reasons = 'not json' WHERE epoch = 3", "Row 3"),
        ("UPDATE promotions SET at = '2020' WHERE epoch = 2", "Row 2"),
        ("DELETE FROM promotions WHERE epoch = 2", "Row 2"),
        ("DELETE FROM promotions WHERE epoch = 1", "Row 1"),
    ],
)
def test_a_changed_row_is_named(journal: Journal, change: str, named: str) -> None:
    for bundle in "abc":
        a_promotion(journal, bundle)
    assert journal.verify() == 3
    with sqlite3.connect(journal.url.removeprefix("sqlite:///")) as raw:
        raw.execute("DROP TRIGGER promotions_no_UPDATE")
        raw.execute("DROP TRIGGER promotions_no_DELETE")
        raw.execute(change)
    raw.close()

    with pytest.raises(Tampered, match=named):
        journal.verify()


def _race(url: str, start: float, number: int, rounds: int, told: multiprocessing.Queue[list[str]]) -> None:
    """Promote in every round, based on the epoch that was seen; say which rounds were won."""
    time.sleep(max(0.0, start - time.time()))
    journal, won = Journal(url), []
    for round_ in range(rounds):
        seen = journal.champion(MODEL)
        journal.pin("resolve", f"2026-05-{round_ + 1:02}", MODEL, NOON)
        try:
            row = journal.promote(MODEL, f"{number}/{round_}", "v", ("better",), str(number), seen.epoch if seen else 0, NOON)
            won.append(f"{row.epoch}:{row.bundle}")
        except Conflict:
            pass
    told.put(won)


@pytest.mark.service
def test_promoters_in_four_processes_have_one_winner_an_epoch(journal: Journal) -> None:
    told: multiprocessing.Queue[list[str]] = SPAWN.Queue()
    start = time.time() + 1.5
    racers = [SPAWN.Process(target=_race, args=(journal.url, start, number, 12, told)) for number in range(4)]
    for racer in racers:
        racer.start()
    won = sorted(each for _ in racers for each in told.get(timeout=60))
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0

    rows = journal.rows()
    assert journal.verify() == len(rows)
    assert sorted(f"{row.epoch}:{row.bundle}" for row in rows) == won, "whoever was told that it won, did, and nobody else"
    assert len({row.who for row in rows}) > 1, "they did race"
    assert all(row.previous == (rows[place - 1].bundle if place else "") for place, row in enumerate(rows))


def _promote_for_ever(url: str, path: str) -> None:
    journal = Journal(url)
    with Path(path).open("a") as told:
        for number in range(10**6):
            row = journal.champion(MODEL)
            journal.promote(MODEL, f"{os.getpid()}/{number}", "v", ("better",), "x", row.epoch if row else 0, NOON)
            told.write(f"{os.getpid()}/{number}\n")
            told.flush()


def test_a_promoter_that_is_killed_loses_nothing_that_was_acknowledged(journal: Journal, tmp_path: Path) -> None:
    told = tmp_path / "told"
    journal.rows()
    for _ in range(3):
        process = SPAWN.Process(target=_promote_for_ever, args=(journal.url, str(told)))
        process.start()
        before = told.stat().st_size if told.exists() else 0
        while not told.exists() or told.stat().st_size == before:
            time.sleep(0.02)
        time.sleep(0.05)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()

    stored = [row.bundle for row in journal.rows()]
    acknowledged = told.read_text().splitlines()
    assert acknowledged
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 3, "at most the one in flight at each kill"
    assert journal.verify() == len(stored)


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "back"]), max_size=8))
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_is_a_stack_that_verifies(tmp_path_factory: pytest.TempPathFactory, moves: list[str]) -> None:
    journal, stack = Journal(f"sqlite:///{tmp_path_factory.mktemp('j')}/journal.db"), list[str]()
    for move in moves:
        if move == "back":
            if len(stack) < 2:
                with pytest.raises(JournalError):
                    journal.rollback(MODEL, "bo", "why", NOON)
                continue
            stack.pop()
            journal.rollback(MODEL, "bo", "why", NOON)
        else:
            if not stack or stack[-1] != move:
                stack.append(move)
            a_promotion(journal, move)
        assert journal.champion(MODEL).bundle == stack[-1]  # type: ignore[union-attr]
    assert journal.verify() == len(journal.rows())
