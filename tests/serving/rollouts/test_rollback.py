"""The drills: a rollback while people ask, with MLflow and every object store out of reach; and promotions that must not serve."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import registry
from registry.journal import Journal
from tests.serving.live import SIGNAL, a_platform, client, promote, running, wait_for_bundle
from tests.serving.tiny import a_bundle
from tests.test_bundle_refusals import forge, text_cut_at
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings

pytestmark = pytest.mark.service


def asking(settings: Settings, stop: threading.Event, answers: list[tuple[float, int, str]]) -> None:
    """Ask one question after another; when each was answered, with which status, by which bundle."""
    with client(settings) as asked:
        while not stop.is_set():
            answer = asked.post("/v1/match", json={"signal": SIGNAL})
            answers.append((time.monotonic(), answer.status_code, answer.json().get("bundle", "")))
            time.sleep(0.01)


def wait_until_it_could_go_back(settings: Settings) -> None:
    end = time.monotonic() + 30
    while "could go back to" not in (settings.home / "serving.log").read_text():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("is_fresh", [False, True], ids=["it has served both", "it was restarted since"])
def test_the_last_answer_by_the_new_model_comes_within_two_seconds_of_a_rollback(tmp_path: Path, is_fresh: bool) -> None:
    settings = a_platform(tmp_path)
    settings = replace(settings, ports=replace(settings.ports, mlflow=1))  # nobody listens there
    first = registry.champion(settings, IDENTITY_RANKER)
    assert first is not None
    second = promote(settings, seed=2) if is_fresh else ""
    stop, answers = threading.Event(), list[tuple[float, int, str]]()
    with running(settings):
        wait_for_bundle(settings, second or first.bundle)
        second = second or promote(settings, seed=2)
        wait_for_bundle(settings, second)
        crowd = [threading.Thread(target=asking, args=(settings, stop, answers)) for _ in range(2)]
        for each in crowd:
            each.start()
        wait_until_it_could_go_back(settings)
        time.sleep(1)
        asked_at = time.monotonic()
        row = registry.rollback(settings, IDENTITY_RANKER, "bo", "credit fell", datetime.now(UTC))
        time.sleep(3)
        stop.set()
        for each in crowd:
            each.join()

    last = max(at for at, _, bundle in answers if bundle == second)
    print(f"the last answer by the new model came {last - asked_at:.2f} s after the command; {len(answers)} answers")
    assert row.bundle == first.bundle
    assert {status for _, status, _ in answers} == {200}
    assert answers[-1][2] == first.bundle
    assert last - asked_at < 2
    assert Journal.of(settings).verify() == 3


def bad_bundles(settings: Settings) -> list[str]:
    """Three that must not serve: cut short, one bit changed, and a forged one whose text kills whoever reads it."""
    root = settings.bundles
    cut, flipped, good = (a_bundle(root, IDENTITY_RANKER, seed) for seed in (11, 12, 13))
    os.truncate(root / cut / "model.txt", 500)
    data = (root / flipped / "model.txt").read_bytes()
    (root / flipped / "model.txt").write_bytes(data[:900] + bytes([data[900] ^ 1]) + data[901:])
    return [cut, flipped, forge(root, good, text_cut_at(0.4))]


def test_bad_bundles_that_were_promoted_leave_the_process_and_the_last_good_one(tmp_path: Path) -> None:
    settings = a_platform(tmp_path)
    first = registry.champion(settings, IDENTITY_RANKER)
    assert first is not None
    with running(settings) as process:
        wait_for_bundle(settings, first.bundle)
        for number, bad in enumerate(bad_bundles(settings), start=1):
            journal = Journal.of(settings)
            journal.promote(IDENTITY_RANKER, bad, "", ("for tests",), "tests", journal.head(IDENTITY_RANKER), datetime.now(UTC))
            end = time.monotonic() + 60
            while f"Champion {bad[:12]} of {IDENTITY_RANKER} cannot serve" not in (settings.home / "serving.log").read_text():
                assert time.monotonic() < end, f"bad bundle {number} was not tried"
                time.sleep(0.1)
            with client(settings) as asked:
                answer = asked.post("/v1/match", json={"signal": SIGNAL}).json()
            assert answer["bundle"] == first.bundle
        assert process.poll() is None
        assert "killed the process that tried it" in (settings.home / "serving.log").read_text()
    with running(settings):  # the champion is a bad one still
        wait_for_bundle(settings, first.bundle)
