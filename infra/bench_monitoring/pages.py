"""Every page and tab of a platform on the day that loses its signals, in headless Chromium: pictures to look at, errors, first paint.

The pictures lie in FOLDER/pictures. A platform of one's own is looked at with `$WHENCE_SETTINGS` and `$WHENCE_LOOK=1`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.bench_monitoring import worlds
from infra.benching import REPOSITORY, Row, median_range, verdict
from monitoring.evidently.dashboards import PLATFORM, PROJECTS, path
from whence.contracts.settings import FILE_VARIABLE, HOME_VARIABLE, Ports, Settings, load
from whence.lake import Lake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PEOPLE, HISTORY, CALM_DAYS = 2_000, 13, 2
SCENARIO = "signal_loss"
WIDTHS = {"desktop": (1440, 900), "phone": (390, 844)}
PAINT_MS = 1000
ANSWER_MS = 1000
LONG_DAYS = 120
"""Months of history: the newest days that were watched, again and again."""
REPEATED = 3
OURS = ("/", "/findings", "/runbooks", "/moved/")
READY_SECONDS = 120


@dataclass
class Looked:
    """What was seen while looking at one page at one width."""

    name: str
    paint_ms: float
    whole_ms: float
    """Until nothing was asked for any more: all plots are drawn."""
    too_wide: bool
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def measure(_: int) -> list[Row]:
    """Live a world up to the day that loses its signals, serve its pages, and look at each; then at months of history."""
    settings = load() if os.environ.get("WHENCE_LOOK") else _lived()
    with _served(settings) as served:
        seen = look(served, worlds.FOLDER / "pictures")
    return [*_rows(settings, seen), *_long_rows(_months(settings))]


def look(settings: Settings, pictures: Path) -> list[Looked]:
    """Take a picture of every page and tab, in both widths; the front page in the dark, too."""
    from playwright.sync_api import sync_playwright

    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        seen = [
            _look(browser, name, to, pictures, width, scheme)
            for name, to, schemes in _pages(settings)
            for width in WIDTHS
            for scheme in schemes
        ]
        browser.close()
    return seen


def _pages(settings: Settings) -> list[tuple[str, str, tuple[str, ...]]]:
    front, evidently = settings.front_url, f"http://127.0.0.1:{settings.ports.evidently}"
    both, ours = ("light", "dark"), [(f"front{each.replace('/', '-').rstrip('-')}", f"{front}{each}") for each in OURS]
    conversion = httpx.get(front, timeout=READY_SECONDS).text.partition("/explain/")[2].partition("'")[0]
    ours += [("front-explain", f"{front}/explain/{conversion}")] if conversion else []
    tabs = [
        (f"evidently-{project.key}-{tab.replace(' ', '-').lower()}", f"{evidently}{path(project.key, tab)}")
        for project in PROJECTS
        for tab in _tabs(evidently, project.key)
    ]
    rest = [("evidently-projects", evidently), ("evidently-reports", f"{evidently}{path(PLATFORM).partition('?')[0]}/reports")]
    return [*((name, to, both) for name, to in ours), *((name, to, ("light",)) for name, to in [*rest, *tabs])]


def _tabs(evidently: str, project: str) -> list[str]:
    told = httpx.get(
        f"{evidently}/api/v2/dashboards/{path(project).split('/')[2].partition('?')[0]}", timeout=READY_SECONDS
    ).json()
    return [str(tab["title"]) for tab in told["tabs"]]


def _look(browser: Browser, name: str, to: str, pictures: Path, width: str, scheme: str) -> Looked:
    across, down = WIDTHS[width]
    page = browser.new_page(viewport={"width": across, "height": down}, color_scheme="dark" if scheme == "dark" else "light")
    page.set_default_timeout(READY_SECONDS * 1000)
    errors: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda wrong: errors.append(str(wrong)))
    page.on("request", lambda asked: elsewhere.append(asked.url) if not asked.url.startswith(_HERE) else None)
    begun = time.monotonic()
    page.goto(to)
    page.wait_for_load_state("networkidle")
    whole = (time.monotonic() - begun) * 1000
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity")
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth + 1")
    page.wait_for_timeout(400)  # plots fade in
    page.screenshot(path=pictures / f"{name}-{width}{'-dark' if scheme == 'dark' else ''}.png", full_page=True)
    page.close()
    return Looked(f"{name}, {width}", float(paint), whole, bool(wide), errors, elsewhere)


_HERE = ("http://127.0.0.1", "data:", "blob:")


def _rows(settings: Settings, seen: Sequence[Looked]) -> list[Row]:
    watched = len(Lake.of(settings).days("checks"))
    paints = median_range([each.paint_ms for each in seen])
    slowest = max(seen, key=lambda each: each.paint_ms)
    errors = [f"{each.name}: {error}" for each in seen for error in each.errors]
    elsewhere = sorted({url for each in seen for url in each.elsewhere})
    wide = [each.name for each in seen if each.too_wide and each.name.startswith("front")]
    return [
        Row("pages and tabs, each at desktop and phone width", f"{len(seen)} pictures", note=f"a simulated world of {settings.world.people:,} people and {watched} watched days"),
        Row("console errors", str(len(errors)), target="0", verdict=verdict(met=not errors), note="; ".join(errors[:3])),
        Row("requests to elsewhere", str(len(elsewhere)), target="0", verdict=verdict(met=not elsewhere), note="; ".join(elsewhere[:3])),
        Row("first paint of the slowest page", f"{slowest.paint_ms:,.0f} ms", f"median {paints.value:,.0f} ms", f"< {PAINT_MS} ms",
            verdict(met=slowest.paint_ms < PAINT_MS), slowest.name),
        Row("pages of ours that are wider than a phone", str(len(wide)), target="0", verdict=verdict(met=not wide), note="; ".join(wide)),
    ]  # fmt: skip


@dataclass
class Long:
    """What months of reports cost."""

    published: list[float]
    """CPU seconds to publish one more day, of each day that was tried."""
    reports: int
    size_mb: float
    up_s: float
    """From the start of Evidently's server to its first answer, its imports included."""
    values_ms: list[float]
    """Until a project's overview has every value that its plots show, of each project, asked one after the other."""
    tabs: list[Looked]


