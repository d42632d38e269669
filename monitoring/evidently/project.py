"""Evidently's workspace on disk: a project for the platform and one for each model, a report a day for each tab, the dashboards.

Reports are written under ids made of project, day and tab, so that a rerun replaces its own. Files appear
whole (a rename) and then get a last newline, because the server's watcher sees writes and no renames.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitoring.checks import Check
from monitoring.evidently import dashboards, metrics
from monitoring.evidently.compared import DIGITS, Drift
from monitoring.evidently.dashboards import COLUMNS, NAMES, OVERVIEW, PLATFORM, PROJECTS, Key, Line, Panel, Project, project_id
from monitoring.findings import Finding

with metrics.quiet():
    from evidently.core.report import Snapshot
    from evidently.legacy.utils import NumpyEncoder
    from evidently.sdk.models import DashboardModel, DashboardPanelPlot, DashboardTabModel, PanelMetric, ProjectModel
    from evidently.ui.storage.local.base import LocalState

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
"""Evidently lists projects by when they were made, the newest first: ours in the order of PROJECTS."""
RANDOM_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def publish(root: Path, day: str, checks: Sequence[Check], findings: Sequence[Finding], drifts: Mapping[str, Drift]) -> None:
    """Write the day's reports into the workspace: for each project its findings, its measures by tab, and the drift of its columns."""
    workspace = open_projects(root)
    held = dashboards.parts(checks)
    for project in PROJECTS:
        about = [each for each in findings if project.key in (PLATFORM, each.model)]
        judged = metrics.judged(about)
        for tab in project.tabs:
            if tab == OVERVIEW:
                shown, title, told = metrics.level_counts(about), f"Findings of {day}", metrics.findings_table(about)
            else:
                shown = held.get((project.key, tab), [])
                title, told = f"Measures of {day}: {tab.lower()}", metrics.measures_table(shown)
            _write(workspace, project.key, day, tab, metrics.report(shown, judged, _moment(day), title, told) if shown else None)
        drift = drifts.get(project.key)
        _write(workspace, project.key, day, COLUMNS, drift.report if drift else None)


def open_projects(root: Path) -> LocalState:
    """The workspace's files with our projects in them, made when they are not there.

    Not through Workspace: that reads every report there is, and a day would cost more the more days there are.
    """
    root.mkdir(parents=True, exist_ok=True)
    for place, project in enumerate(reversed(PROJECTS)):
        folder = root / str(project_id(project.key))
        if not (folder / "metadata.json").exists():
            model = ProjectModel(id=project_id(project.key), name=project.name, description=project.about)
            (folder / "snapshots").mkdir(parents=True, exist_ok=True)
            told = model.dict() | {"created_at": FIRST + timedelta(days=place)}
            _replace(folder / "metadata.json", json.dumps(told, cls=NumpyEncoder, indent=2))
    return LocalState(str(root))


def draw(root: Path, known: Mapping[Key, float]) -> None:
    """Make each dashboard show what there is to show of these measures, and nothing else; left alone when it already does."""
    workspace = open_projects(root)
    for project in PROJECTS:
        model = _dashboard(project, dashboards.panels(project.key, known))
        if workspace.read_dashboard(project_id(project.key)) != model:
            _replace(root / str(project_id(project.key)) / "dashboard.json", json.dumps(model.dict(), cls=NumpyEncoder))


def _dashboard(project: Project, panels: Sequence[Panel]) -> DashboardModel:
    drawn = {panel: _panel(project, panel) for panel in panels}
    tabs = [
        DashboardTabModel(
            id=_id(project.key, tab), title=tab, panels=[plot.id for panel, plot in drawn.items() if panel.tab == tab]
        )
        for tab in project.tabs
        if any(panel.tab == tab for panel in panels)
    ]
    return DashboardModel(tabs=tabs, panels=list(drawn.values()))


def _panel(project: Project, panel: Panel) -> DashboardPanelPlot:
    values = [
        PanelMetric(
            legend=line.legend,
            metric="Measured",
            metric_labels={"model": line.model, "metric": line.metric, "segment": line.segment},
            metadata={"tab": _held(project, line)},
        )
        for line in panel.lines
    ]
    style = {"plot_type": panel.kind if values else "text"} | ({"is_stacked": True} if panel.kind == "bar" else {})
    return DashboardPanelPlot(
        id=_id(project.key, panel.tab, panel.title),
        title=panel.title,
        subtitle=panel.about,
        size="half" if values else "full",
        values=values,
        plot_params=style,
    )


def _held(project: Project, line: Line) -> str:
    """The tab whose reports hold the line's measure: not always the one that draws it."""
    if line.model == "findings":
        return OVERVIEW
    return next(tab for key, tab in dashboards.places(line.key) if key == project.key)


def _write(workspace: LocalState, project: str, day: str, tab: str, report: Snapshot | None) -> None:
    """Put the report there, or take away what an earlier run left where there is none."""
    where = Path(workspace.path) / str(project_id(project)) / "snapshots" / f"{_id(project, day, tab)}.json"
    if report is None:
        where.unlink(missing_ok=True)
        return
    report.set_name(f"{day} {tab.lower()}")
    model = report.to_snapshot_model()
    model.metadata, model.tags = {"day": day, "tab": tab}, [tab]
    for result in model.metric_results.values():
        result.widget = None  # the report holds all of them once more, in their order, and shows those
    _replace(where, _steady(_slim(json.dumps(model.dict(), cls=NumpyEncoder)), where.stem))


def _slim(report: str) -> str:
    """The report with as many digits as all machines agree on, and gaps where there is no number."""
    told = json.loads(report, parse_float=lambda text: round(float(text), DIGITS), parse_constant=lambda _: None)
    return json.dumps(told, separators=(",", ":"))


def _steady(text: str, name: str) -> str:
    """The report with the random ids of its widgets made from their places, so that a rerun writes the same bytes."""
    places: dict[str, uuid.UUID] = {}
    return RANDOM_ID.sub(lambda found: str(places.setdefault(found[0], _id(name, str(len(places))))), text)


def _replace(where: Path, text: str) -> None:
    """Put the file there whole, unless it holds just that already; the newline comes last, as a change that the server sees."""
    where.parent.mkdir(parents=True, exist_ok=True)
    if where.exists() and where.read_text() == f"{text}\n":
        return
    fresh = where.with_name(f".{where.name}.{os.getpid()}.part")
    fresh.write_text(text)
    fresh.replace(where)
    with where.open("a") as file:
        file.write("\n")


def _moment(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _id(*parts: str) -> uuid.UUID:
    return uuid.uuid5(NAMES, "/".join(parts))
