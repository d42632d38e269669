"""The real process on the loopback address: it survives kills and outages, follows the journal, and stops when told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from registry.journal import Journal
from serving import decision_log
from serving.web import processes
from serving.web.lastgood import record
from serving.web.tokens import tokens_file
from tests.serving.live import PATIENCE, a_platform, client, match, promote, running, wait_for_bundle
from whence import answer_counts
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import HOME_VARIABLE, Settings

pytestmark = pytest.mark.service


def champion(settings: Settings) -> str:
    found = Journal.of(settings).champion(IDENTITY_RANKER)
    assert found is not None
    return found.bundle


def test_a_killed_service_comes_back_with_its_champion_though_the_journal_is_gone_and_loses_no_decision(tmp_path: Path) -> None:
    settings = a_platform(tmp_path)
    first, journal = champion(settings), settings.home / "journal.db"
    with running(settings) as process:
        wait_for_bundle(settings, first)
        before = [match(settings) for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = journal.read_bytes()
    journal.write_bytes(b"no database")
    assert record(settings).exists()
    with running(settings) as process:
        wait_for_bundle(settings, first)
        during = [match(settings) for _ in range(5)]
        journal.write_bytes(kept)
        second = promote(settings, seed=2)
        wait_for_bundle(settings, second)
        after = match(settings)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) in (0, -signal.SIGTERM)
    assert {(each["person_id"], each["bundle"], each["logged"]) for each in (*before, *during)} == {("ann", first, True)}
    assert (after["person_id"], after["bundle"]) == ("ann", second)
    logged = decision_log.read(settings.decision_log, "2026-05-02")
    assert {row["decision_id"] for row in logged.rows} == {f"{each['decision_id']}-0" for each in (*before, *during, after)}
    assert logged.unreadable == 0
    today = datetime.now(UTC).date()
    counted = sum(
        (Counter(answer_counts.read(settings.answer_counts, day)) for day in (today - timedelta(days=1), today)), Counter()
    )
    assert counted["/v1/match", "200"] in (6, 11), "what was killed may have lost what it counted last"


def answered(settings: Settings) -> float:
    """How many matches the metrics count, over all workers."""
    with client(settings, settings.ports.serving_admin) as asked:
        text = asked.get("/metrics").text
    return float(re.search(r'whence_answers_total\{route="/v1/match",status="200"\} (\S+)', text).group(1))  # type: ignore[union-attr]


def workers(settings: Settings) -> set[int]:
    """The processes that wrote decisions."""
    return {int(path.name.split("-")[1]) for path in settings.decision_log.glob("*/*.frames")}


def match_until(settings: Settings, seen: int) -> int:
    """Match, on a new connection each time, until so many workers have answered; how many matches it took."""
    deadline, asked = time.monotonic() + PATIENCE, 0
    while len(workers(settings)) < seen and time.monotonic() < deadline:
        try:
            match(settings)
        except httpx.TransportError:  # of the worker that was killed
            continue
        asked += 1
    assert len(workers(settings)) >= seen, (settings.home / "serving.log").read_text()
    return asked


def test_workers_share_a_port_add_up_their_counts_are_restarted_when_they_die_and_end_with_their_parent(tmp_path: Path) -> None:
    settings = a_platform(tmp_path, "[serving]\nworkers = 2")
    with running(settings) as process:
        wait_for_bundle(settings, champion(settings))
        asked = match_until(settings, 2)
        assert answered(settings) == asked
        killed = workers(settings).pop()
        os.kill(killed, signal.SIGKILL)
        asked += match_until(settings, 3)
        assert answered(settings) == asked
        assert (settings.home / "serving.log").read_text().count(f"(process {killed}) ended with -9") == 1
        if os.access(processes.MEMORY, os.W_OK):  # in the home, a full disk would end a worker that counts
            assert not list((settings.home / "run").glob(f"{processes.COUNTS}*"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    with pytest.raises(httpx.ConnectError):
        match(settings)


@pytest.mark.parametrize("count", [1, 2])
def test_what_it_cannot_start_from_is_said_in_one_line_whatever_the_workers(tmp_path: Path, count: int) -> None:
    settings = a_platform(tmp_path, f"[serving]\nworkers = {count}")
    tokens_file(settings).write_text("no JSON")
    given = {**os.environ, "WHENCE_SETTINGS": str(tmp_path / "whence.toml"), HOME_VARIABLE: str(settings.home)}
    done = subprocess.run(
        [sys.executable, "-m", "serving"], capture_output=True, text=True, check=False, env=given, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"The scoring service cannot start: {tokens_file(settings)} is no file of tokens"
    )
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "whence.toml"
        file.write_text(f"[ports]\nserving = {port}\n")
        given = {**os.environ, "WHENCE_SETTINGS": str(file)}
        done = subprocess.run([sys.executable, "-m", "serving"], capture_output=True, text=True, check=False, env=given)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"The scoring service cannot listen on 127.0.0.1:{port} (")
    assert "Traceback" not in done.stderr
