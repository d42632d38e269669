"""The dashboards' server shows what is published while it runs, also on its very first day, and gives a dashboard by the tab."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.checks import share
from monitoring.evidently.dashboards import DATA, IDENTITY, PLATFORM, project_id
from monitoring.evidently.project import draw, publish

pytestmark = [
    pytest.mark.service,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Evidently and what it imports, not ours
]

DAYS = ("2026-05-01", "2026-05-02")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server over a workspace that does not exist yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "whence.toml").write_text(f'home = "home"\n[ports]\nevidently = {port}\n')
    named = {**os.environ, "WHENCE_SETTINGS": str(tmp_path / "whence.toml"), "DO_NOT_TRACK": "1"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "monitoring.evidently.page"], env=named, stdout=log, stderr=log)
        try:
            found = f"http://127.0.0.1:{port}/api/projects"
            wait(lambda: httpx.get(found).status_code == 200)
            yield found
        finally:
            server.terminate()
            server.wait(20)


def wait(claim: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if claim():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail("it did not come true in time")


def test_reports_that_are_published_while_it_runs_are_shown(address: str, tmp_path: Path) -> None:
    project = project_id(PLATFORM)

    def shown() -> list[Any]:
        answer = httpx.get(f"{address}/{project}/snapshots")
        days = {each["timestamp"][:10] for each in answer.json()} if answer.status_code == 200 else {answer.status_code}
        return sorted(days)

    assert shown() == []
    measures = [share("touches", "null_share", "cookie_id", 2, 10), share("touches", "match_rate", "all", 5, 10)]
    for number, day in enumerate(DAYS, start=1):
        publish(tmp_path / "home" / "evidently", day, measures, [], {})
        wait(lambda number=number: shown() == list(DAYS[:number]))
    draw(tmp_path / "home" / "evidently", {check.key: 0.0 for check in measures})
    root = address.removesuffix("/api/projects")
    whole, asked = (httpx.get(f"{root}/api/v2/dashboards/{project}{query}").json() for query in ("", f"?tab={DATA}"))
    assert [panel["title"] for panel in asked["panels"]] == [DATA, "Missing identifiers of touches"]
    assert len(whole["panels"]) > len(asked["panels"])
    page = httpx.get(f"{root}/projects/{project}").text
    assert f'"{project}": ["Overview", "{DATA}", "{IDENTITY}"]' in page
    assert "<script type=" not in page.partition("<nav")[0]  # the tabs are painted before Evidently's script begins
    assert '"app": ["/static/js/' in page
