"""The journal: one winner a race, history that nobody changes, and champions as of any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from registry.anchor import NAME
from registry.journal import ABORT, CANARY, FINISH, SHADOW, Conflict, Journal, JournalError, Promotion, Tampered
from registry.signing import Keys, SigningError
from whence.contracts.times import NaiveTimeError

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
MODEL = "identity-ranker"
FORK, SPAWN = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.service)])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """A new journal in each database that we promise to work with."""
    if request.param == "sqlite":
        return Journal(f"sqlite:///{tmp_path / 'new' / 'journal.db'}")
    return Journal(request.getfixturevalue("postgres_url"), tmp_path)


@pytest.fixture
def on_disk(tmp_path: Path) -> Journal:
    return Journal(f"sqlite:///{tmp_path / 'journal.db'}")


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
    with pytest.raises(
        JournalError, match=r"has no champion before a, which was promoted as epoch 1, so there is none to go back to"
    ):
        journal.rollback(MODEL, "bo", "credit fell", NOON)
    assert [row.kind for row in journal.rows()] == ["promote"] * 3 + ["rollback"] * 2


def test_a_rollback_asked_for_twice_is_done_once(journal: Journal) -> None:
    for bundle in "abc":
        a_promotion(journal, bundle)
    journal.rollback(MODEL, "bo", "credit fell", NOON, expected_epoch=3)
    with pytest.raises(Conflict, match="epoch 4 already"):
        journal.rollback(MODEL, "bo", "credit fell", NOON, expected_epoch=3)


def test_a_rollback_whose_line_cannot_be_kept_is_told_as_done(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for bundle in "abc":
        a_promotion(journal, bundle)
    folder = journal._anchor.folder
    (folder / NAME).rename(folder / "kept")
    (folder / NAME).mkdir()
    row = journal.rollback(MODEL, "bo", "credit fell", NOON)
    assert (row.bundle, journal.champion(MODEL)) == ("b", row)
    assert "Row 4 of the journal is written, and its line in" in caplog.text
    (folder / NAME).rmdir()
    (folder / "kept").rename(folder / NAME)
    assert journal.verify() == 4


@pytest.mark.service
def test_a_postgres_that_says_nothing_is_given_up_soon(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        journal = Journal(f"postgresql+psycopg://ana@127.0.0.1:{silent.getsockname()[1]}/whence", tmp_path)
        started = time.monotonic()
        with pytest.raises(DBAPIError, match="timeout"):
            journal.epoch()
        assert time.monotonic() - started < 20


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
    for statement in ("UPDATE promotions SET bundle = 'b'", "DELETE FROM promotions"):
        with pytest.raises(DBAPIError, match="only ever added"):
            run(journal, statement)


def run(journal: Journal, *statements: str) -> None:
    """What somebody does who has the database's password."""
    with journal._engine.execution_options(writes=True).begin() as con:
        for statement in statements:
            con.exec_driver_sql(statement)


def forge(journal: Journal, *statements: str) -> None:
    """The same, by somebody who knows of the triggers."""
    if journal.url.startswith("sqlite"):
        run(journal, "DROP TRIGGER IF EXISTS promotions_no_UPDATE", "DROP TRIGGER IF EXISTS promotions_no_DELETE", *statements)
    else:
        run(journal, "ALTER TABLE promotions DISABLE TRIGGER ALL", *statements)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE promotions SET bundle = 'z' WHERE epoch = 2", "Row 2"),
        ("UPDATE promotions SET who = 'eve' WHERE epoch = 1", "Row 1"),
        ("UPDATE promotions SET reasons = 'not json' WHERE epoch = 3", "Row 3"),
        ("UPDATE promotions SET reasons = '[\"it is  better\"]' WHERE epoch = 3", "Row 3"),
        ("UPDATE promotions SET at = '2020' WHERE epoch = 2", "Row 2"),
        ("UPDATE promotions SET form = 1 WHERE epoch = 2", "Row 2"),
        ("UPDATE promotions SET details = '{\"share\": 1}' WHERE epoch = 2", "Row 2"),
        ("UPDATE promotions SET versions = '[]' WHERE epoch = 2", "Row 2"),
        ("UPDATE promotions SET signature = (SELECT signature FROM promotions WHERE epoch = 1) WHERE epoch = 2", "Row 2"),
        ("DELETE FROM promotions WHERE epoch = 2", "Row 2"),
        ("DELETE FROM promotions WHERE epoch = 1", "Row 1"),
        ("DELETE FROM promotions WHERE epoch = 3", "Row 3 of the journal was cut off"),
        ("DELETE FROM promotions", "Row 1 of the journal was cut off"),
    ],
)
def test_a_changed_row_is_named(journal: Journal, change: str, named: str) -> None:
    for bundle in "abc":
        a_promotion(journal, bundle)
    assert journal.verify() == 3
    forge(journal, change)
    with pytest.raises(Tampered, match=named):
        journal.verify()


