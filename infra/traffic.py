"""A day's signals and conversions, sent to the scoring service as its callers would, before the day's batch run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx

from infra import platform
from whence.contracts.events import CONVERSIONS, IDENTIFIERS
from whence.contracts.settings import Settings
from whence.contracts.times import Window

MOST_SIGNALS, MOST_CONVERSIONS = 200, 100
CALLERS = 4
TRIES = 60
BUSY = (429, 503)
SIGNAL_FIELDS = ("event_id", "happened_at", "seen_at", *(field.name for field in IDENTIFIERS))


def replay(settings: Settings, day: Window) -> str:
    """Send a spread of the day's events to /v1/match and /v1/attribute; what came of it, in words.

    A request that the service cannot take because it is restarting or busy is sent again. Each answer waits until its decision
    is on the disk, since the day's decisions are collected next.
    """
    requests = [*_matches(settings, day), *_attributions(settings, day)]
    with _client(settings) as client:
        _wait_until_ready(client)
        with ThreadPoolExecutor(CALLERS) as callers:
            seconds = sorted(callers.map(lambda each: _post(client, *each), requests))
    if not seconds:
        return "no events to send"
    return f"{len(seconds)} requests answered, median {1000 * seconds[len(seconds) // 2]:.0f} ms"


def wait_for_bundle(settings: Settings, model: str, bundle: str, seconds: float = 30) -> float:
    """Wait until the service answers with this bundle as the model's champion; the seconds that it took."""
    started = time.monotonic()
    with _client(settings) as client:
        while time.monotonic() - started < seconds:
            if served(client).get(model) == bundle:
                return time.monotonic() - started
            time.sleep(0.1)
    raise RuntimeError(
        f"The scoring service does not serve {bundle[:12]} for {model} after {seconds:.0f} s. Read {settings.home / 'logs'}."
    )


def served(client: httpx.Client) -> dict[str, str]:
    """The bundle that the service uses now, by model."""
    models = client.get("/readyz").json()["models"]
    return {name: str(each["bundle"]) for name, each in models.items() if each}


def _matches(settings: Settings, day: Window) -> list[tuple[str, dict[str, Any]]]:
    rows = _events(settings, day, "touches")
    return [
        ("/v1/match", {"signal": {name: row[name] for name in SIGNAL_FIELDS}, "durable": True})
        for row in _spread(rows, MOST_SIGNALS)
    ]


def _attributions(settings: Settings, day: Window) -> list[tuple[str, dict[str, Any]]]:
    rows = [row for row in _events(settings, day, "conversions") if row["value_micros"] > 0]
    return [
        ("/v1/attribute", {"conversion": {name: row[name] for name in CONVERSIONS.names}, "durable": True})
        for row in _spread(rows, MOST_CONVERSIONS)
    ]


def _events(settings: Settings, day: Window, table: str) -> list[dict[str, Any]]:
    """The day's accepted events as the source delivers them, before they are in the tables."""
    from whence.ingest import peek

    return [{name: _json(value) for name, value in row.items()} for row in peek(settings, day, table).to_pylist()]


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _spread(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many rows, evenly over the day."""
    return rows[:: max(1, -(-len(rows) // most))]


def _client(settings: Settings) -> httpx.Client:
    from serving.web.tokens import own_token

    address = f"http://{platform.LOOPBACK}:{settings.ports.serving}"
    return httpx.Client(base_url=address, timeout=10, headers={"Authorization": f"Bearer {own_token(settings)}"})


def _wait_until_ready(client: httpx.Client, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"The scoring service is not ready after {seconds:.0f} s. See `whence status`.")


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> float:
    for _ in range(TRIES):
        started = time.monotonic()
        try:
            answer = client.post(path, json=body)
        except httpx.TransportError:
            time.sleep(0.25)
            continue
        if answer.status_code in BUSY:
            time.sleep(0.25)
            continue
        if answer.status_code != 200:
            raise RuntimeError(f"The scoring service refused a request to {path}: {answer.text[:300]}")
        return time.monotonic() - started
    raise RuntimeError(f"The scoring service does not answer {path} after {TRIES} tries. See `whence status`.")
