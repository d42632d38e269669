"""Serves Evidently's pages over the workspace, with tabs: `python -m monitoring.evidently.page [HOST]`, for the process supervisor.

A dashboard has tabs, but the page of this version draws all panels one below the other: no line of it reads the tabs. It hands
the query of its own address on to the API, though. So a tab is an address (`?tab=Drift`), for which the API gives the panels of
that tab alone; and `tabs.js`, beside this file, draws the tabs themselves at the head of the page, and only then lets Evidently's
four megabytes of script begin.

Evidently's own command misses a project that is made while it runs: its watcher thread dies of the first report, and every page
of the project fails from then on. So the projects are there before the server starts, and a dead thread ends the process, which
the supervisor starts again. It also reads every report whole before it answers: `history.py` holds their values alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
import uvicorn
from evidently.legacy.utils import NumpyEncoder
from evidently.sdk.models import DashboardModel
from evidently.ui.service.api.static import BASE_PATH
from evidently.ui.service.app import create_app, get_config
from evidently.ui.storage.local.base import LocalState
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response

from monitoring.evidently.dashboards import PROJECTS, project_id
from monitoring.evidently.history import Stored
from monitoring.evidently.project import open_projects
from whence.contracts.settings import load

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

DASHBOARD = re.compile(r"/api/v2/dashboards/([0-9a-f-]{36})/?")
TITLE = re.compile("<title>.*?</title>")
APP = re.compile(r'<script type="module" crossorigin src="([^"]+)"></script>')
SHEET = re.compile(r'<link rel="stylesheet" crossorigin href="([^"]+)">')


def with_tabs(evidently: App, workspace: LocalState, front_port: int) -> App:
    """Evidently's app, whose dashboards can be asked for by the tab, and whose pages show the tabs."""
    inside = SHEET.sub(_inline, Path(BASE_PATH, "index.html").read_text())
    script = Path(__file__).with_name("tabs.js").read_text()

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        answer = _answer(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        await (cast(App, answer) if answer else evidently)(scope, receive, send)

    def _answer(scope: dict[str, Any]) -> Response | None:
        path, asked = scope["path"], parse_qs(scope["query_string"].decode())
        if path == "/" or path.startswith("/projects"):
            host = Headers(scope=scope).get("host", "").rpartition(":")[0]
            return HTMLResponse(html(inside, script, _tabs(Path(workspace.path)), f"//{host}:{front_port}/"))
        found = DASHBOARD.fullmatch(path)
        if found and "tab" in asked:
            model = of_tab(workspace.read_dashboard(found[1]), asked["tab"][0])
            return Response(json.dumps(model.dict(), cls=NumpyEncoder), media_type="application/json")
        return None

    return serve


def of_tab(model: DashboardModel, tab: str) -> DashboardModel:
    """The dashboard with the panels of one tab; no panels when there is no such tab."""
    chosen = {panel for each in model.tabs if each.title == tab for panel in each.panels}
    return DashboardModel(tabs=model.tabs, panels=[panel for panel in model.panels if panel.id in chosen])


def html(inside: str, script: str, tabs: dict[str, list[str]], front: str) -> str:
    """Evidently's page with the tabs of each project, and a way back to the front page."""
    told = json.dumps({"tabs": tabs, "front": front, "app": APP.findall(inside)}).replace("<", "\\u003c")
    head = f'<nav id="whence" aria-label="Tabs"></nav><script id="whence-told" type="application/json">{told}</script>'
    later = APP.sub(r'<link rel="modulepreload" crossorigin href="\1">', inside)
    return TITLE.sub("<title>whence · Evidently</title>", later).replace(
        '<div id="root">', f'{head}<script>{script}</script><div id="root">'
    )


def _inline(sheet: re.Match[str]) -> str:
    """The style itself, so that the first paint waits for no second answer."""
    return f"<style>{Path(BASE_PATH, sheet[1].lstrip('/')).read_text()}</style>"


def _tabs(workspace: Path) -> dict[str, list[str]]:
    files = {str(project_id(project.key)): workspace / str(project_id(project.key)) / "dashboard.json" for project in PROJECTS}
    read = {project: orjson.loads(file.read_bytes()) for project, file in files.items() if file.exists()}
    return {project: [tab["title"] for tab in read[project]["tabs"]] if project in read else [] for project in files}


def main() -> None:
    """Serve until stopped, on the loopback address unless another is given."""
    settings = load()
    threading.excepthook = _end
    workspace = open_projects(settings.evidently_workspace)
    host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    config = get_config(host=host, port=settings.ports.evidently)
    config.storage = Stored(path=str(settings.evidently_workspace))
    uvicorn.run(with_tabs(create_app(config), workspace, settings.ports.front), host=host, port=settings.ports.evidently)


def _end(told: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(told)
    os._exit(1)


if __name__ == "__main__":
    main()