def test_no_byte_of_any_column_can_change(on_disk: Journal) -> None:
    a_promotion(on_disk, "a")
    a_step(on_disk, CANARY, "b", share=0.05)
    with on_disk._engine.connect() as con:
        rows = [dict(row) for row in con.exec_driver_sql("SELECT * FROM promotions ORDER BY epoch").mappings()]
    on_disk._verify(rows)
    for number, row in enumerate(rows):
        for column, value in row.items():
            text = str(value)
            for place in range(len(text)):
                changed = f"{text[:place]}{chr(ord(text[place]) ^ 1)}{text[place + 1 :]}"
                forged = {**row, column: int(changed) if isinstance(value, int) and changed.isdigit() else changed}
                with pytest.raises(Tampered, match=f"Row {number + 1}"):
                    on_disk._verify([*rows[:number], forged, *rows[number + 1 :]])


def test_who_can_write_to_the_database_but_has_no_key_cannot_make_a_champion(journal: Journal) -> None:
    """The thief computes the right seals; servers have the public key, and the thief the database's password."""
    a_promotion(journal, "a")
    thief = Journal(journal.url, journal._folder / "thief")
    with pytest.raises(SigningError, match=r"promoter\.pub"):
        thief.champion(MODEL)
    thief.keys.sign("")  # a key of its own, which its own copy of the journal trusts
    with pytest.raises(Tampered, match="Row 1"):
        thief.promote(MODEL, "evil", "v", ("better",), "eve", 1, NOON)
    forge(journal, "DELETE FROM promotions")
    (thief._folder / "journal.anchor").unlink(missing_ok=True)
    thief.promote(MODEL, "evil", "v", ("better",), "eve", 0, NOON)

    with pytest.raises(Tampered, match="Row 1"):
        journal.champion(MODEL)
    with pytest.raises(Tampered, match="Row 1"):
        journal.pin("resolve", "2026-05-02", MODEL, NOON)
    with pytest.raises(Tampered):
        journal.promote(MODEL, "b", "v", ("better",), "ana", 1, NOON)


def test_a_server_verifies_with_the_public_key_and_cannot_write(journal: Journal, tmp_path: Path) -> None:
    a_promotion(journal, "a")
    server = tmp_path / "server"
    server.mkdir()
    shutil.copy(journal._folder / "promoter.pub", server)
    reader = Journal(journal.url, server)
    assert reader.champion(MODEL).bundle == "a"  # type: ignore[union-attr]
    with pytest.raises(SigningError, match="may verify promotions, and not make any"):
        a_promotion(reader, "b")
    assert [path.name for path in server.iterdir()] == ["promoter.pub"]
    assert journal.verify() == 1


def test_rows_of_an_older_key_hold_after_it_was_renewed(journal: Journal) -> None:
    a_promotion(journal, "a")
    journal.keys.renew()
    a_promotion(journal, "b")
    assert journal.verify() == 2
    assert len((journal._folder / "promoter.pub").read_text().split()) == 2


