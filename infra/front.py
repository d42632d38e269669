"""Serves the front page, the page of each conversion, and the reports: `python -m infra.front [HOST]`.

The state is looked at beside the requests, while somebody looks: a page comes at once, and is some seconds old. A bundle is proven
once, in a child process, and never changes after that: who asks why a second time does not wait for its proof.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from infra import platform
from infra.airflow import Airflow, RunFailed
from monitoring.evidently.dashboards import PLATFORM, path
from monitoring.front import page
from monitoring.front.state import Dag, State, gather, history
from monitoring.moved import kept
from whence.contracts.models import MODELS
from whence.contracts.settings import Settings, load

if TYPE_CHECKING:
    from whence.bundle import Scorer

FRESH_SECONDS = 5.0
"""A state older than this is looked at again when somebody asks."""
OLD_SECONDS = 60.0
"""A state older than this is not shown: nobody looked for a while, and who looks now waits for a new one."""
MOST_BUNDLES = 8
"""Bundles that are kept proven, to explain by."""
REFRESH_SECONDS = 30
"""How often an open page asks again."""
SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@dataclass
class Newest:
    """The newest state; of several who ask at once one looks, and the others take what was seen before."""

    look: Callable[[], State]
    clock: Callable[[], float] = time.monotonic
    _state: State | None = None
    _seen: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> State:
        """The state, at once where there is a young one; who finds it not fresh has it looked at again, aside."""
        age = self.clock() - self._seen
        if self._state is None or age > OLD_SECONDS:
            self._renew(wait=True)
        elif age > FRESH_SECONDS:
            threading.Thread(target=self._renew, args=(False,), daemon=True).start()
        assert self._state is not None
        return self._state

    def _renew(self, wait: bool) -> None:
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._state is None or self.clock() - self._seen > FRESH_SECONDS:
                self._state = self.look()
                self._seen = self.clock()
        finally:
            self._lock.release()


def app(settings: Settings, dags: Callable[[], tuple[Dag, ...] | None]) -> Starlette:
    """The pages of the settings' platform; `dags` asks Airflow how its DAGs are."""
    newest = Newest(lambda: gather(settings, datetime.now(UTC), dags))
    bundles = lru_cache(maxsize=MOST_BUNDLES)(partial(_bundle, settings))

    def warm() -> None:
        for conversion, *_ in newest.get().conversions[:1]:
            _explained(settings, conversion, bundles)

    @contextlib.asynccontextmanager
    async def warmed(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=warm, daemon=True).start()
        yield

    async def front(_: Request) -> Response:
        state = await asyncio.to_thread(newest.get)
        return _html(page.html(state, tools(settings), dashboards(settings)), {"refresh": str(REFRESH_SECONDS)})

    async def explain(request: Request) -> Response:
        if asked := request.query_params.get("conversion"):
            return RedirectResponse(f"/explain/{asked.strip()}")
        if "conversion" not in request.path_params:
            return _html(page.trouble("Which conversion?", "Name one: /explain/ and its id."), status=404)
        return await asyncio.to_thread(_explained, settings, request.path_params["conversion"], bundles)

    async def findings(_: Request) -> Response:
        return _html(page.findings_page(await asyncio.to_thread(history, settings)))

    async def runbooks(_: Request) -> Response:
        return await asyncio.to_thread(_runbooks)

    async def model(request: Request) -> Response:
        """Where Evidently shows a model, or the platform: one address that others can keep."""
        if to := dashboards(settings).get(request.path_params["model"]):
            return RedirectResponse(to)
        return _html(page.trouble("Which model?", f"One of {', '.join(dashboards(settings))}."), status=404)

    async def live(_: Request) -> Response:
        return PlainTextResponse("live")

    reports = settings.home / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    routes = [
        Route("/", front),
        Route("/explain", explain),
        Route("/explain/{conversion}", explain),
        Route("/findings", findings),
        Route("/runbooks", runbooks),
        Route("/models/{model}", model),
        Route("/livez", live),
        Mount("/reports", StaticFiles(directory=reports)),
        Mount("/moved", StaticFiles(directory=kept.shelf(settings), html=True)),
    ]
    return Starlette(routes=routes, lifespan=warmed)


def tools(settings: Settings) -> dict[str, str]:
    """Where the other pages of the platform are."""
    ports, host = settings.ports, platform.LOOPBACK
    return {
        "Airflow": f"http://{host}:{ports.airflow}",
        "MLflow": f"http://{host}:{ports.mlflow}/#/experiments?workflowType=machine_learning",  # its other half is for prompts and agents
        "Evidently": dashboards(settings)[PLATFORM],
        "Scoring API": f"http://{host}:{ports.serving}/openapi.json",
        "Findings": "/findings",
        "Why it moved": "/moved/",
        "Runbooks": "/runbooks",
    }


def dashboards(settings: Settings) -> dict[str, str]:
    """Where Evidently shows the platform and each model."""
    return {name: f"http://{platform.LOOPBACK}:{settings.ports.evidently}{path(name)}" for name in (PLATFORM, *MODELS)}


def airflow_dags(settings: Settings) -> tuple[Dag, ...] | None:
    """Each DAG with its newest run; None while Airflow does not answer, for which the page waits no longer than for the rest."""
    airflow = Airflow(settings, attempts=1, timeout=5.0)
    try:
        return tuple(_dag(airflow, name) for name in airflow.dags())
    except RunFailed:
        return None


def _dag(airflow: Airflow, name: str) -> Dag:
    newest = next(iter(airflow.runs(name)), None)
    address = f"{airflow.address}/dags/{name}"
    return Dag(name, newest.state, newest.key, address) if newest else Dag(name, "none", "", address)


def _bundle(settings: Settings, digest: str) -> Scorer:
    from whence import bundle_store

    return bundle_store.load(settings, digest)


def _explained(settings: Settings, conversion: str, bundles: Callable[[str], Scorer]) -> Response:
    from monitoring.explained.page import html
    from monitoring.explained.story import StoryError, tell

    try:
        return _html(html(tell(settings, conversion, bundles), back="/"))
    except StoryError as nothing:
        return _html(page.trouble("Nothing to explain", str(nothing)), status=404)


def _runbooks() -> Response:
    from monitoring.front.runbooks import FILE, html

    if not FILE.exists():
        return _html(page.trouble("Runbooks", f"{FILE} is not on this machine; it is in the repository."), status=404)
    return _html(html(FILE.read_text()))


def _html(text: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return HTMLResponse(text, status_code=status, headers={**SAFE, **(headers or {})})


def main() -> None:
    """Serve until stopped, on the loopback address unless another is given."""
    settings = load()
    host = sys.argv[1] if len(sys.argv) > 1 else platform.LOOPBACK
    made = app(settings, lambda: airflow_dags(settings))
    uvicorn.run(made, host=host, port=settings.ports.front, log_level="warning", timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main()