def _months(settings: Settings) -> Long:
    """The newest days again and again: the cost to publish one, and every tab over months of them."""
    from playwright.sync_api import sync_playwright

    home = worlds.FOLDER / "months"
    shutil.rmtree(home, ignore_errors=True)
    days = list(Lake.of(settings).days("checks"))[-REPEATED:]
    published = _published(settings, home / "once", days)
    reports = _repeat(settings.evidently_workspace, home / "evidently", days)
    begun = time.monotonic()
    with (
        _served(replace(settings, home=home, ports=_free_ports()), ("monitoring.evidently.page",)) as served,
        sync_playwright() as play,
    ):
        up, root = time.monotonic() - begun, f"http://127.0.0.1:{served.ports.evidently}"
        values = [_values(root, project.key) for project in PROJECTS]
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tabs = [
            _look(browser, f"months-{project.key}-{tab}", f"{root}{path(project.key, tab)}", home, "desktop", "light")
            for project in PROJECTS
            for tab in _tabs(root, project.key)
        ]
        browser.close()
    return Long(published, len(reports), sum(each.stat().st_size for each in reports) / 1e6, up, values, tabs)


def _published(settings: Settings, workspace: Path, days: Sequence[str]) -> list[float]:
    """CPU seconds to publish each of the days, without Evidently's own drift reports."""
    from monitoring import checks, findings
    from monitoring.evidently.project import publish

    lake = Lake.of(settings)
    measured, told = checks.by_day(lake.read("checks")), findings.by_day(lake.read("findings"))
    took = []
    for day in days:
        begun = time.process_time()
        publish(workspace, day, measured[day], told.get(day, []), {})
        took.append(time.process_time() - begun)
    return took


def _repeat(workspace: Path, to: Path, days: Sequence[str]) -> list[Path]:
    """Write the days' reports again under earlier days, until there are LONG_DAYS of them; returns the files."""
    for project in workspace.glob("*/metadata.json"):
        shutil.copytree(project.parent, to / project.parent.name, ignore=shutil.ignore_patterns("snapshots"))
        (to / project.parent.name / "snapshots").mkdir()
    written = []
    for report in sorted(workspace.glob("*/snapshots/*.json")):
        text, where = report.read_text(), to / report.parent.parent.name / "snapshots"
        for day in [each for each in days if f'"day":"{each}"' in text]:
            for back in range(len(days) - 1 - days.index(day), LONG_DAYS, len(days)):
                then = str(date.fromisoformat(days[-1]) - timedelta(days=back))
                written.append(where / f"{uuid.uuid5(uuid.UUID(report.stem), then)}.json")
                written[-1].write_text(text.replace(day, then))
    return written


