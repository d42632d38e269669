"""Months of reports behind Evidently's pages: the values of each are held, and what it shows is read when somebody opens it.

Evidently's own storage reads every report whole before it answers anything, and for each plot goes through every value of
every report. This one answers the same (a test compares them), for reports whose results are single values, as all of ours are.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from evidently.ui.service.base import DataStorage, Series, SeriesFilter, SeriesResponse, SeriesSource
from evidently.ui.service.components.storage import LocalStorageComponent
from evidently.ui.service.managers.projects import ProjectManager
from evidently.ui.service.services.dashbord.file import JsonFileDashboardManager
from evidently.ui.service.storage.common import NoopAuthManager
from evidently.ui.service.storage.local import (
    FSSpecBlobStorage,
    JsonFileProjectMetadataStorage,
    LocalState,
    start_workspace_watchdog,
)

NOT_NAMES = frozenset({"type", "tests"})
"""What Evidently keeps beside a metric's parameters: they do not name what is measured."""


@dataclass(frozen=True, eq=False)
class Line:
    """What is measured. There is one of each: reports that measure the same hold the same line."""

    metric: str
    params: Mapping[str, str]

    def answers(self, asked: SeriesFilter) -> bool:
        """Whether it is one of the lines that are asked for."""
        return asked.metric in ("*", self.metric) and asked.metric_labels.items() <= self.params.items()


@dataclass(frozen=True)
class Report:
    """What is held of a report; the rest is in its file."""

    name: str
    timestamp: datetime
    metadata: Mapping[str, Any]
    tags: Sequence[str]
    values: Mapping[Line, float]

    def fits(self, asked: SeriesFilter) -> bool:
        """Whether it is one of the reports that are asked for."""
        return set(self.tags) >= set(asked.tags) and self.metadata.items() >= asked.metadata.items()


class Months(LocalState):  # type: ignore[misc]  # Evidently has no types
    """The projects of a workspace and their reports, kept up to date by Evidently's watcher of files."""

    def __init__(self, path: str) -> None:
        super().__init__(path, None)
        self._lines: dict[str, Line] = {}
        self.location.makedirs("")
        self.reload()

    def reload_snapshot(self, project: Any, snapshot_id: Any, skip_errors: bool = True) -> None:
        """Hold what the file says by now; one that cannot be read is told to whoever runs the server, and left out."""
        file = Path(self.path, str(project.id), "snapshots", f"{snapshot_id}.json")
        try:
            self.snapshots[project.id][snapshot_id] = self._report(orjson.loads(file.read_bytes()))
        except FileNotFoundError:  # its day was written anew, without it
            self.snapshots[project.id].pop(snapshot_id, None)
        except (orjson.JSONDecodeError, KeyError, TypeError) as trouble:
            self.snapshots[project.id].pop(snapshot_id, None)
            print(f"{file} is no report of ours, and not shown: {trouble}. Watch its day again.", file=sys.stderr)

    def reports(self, project_id: Any) -> list[tuple[Any, Report]]:
        """The project's reports with their ids, the oldest first."""
        held = list(self.snapshots.get(project_id, {}).items())  # the watcher's thread may add one meanwhile
        return sorted(held, key=lambda each: (each[1].timestamp, each[0]))

    def _report(self, told: Mapping[str, Any]) -> Report:
        single = [each for each in told["metric_results"].values() if each["type"].endswith(":SingleValue")]
        values = {self._line(each["metric_value_location"]["metric"]): each["value"] for each in single}
        return Report(told["name"], datetime.fromisoformat(told["timestamp"]), told["metadata"], told["tags"], values)

    def _line(self, metric: Mapping[str, Any]) -> Line:
        key = metric["metric_id"]
        if key not in self._lines:
            params = {name: str(value) for name, value in metric["params"].items() if name not in NOT_NAMES}
            self._lines[key] = Line(metric["params"]["type"], params)
        return self._lines[key]


