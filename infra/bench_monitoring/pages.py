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

PEOPLE, HISTORY, CALM_DAYS = 800, 10, 2
SCENARIO = "signal_loss"
WIDTHS = {"desktop": (1440, 900), "phone": (390, 844)}
PAINT_MS = 1000
LONG_DAYS = 120
"""Months of history: the newest days that were watched, again and again."""
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


def measure(runs: int) -> list[Row]:
    """Live a world up to the day that loses its signals, serve its pages, and look at each; then at months of history."""
    settings = load() if os.environ.get("WHENCE_LOOK") else _lived()
    with _served(settings) as served:
        seen = look(served, worlds.FOLDER / "pictures")
    publish, long = _months(settings, runs)
    return [*_rows(settings, seen), *_long_rows(publish, long)]


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


def _months(settings: Settings, runs: int) -> tuple[list[float], list[Looked]]:
    """CPU seconds to publish one more day after months of them, and the platform's and a model's first tab then."""
    from playwright.sync_api import sync_playwright

    from monitoring import checks, findings
    from monitoring.evidently.project import draw, publish

    lake = Lake.of(settings)
    measured, told = checks.by_day(lake.read("checks")), findings.by_day(lake.read("findings"))
    days = sorted(measured)[-5:]
    home = worlds.FOLDER / "months"
    shutil.rmtree(home, ignore_errors=True)
    took = []
    for day in days:
        begun = time.process_time()
        publish(home / "evidently", day, measured[day], told.get(day, []), {})
        took.append(time.process_time() - begun)
    _repeat(home / "evidently", days)
    draw(home / "evidently", {check.key: 0.0 for day in days for check in measured[day] if check.value is not None})
    with (
        _served(replace(settings, home=home, ports=_free_ports()), ("monitoring.evidently.page",)) as served,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        root = f"http://127.0.0.1:{served.ports.evidently}"
        seen = [
            _look(browser, f"months-{project.key}-{number}", f"{root}{path(project.key)}", home, "desktop", "light")
            for number in range(max(runs, 1))
            for project in PROJECTS[:2]
        ]
        browser.close()
    return took, seen


def _repeat(workspace: Path, days: Sequence[str]) -> None:
    """Write the days' reports again under earlier days, until there are LONG_DAYS of them."""
    for report in sorted(workspace.glob("*/snapshots/*.json")):
        text = report.read_text()
        (day,) = [each for each in days if f'"day": "{each}"' in text]
        for back in range(days.index(day) + 1, LONG_DAYS - len(days) + 1, len(days)):
            earlier = str(date.fromisoformat(days[0]) - timedelta(days=back))
            name = uuid.uuid5(uuid.UUID(report.stem), earlier)
            report.with_name(f"{name}.json").write_text(text.replace(day, earlier))


def _long_rows(publish: Sequence[float], seen: Sequence[Looked]) -> list[Row]:
    cost, paint = median_range(publish), max(each.paint_ms for each in seen)
    whole = median_range([each.whole_ms for each in seen])
    return [
        Row("publishing a day", f"{cost.value:.2f} CPU s", cost.show(), note="measures and findings, all projects"),
        Row(f"first paint of an overview over {LONG_DAYS} days", f"{paint:,.0f} ms", target=f"< {PAINT_MS} ms", verdict=verdict(met=paint < PAINT_MS)),
        Row(f"until all plots of an overview over {LONG_DAYS} days are drawn", f"{whole.value:,.0f} ms", whole.show(0), note="with half a second in which nothing more is asked for"),
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
