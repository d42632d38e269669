"""The real process on the loopback address: it survives a kill, follows the journal, and stops when told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from features import open_online
from features.online import key_text, micros, pack
from registry.journal import Journal
from serving import decision_log
from serving.tokens import own_token
from tests.builders import some_settings
from tests.serving.tiny import a_bundle
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import HOME_VARIABLE, Ports, Settings

pytestmark = pytest.mark.service

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
SIGNAL = {"event_id": "e1", "ip_key": "home", "seen_at": NOON.isoformat()}
PATIENCE = 60.0


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def a_platform(folder: Path, more: str = "") -> Settings:
    """Settings with free ports in a file, a champion, and a home with Ann in it."""
    serving, admin = free_ports()
    settings = replace(some_settings(folder), ports=Ports(serving=serving, serving_admin=admin))
    settings.home.mkdir(parents=True)
    (folder / "whence.toml").write_text(f"[ports]\nserving = {serving}\nserving_admin = {admin}\n{more}")
    at = micros(datetime(2026, 5, 2, tzinfo=UTC))
    with open_online(settings) as store:
        store.shelf.put("network_features", [("home", pack("network_features", {"people": '["ann"]'}, at))])
        store.shelf.put("pair_features", [(key_text(["home", "ann"]), pack("pair_features", {"days_together_14d": 5}, at))])
    promote(settings, seed=1)
    return settings


def promote(settings: Settings, seed: int) -> str:
    journal, digest = Journal.of(settings), a_bundle(settings.bundles, IDENTITY_RANKER, seed)
    current = journal.champion(IDENTITY_RANKER)
    journal.promote(IDENTITY_RANKER, digest, "", ("for tests",), "tests", current.epoch if current else 0, NOON)
    return digest


@contextmanager
def running(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    file = settings.home.parent / "whence.toml"
    environment = {**os.environ, "WHENCE_SETTINGS": str(file), HOME_VARIABLE: str(settings.home)}
    with (settings.home / "serving.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "serving"], env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def client(settings: Settings) -> httpx.Client:
    headers = {"Authorization": f"Bearer {own_token(settings)}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{settings.ports.serving}", headers=headers, timeout=10)


def wait_for_bundle(settings: Settings, digest: str) -> None:
    deadline = time.monotonic() + PATIENCE
    with client(settings) as asked:
        while time.monotonic() < deadline:
            try:
                if asked.get("/readyz").json()["models"][IDENTITY_RANKER]["bundle"] == digest:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError((settings.home / "serving.log").read_text())


def match(settings: Settings) -> dict[str, object]:
    with client(settings) as asked:
        answer = asked.post("/v1/match", json={"signal": SIGNAL, "durable": True})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_killed_service_comes_back_with_its_champion_and_no_answered_decision_is_lost(tmp_path: Path) -> None:
    settings = a_platform(tmp_path)
    first = Journal.of(settings).champion(IDENTITY_RANKER)
    assert first is not None
    with running(settings) as process:
        wait_for_bundle(settings, first.bundle)
        before = [match(settings) for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running(settings) as process:
        wait_for_bundle(settings, first.bundle)
        second = promote(settings, seed=2)
        wait_for_bundle(settings, second)
        after = match(settings)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) in (0, -signal.SIGTERM)
    assert {(each["person_id"], each["bundle"]) for each in before} == {("ann", first.bundle)}
    assert (after["person_id"], after["bundle"]) == ("ann", second)
    logged = decision_log.read(settings.decision_log, "2026-05-02")
    assert {row["decision_id"] for row in logged.rows} == {f"{each['decision_id']}-0" for each in (*before, after)}
    assert logged.unreadable == 0