def _values(root: str, project: str) -> float:
    """Milliseconds until the overview's panels and every value that they draw have come."""
    of, tab = path(project).removeprefix("/projects/").split("?")
    begun = time.monotonic()
    with httpx.Client(base_url=f"{root}/api/v2", timeout=READY_SECONDS) as asked:
        for panel in asked.get(f"/dashboards/{of}?{tab}").json()["panels"]:
            filters = [
                {"tags": [], **{name: each[name] for name in ("metric", "metadata", "metric_labels")}} for each in panel["values"]
            ]
            if filters:
                asked.post(f"/snapshots/{of}/data_series_batch", json={"series_filter": filters}).raise_for_status()
    return (time.monotonic() - begun) * 1000


def _long_rows(long: Long) -> list[Row]:
    cost, whole, slowest = median_range(long.published), median_range([each.whole_ms for each in long.tabs]), max(long.values_ms)
    paint = max(long.tabs, key=lambda each: each.paint_ms)
    days = f"{LONG_DAYS} days"
    return [
        Row("publishing a day", f"{cost.value:.2f} CPU s", cost.show(), note="measures and findings, all projects"),
        Row(f"Evidently's workspace with {days}", f"{long.size_mb:,.0f} MB", note=f"{long.reports:,} reports; the newest {REPEATED} days again and again, with Evidently's own reports of drift"),
        Row(f"Evidently's server with {days}, from its start to its first answer", f"{long.up_s:.1f} s", note="imports included"),
        Row(f"all values of an overview over {days}", f"{slowest:,.0f} ms", median_range(long.values_ms).show(0), f"< {ANSWER_MS} ms", verdict(met=slowest < ANSWER_MS), "the slowest project, first time asked"),
        Row(f"first paint of the slowest tab over {days}", f"{paint.paint_ms:,.0f} ms", target=f"< {PAINT_MS} ms", verdict=verdict(met=paint.paint_ms < PAINT_MS), note=f"of {len(long.tabs)}, {paint.name}"),
        Row(f"until all plots of a tab over {days} are drawn", f"{whole.value:,.0f} ms", whole.show(0), note="with half a second in which nothing more is asked for"),
    ]  # fmt: skip


def _lived() -> Settings:
    """A world up to the day that loses its signals, watched."""
    from monitoring import watch
    from whence.contracts.times import Window

    days = HISTORY + CALM_DAYS
    calm = worlds.a_world(worlds.FOLDER / "pages-calm", seed=1, people=PEOPLE, days=days)
    worlds.live(calm, days, HISTORY)
    lost = worlds.branch(calm, worlds.FOLDER / "pages", SCENARIO, worlds.on(days), days + 1)
    worlds.one_day(lost, worlds.on(days))
    watch(lost, Window(worlds.FIRST, worlds.on(days)), worlds.NOW)
    return replace(lost, ports=_free_ports())


@contextmanager
def _served(settings: Settings, modules: Sequence[str] = ("infra.front", "monitoring.evidently.page")) -> Iterator[Settings]:
    """The pages of the home on ports of their own, stopped at the end."""
    file = settings.home / "looked-at.toml"
    ports = settings.ports
    told = "".join(f"{name} = {getattr(ports, name)}\n" for name in ("front", "airflow", "mlflow", "evidently", "serving"))
    file.write_text(f'home = "{settings.home}"\n[ports]\n{told}')
    named = {**os.environ, FILE_VARIABLE: str(file), HOME_VARIABLE: str(settings.home), "DO_NOT_TRACK": "1"}
    started = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-m", module], env=named, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        for module in modules
    ]
    try:
        asked = {
            "infra.front": f"{settings.front_url}/livez",
            "monitoring.evidently.page": f"http://127.0.0.1:{ports.evidently}/api/projects",
        }
        for module in modules:
            _wait(asked[module])
        yield settings
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(30)


def _wait(address: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(address, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise TimeoutError(f"{address} did not answer within {READY_SECONDS} s; see what its process printed.")


def _free_ports() -> Ports:
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        return Ports(front=one.getsockname()[1], evidently=two.getsockname()[1])