@dataclass(frozen=True)
class Values(DataStorage):  # type: ignore[misc]
    """What the dashboards ask for, from the values that are held."""

    held: Months

    async def add_snapshot_points(self, project_id: Any, snapshot_id: Any, snapshot: Any) -> None:
        """Hold a report that came by the API, and lies in its file by now."""
        self.held.reload_snapshot(self.held.projects[project_id], snapshot_id)

    async def get_data_series(
        self,
        project_id: Any,
        series_filter: Sequence[SeriesFilter],
        start_time: datetime | None,
        end_time: datetime | None,
    ) -> SeriesResponse:
        """The lines that the filters ask for, each with a value or a gap for each report that has any of them."""
        asked: dict[Line, int | None] = {}
        sources: list[SeriesSource] = []
        series: dict[Line, Series] = {}
        for name, report in self.held.reports(project_id):
            if (start_time and report.timestamp < start_time) or (end_time and report.timestamp > end_time):
                continue
            fits = [report.fits(each) for each in series_filter]
            if not any(fits):
                continue
            found = [(line, at) for line in report.values if (at := _first(asked, line, series_filter)) is not None and fits[at]]
            for line, at in found:
                drawn = series.setdefault(line, _empty(line, at))
                drawn.values += [None] * (len(sources) - len(drawn.values)) + [report.values[line]]
            if found:
                sources.append(
                    SeriesSource(snapshot_id=name, timestamp=report.timestamp, tags=report.tags, metadata=dict(report.metadata))
                )
        return SeriesResponse(sources=sources, series=list(series.values()))

    async def get_metrics(self, project_id: Any, tags: list[str], metadata: dict[str, str]) -> list[str]:
        """The kinds of metrics that some reports have."""
        return sorted({line.metric for line in self._lines(project_id, tags, metadata)})

    async def get_metric_labels(self, project_id: Any, tags: list[str], metadata: dict[str, str], metric: str) -> list[str]:
        """The parameters that a kind of metric has."""
        return sorted({name for line in self._lines(project_id, tags, metadata) if line.metric == metric for name in line.params})

    async def get_metric_label_values(
        self, project_id: Any, tags: list[str], metadata: dict[str, str], metric: str, label: str
    ) -> list[str]:
        """What a parameter of a kind of metric can be."""
        lines = [line for line in self._lines(project_id, tags, metadata) if line.metric == metric]
        return sorted({value for line in lines if (value := line.params.get(label))})

    def _lines(self, project_id: Any, tags: list[str], metadata: dict[str, str]) -> Iterator[Line]:
        asked = SeriesFilter(tags=tags, metadata=metadata, metric="*", metric_labels={})
        return (line for _, report in self.held.reports(project_id) if report.fits(asked) for line in report.values)


def _first(known: dict[Line, int | None], line: Line, filters: Sequence[SeriesFilter]) -> int | None:
    """The place of the first filter that asks for the line, from `known` where it was looked up before."""
    if line not in known:
        known[line] = next((at for at, each in enumerate(filters) if line.answers(each)), None)
    return known[line]


def _empty(line: Line, at: int) -> Series:
    params = {name: value for name, value in line.params.items() if value and value != "None"}
    return Series(metric_type=line.metric, filter_index=at, params=params, values=[])


class Stored(LocalStorageComponent):  # type: ignore[misc]
    """Evidently's part that knows where things lie, with our memory of them, which is filled before the server answers."""

    def project_manager_provider(self) -> Callable[[], Awaitable[ProjectManager]]:
        """What Evidently asks for projects, reports and values."""
        held = Months(self.path)
        manager = ProjectManager(
            project_metadata=JsonFileProjectMetadataStorage(path=self.path, local_state=held),
            blob_storage=FSSpecBlobStorage(base_path=self.path),
            data_storage=Values(held),
            auth_manager=NoopAuthManager(),
            dashboard_manager=JsonFileDashboardManager(path=self.path, local_state=held),
        )
        held.project_manager = manager
        start_workspace_watchdog(self.path, held)

        async def known() -> ProjectManager:
            return manager

        return known