def test_a_promotion_finds_a_key_at_every_moment_of_a_renewal(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.sign("first")
    renewing = threading.Thread(target=lambda: [keys.renew() for _ in range(40)])
    renewing.start()
    while renewing.is_alive():
        assert keys.has_signed("seal", keys.sign("seal"))
    renewing.join()
    assert len((tmp_path / "promoter.pub").read_text().split()) >= 41


def test_a_key_that_others_can_read_signs_nothing(journal: Journal) -> None:
    a_promotion(journal, "a")
    (journal._folder / "promoter.key").chmod(0o644)
    with pytest.raises(SigningError, match="chmod 600"):
        a_promotion(journal, "b")
    assert len(journal.rows()) == 1


def a_journal_of_the_first_form(path: Path) -> Journal:
    """Three rows as the first version wrote them: without signatures, sealed over reasons as a list."""
    columns = ("epoch", "model", "bundle", "previous", "kind", "verdict", "reasons", "who", "at", "prior", "seal")
    with sqlite3.connect(path) as raw:
        raw.execute(
            "CREATE TABLE promotions (epoch INTEGER NOT NULL PRIMARY KEY, model VARCHAR(64) NOT NULL, bundle VARCHAR(64) NOT NULL, "
            "previous VARCHAR(64) NOT NULL, kind VARCHAR(16) NOT NULL, verdict VARCHAR(64) NOT NULL, reasons TEXT NOT NULL, "
            "who VARCHAR(128) NOT NULL, at VARCHAR(32) NOT NULL, prior VARCHAR(64) NOT NULL, seal VARCHAR(64) NOT NULL)"
        )
        prior, before = "0" * 64, ""
        for epoch, bundle in enumerate("abc", start=1):
            row = [epoch, MODEL, bundle, before, "promote", "v", ["it is better"], "ana", "2026-05-03T12:00:00.000000Z", prior]
            content = json.dumps(dict(zip(columns, row, strict=False)), sort_keys=True, ensure_ascii=False)
            prior, before, row[6] = hashlib.sha256(content.encode()).hexdigest(), bundle, json.dumps(row[6])
            raw.execute(f"INSERT INTO promotions VALUES ({','.join('?' * 11)})", [*row, prior])
        raw.executescript(
            "CREATE TRIGGER promotions_no_UPDATE BEFORE UPDATE ON promotions "
            "BEGIN SELECT RAISE(ABORT, 'promotions are only ever added'); END"
        )
    raw.close()
    return Journal(f"sqlite:///{path}")


def test_a_journal_without_signatures_stays_valid_behind_a_signed_row(tmp_path: Path) -> None:
    journal = a_journal_of_the_first_form(tmp_path / "journal.db")
    assert journal.champion(MODEL).bundle == "c"  # type: ignore[union-attr]
    assert journal.verify() == 4
    assert [row.kind for row in journal.rows()] == ["promote"] * 3 + ["sign"]
    assert a_promotion(Journal(journal.url), "d") == 5
    assert journal.rollback(MODEL, "bo", "credit fell", NOON).bundle == "c"
    assert Journal(journal.url).verify() == 6


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE promotions SET who = 'eve' WHERE epoch = 3",
        "UPDATE promotions SET signature = 'x' WHERE epoch = 3",
        "UPDATE promotions SET reasons = '[\"it is better\" ]' WHERE epoch = 3",
        "DELETE FROM promotions WHERE epoch = 4",
    ],
)
def test_an_unsigned_row_is_followed_only_behind_a_signed_one(tmp_path: Path, change: str) -> None:
    journal = a_journal_of_the_first_form(tmp_path / "journal.db")
    journal.rows()
    forge(journal, change)
    with pytest.raises(Tampered, match=r"Row 3|None of the 3 rows"):
        journal.champion(MODEL)


def _race(url: str, keys: Path, rounds: int, together: Any, told: Any, number: int) -> None:
    """In every round promote on the champion of the round before; tell which rounds were won."""
    journal, won = Journal(url, keys), []
    for epoch in range(rounds):
        together.wait(60)
        with contextlib.suppress(Conflict):
            won.append(journal.promote(MODEL, f"{number}/{epoch}", "v", ("better",), str(number), epoch, NOON).epoch)
    told.put((number, won))


def race(journal: Journal, rounds: int) -> None:
    """Four processes race; of each round exactly one must have won, and been told so."""
    journal.rows()
    together, told = FORK.Barrier(4), FORK.SimpleQueue()
    racers = [
        FORK.Process(target=_race, args=(journal.url, journal._folder, rounds, together, told, number)) for number in range(4)
    ]
    for racer in racers:
        racer.start()
    won = dict(told.get() for _ in racers)
    for racer in racers:
        racer.join()

    rows = journal.rows()
    assert [row.epoch for row in rows] == list(range(1, rounds + 1))
    assert {number: [row.epoch for row in rows if row.who == str(number)] for number in range(4)} == won
    assert len({row.who for row in rows}) > 1, "they did race"
    assert journal.verify() == rounds
    assert all(row.previous == (rows[place - 1].bundle if place else "") for place, row in enumerate(rows))


@pytest.mark.service
def test_a_thousand_races_of_four_promoters_have_one_winner_each(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory)) if memory.is_dir() else tmp_path  # they race each other, not the disk
    try:
        race(Journal(f"sqlite:///{folder / 'journal.db'}"), 1000)
    finally:
        shutil.rmtree(folder)


@pytest.mark.service
def test_races_in_postgres_have_one_winner_each(postgres_url: str, tmp_path: Path) -> None:
    race(Journal(postgres_url, tmp_path), 100)


def _promote_for_ever(url: str, path: str) -> None:
    journal = Journal(url)
    with Path(path).open("a") as told:
        for number in range(10**6):
            row = journal.champion(MODEL)
            journal.promote(MODEL, f"{os.getpid()}/{number}", "v", ("better",), "x", row.epoch if row else 0, NOON)
            told.write(f"{os.getpid()}/{number}\n")
            told.flush()


@pytest.mark.service
def test_a_promoter_that_is_killed_loses_nothing_that_was_acknowledged(on_disk: Journal, tmp_path: Path) -> None:
    journal, told = on_disk, tmp_path / "told"
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


@pytest.mark.service
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
