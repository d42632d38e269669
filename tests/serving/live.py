"""The service's own process, and its server in a thread, for tests that need a socket between."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from features import open_online
from features.online import key_text, micros, pack
from registry.journal import Journal
from serving.web import processes
from serving.web.doors import Doors
from serving.web.tokens import own_token
from serving.web.worker import server_of
from tests.builders import some_settings
from tests.serving.tiny import a_bundle
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import HOME_VARIABLE, Ports, Settings

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
SIGNAL = {"event_id": "e1", "ip_key": "home", "seen_at": NOON.isoformat()}
PATIENCE = 60.0


def free_ports() -> Ports:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return Ports(serving=one.getsockname()[1], serving_admin=other.getsockname()[1])


def a_platform(folder: Path, more: str = "") -> Settings:
    """Settings with free ports in a file, a champion, and a home with Ann in it."""
    settings = replace(some_settings(folder), ports=free_ports())
    settings.home.mkdir(parents=True)
    ports = f"[ports]\nserving = {settings.ports.serving}\nserving_admin = {settings.ports.serving_admin}\n"
    (folder / "whence.toml").write_text(f"{more}\n{ports}")
    with open_online(settings) as store:
        a_home(store)
    promote(settings, seed=1)
    return settings


def a_home(store: Any) -> None:
    """Ann is at home on this network every day."""
    at = micros(datetime(2026, 5, 2, tzinfo=UTC))
    store.shelf.put("network_features", [("home", pack("network_features", {"people": '["ann"]'}, at))])
    store.shelf.put("pair_features", [(key_text(["home", "ann"]), pack("pair_features", {"days_together_14d": 5}, at))])


def promote(settings: Settings, seed: int) -> str:
    journal, digest = Journal.of(settings), a_bundle(settings.bundles, IDENTITY_RANKER, seed)
    current = journal.champion(IDENTITY_RANKER)
    journal.promote(IDENTITY_RANKER, digest, "", ("for tests",), "tests", current.epoch if current else 0, NOON)
    return digest


@contextmanager
def running(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m serving` with these settings."""
    file = settings.home.parent / "whence.toml"
    environment = {**os.environ, "WHENCE_SETTINGS": str(file), HOME_VARIABLE: str(settings.home)}
    with (settings.home / "serving.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "serving"], env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def served(app: Doors, settings: Settings, patience: float = 10.0) -> Iterator[str]:
    """The application on real sockets, by the server of the service's process, in a thread; its address."""
    server = server_of(app, settings, patience=patience)
    sockets = processes.listen(settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=list(sockets))))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"{'https' if settings.serving.certificate else 'http'}://localhost:{settings.ports.serving}"
    finally:
        server.should_exit = True
        thread.join()


def client(settings: Settings, port: int | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {own_token(settings)}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port or settings.ports.serving}", headers=headers, timeout=10)


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


def match(settings: Settings) -> dict[str, Any]:
    """One durable match over a connection of its own."""
    with client(settings) as asked:
        answer = asked.post("/v1/match", json={"signal": SIGNAL, "durable": True})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
