"""The drill: a rollback while people ask, with MLflow and every object store out of reach."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import registry
from registry.journal import Journal
from tests.serving.test_service import SIGNAL, a_platform, client, promote, running, wait_for_bundle
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
