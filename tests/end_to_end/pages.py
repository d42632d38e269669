"""What a person sees: opens the platform's pages in headless Chromium, and keeps pictures of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from infra import platform
from infra.airflow import Airflow
from monitoring.evidently.dashboards import CALIBRATION, PLATFORM, path
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings, load
from whence.contracts.times import Window
from whence.lake import Lake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
OF_MODELS = "?workflowType=machine_learning"
"""MLflow's pages for models: it opens on those for prompts and agents."""
QUIET = ("favicon", "ResizeObserver")
"""Console errors that say nothing about a page."""


@dataclass
class Seen:
    """A page that was opened: its text, and what its console complained of."""

    text: str
    complaints: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium; the caller has checked that there is one."""
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def look(page: Page, address: str, picture: Path | None = None, *, wait_for: str = "", settle_ms: int = 1500) -> Seen:
    """Open an address, wait until a text is there and the page is still, and take its picture."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    if wait_for:
        page.get_by_text(wait_for).first.wait_for(timeout=20_000)
    page.wait_for_timeout(settle_ms)
    for close in reversed(page.get_by_label("Close", exact=True).all()):  # a first visitor's greetings, the topmost first
        close.click()
        page.wait_for_timeout(500)
    if picture:
        page.screenshot(path=picture)
    return Seen(page.inner_text("body"), [each for each in complaints if not any(word in each for word in QUIET)])


def sign_in(page: Page, settings: Settings) -> None:
    """Sign in to Airflow's pages as its admin."""
    page.goto(f"http://{platform.LOOPBACK}:{settings.ports.airflow}/")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(platform.airflow_password(settings))
    page.locator("button[type=submit]").click()
    page.get_by_role("link", name="Dags").first.wait_for()  # the network is never idle there: the page keeps asking


def addresses(settings: Settings) -> dict[str, tuple[str, str]]:
    """The pages that the demo leaves: name → (address, a text that must be there)."""
    airflow = f"http://{platform.LOOPBACK}:{settings.ports.airflow}"
    mlflow = f"http://{platform.LOOPBACK}:{settings.ports.mlflow}"
    evidently = f"http://{platform.LOOPBACK}:{settings.ports.evidently}"
    run = next(run for run in Airflow(settings).runs("retrain_rankers"))
    report = max((settings.home / "reports").glob("*/report.html"))
    front = f"http://{platform.LOOPBACK}:{settings.ports.front}"
    return {
        "front": (front, "Who serves"),
        "explained": (f"{front}/explain/{a_conversion(settings)}", "What the ranker saw"),
        "findings": (f"{front}/findings", "Findings"),
        "airflow-dags": (f"{airflow}/dags", "watch_models"),
        "airflow-run": (f"{airflow}/dags/{run.dag}/runs/{run.run_id}", "register"),
        "mlflow-models": (f"{mlflow}/#/models", "identity-ranker"),
        "mlflow-model": (f"{mlflow}/#/models/identity-ranker{OF_MODELS}", "champion"),
        "mlflow-version": (f"{mlflow}/#/models/identity-ranker/versions/1{OF_MODELS}", "Version 1"),
        "evidently": (f"{evidently}{path(PLATFORM)}", "Findings"),
        "evidently-model": (f"{evidently}{path(IDENTITY_RANKER, CALIBRATION)}", "Observed over expected"),
        "attribution-report": (report.as_uri(), "In short"),
    }


def a_conversion(settings: Settings) -> str:
    """The conversion with most touches on the newest day that has credit."""
    lake = Lake.of(settings)
    day = date.fromisoformat(lake.days("credits")[-1])
    query = "SELECT conversion_id FROM credits WHERE touch_id <> '' GROUP BY 1 ORDER BY count(DISTINCT touch_id) DESC, 1 LIMIT 1"
    with lake.connect(Window(day, day), "credits") as con:
        return str(con.execute(query).fetchall()[0][0])


def main() -> None:
    """Keep a picture of every page in the folder given: `python -m tests.end_to_end.pages docs/images`."""
    folder, settings = Path(sys.argv[1]), load()
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1440, "height": 1100})
        sign_in(page, settings)
        for name, (address, text) in addresses(settings).items():
            seen = look(page, address, folder / f"{name}.png", wait_for=text, settle_ms=4000)
            print(name, len(seen.text), seen.complaints)


if __name__ == "__main__":
    main()
