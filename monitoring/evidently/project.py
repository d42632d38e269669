"""The one file that knows Evidently: our measures as its metrics, drift by column, and a project with one report a day.

Runs are written under ids made of the day and the part, so that a rerun replaces its own. Files appear
whole (a rename) and then get a last newline, because the server's watcher sees writes and no renames.
"""

from __future__ import annotations

import json
import os
import re
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.checks import Check
from monitoring.drift import METHOD, Column, Comparison, clean
from monitoring.evidently.dashboards import ABOUT, PROJECT, Panel
from monitoring.findings import LEVELS, Finding
from whence.contracts.models import MODELS

os.environ.setdefault("DO_NOT_TRACK", "1")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of their own dependencies; nothing that we could change
    from evidently import DataDefinition, Dataset, Report
    from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
    from evidently.core.report import Context, Snapshot
    from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter, table_data
    from evidently.legacy.utils import NumpyEncoder
    from evidently.metrics import ValueDrift
    from evidently.sdk.models import DashboardModel, DashboardPanelPlot, DashboardTabModel, PanelMetric, ProjectModel
    from evidently.ui.storage.local.base import LocalState

NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "https://whence.example/evidently")
PROJECT_ID = uuid.uuid5(NAMES, PROJECT)
DIGITS = 9
"""Decimals that are kept: the last ones depend on the order in which texts were hashed."""
RANDOM_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


class Measured(SingleValueMetric):  # type: ignore[misc]  # Evidently has no types
    """One of our measures: Brier, log-loss, match rate, …, taken elsewhere and handed in as a row of the dataset."""

    model: str
    metric: str
    segment: str


class MeasuredCalculation(SingleValueCalculation[Measured]):  # type: ignore[misc]
    """Looks the measure up, and shows it with its interval and its rows."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The measure's value."""
        rows = current_data.as_dataframe()
        asked = (self.metric.model, self.metric.metric, self.metric.segment)
        row = rows[(rows["model"] == asked[0]) & (rows["metric"] == asked[1]) & (rows["segment"] == asked[2])].iloc[0]
        result = self.result(float(row["value"]))
        known = pd.notna(row["low"]) and pd.notna(row["high"])
        doubt = f" [{row['low']:.4g}, {row['high']:.4g}]" if known else ""
        label = f"{self.display_name()} · {int(row['n']):,} rows"
        result.widget = [counter(counters=[CounterData(label, f"{row['value']:.4g}{doubt}")], size=WidgetSize.HALF)]
        return result

    def display_name(self) -> str:
        """The measure's name as people read it."""
        segment = "" if self.metric.segment == "all" else f" of {self.metric.segment}"
        return f"{self.metric.model}: {self.metric.metric}{segment}"


class FindingsTold(SingleValueMetric):  # type: ignore[misc]
    """The day's findings as a table of words; the value is how many are not calm."""

    day: str


class FindingsToldCalculation(SingleValueCalculation[FindingsTold]):  # type: ignore[misc]
    """Takes the findings from the additional dataset `findings`."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The number of findings that are not calm, with a table of all."""
        rows = context.additional_data["findings"].as_dataframe()
        result = self.result(float((rows["level"] != "calm").sum()))
        shown = rows[["level", "model", "reason"]].to_numpy().tolist()
        result.widget = [
            table_data(column_names=["level", "about", "reason"], data=shown, title=f"Findings of {self.metric.day}")
        ]
        return result

    def display_name(self) -> str:
        """The table's title."""
        return f"Findings of {self.metric.day}"


@dataclass(frozen=True)
class Drift:
    """The comparisons of one model's columns, and the report that shows them."""

    comparisons: list[Comparison]
    report: Any


def compare(today: pd.DataFrame, reference: pd.DataFrame, columns: Sequence[Column], moment: datetime) -> Drift | None:
    """Drift of each column by PSI with its own threshold; None when there is no column to compare.

    All columns go through one report; when Evidently raises, each goes alone, and the one at fault is
    told in its Comparison instead of taking the others with it.
    """
    if not columns:
        return None
    try:
        report = _drift(today, reference, columns, moment)
        return Drift([Comparison(column, _value(report, column)) for column in columns], report)
    except Exception as trouble:
        if len(columns) == 1:
            return Drift([Comparison(columns[0], None, f"{type(trouble).__name__}: {trouble}")], None)
    alone = [drift for column in columns if (drift := compare(today, reference, [column], moment))]
    done = [each for drift in alone for each in drift.comparisons]
    fine = [each.column for each in done if each.psi is not None]
    return Drift(done, _drift(today, reference, fine, moment) if fine else None)


def publish(root: Path, day: str, checks: Sequence[Check], findings: Sequence[Finding], drifts: dict[str, Drift]) -> None:
    """Write the day's reports into the workspace: one of all measures and findings, one of drift for each model."""
    workspace = open_project(root)
    _write(workspace, day, "measures", _measures(day, checks, findings), {"day": day, "part": "measures"})
    for model in MODELS:
        report = drifts[model].report if model in drifts else None
        if report is None:
            _where(workspace, day, model).unlink(missing_ok=True)
        else:
            _write(workspace, day, model, report, {"day": day, "part": f"drift of {model}"})


def open_project(root: Path) -> LocalState:
    """The workspace's files with our project in them, made when it is not there.

    Not through Workspace: that reads every report there is, and a day would cost more the more days there are.
    """
    root.mkdir(parents=True, exist_ok=True)
    workspace = LocalState(str(root))
    if not (root / str(PROJECT_ID) / "metadata.json").exists():
        model = ProjectModel(id=PROJECT_ID, name=PROJECT, description=ABOUT)
        (root / str(PROJECT_ID) / "snapshots").mkdir(parents=True, exist_ok=True)
        _replace(root / str(PROJECT_ID) / "metadata.json", json.dumps(model.dict(), cls=NumpyEncoder, indent=2))
    return workspace


def draw(root: Path, panels: Sequence[Panel]) -> None:
    """Make the dashboard show these panels, and nothing else; left alone when it already does."""
    workspace = open_project(root)
    drawn = [_panel(panel) for panel in panels]
    tab = DashboardTabModel(id=_id("tab", PROJECT), title=PROJECT, panels=[panel.id for panel in drawn])
    model = DashboardModel(tabs=[tab], panels=drawn)  # one tab: this version's page shows no others
    if workspace.read_dashboard(PROJECT_ID) != model:
        _replace(root / str(PROJECT_ID) / "dashboard.json", json.dumps(model.dict(), cls=NumpyEncoder))


def _panel(panel: Panel) -> DashboardPanelPlot:
    values = [
        PanelMetric(
            legend=line.legend,
            metric="Measured",
            metric_labels={"model": line.model, "metric": line.metric, "segment": line.segment},
            metadata={"part": "measures"},
        )
        for line in panel.lines
    ]
    style = {"plot_type": panel.kind if values else "text"} | ({"is_stacked": True} if panel.kind == "bar" else {})
    return DashboardPanelPlot(
        id=_id(panel.section, panel.title),
        title=panel.title,
        subtitle=panel.about,
        size="half" if values else "full",
        values=values,
        plot_params=style,
    )


def _drift(today: pd.DataFrame, reference: pd.DataFrame, columns: Sequence[Column], moment: datetime) -> Snapshot:
    numbers = [column.name for column in columns if column.is_number]
    words = [column.name for column in columns if not column.is_number]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    metrics = [ValueDrift(column=c.name, method=METHOD, threshold=round(c.threshold, 4)) for c in columns]
    sides = [Dataset.from_pandas(_typed(side, numbers, words), data_definition=definition) for side in (today, reference)]
    with _quiet():
        return Report(metrics).run(*sides, timestamp=moment)


def _typed(frame: pd.DataFrame, numbers: Sequence[str], words: Sequence[str]) -> pd.DataFrame:
    made = {name: clean(frame[name]).astype("float64").reindex(frame.index) for name in numbers}
    return pd.DataFrame(
        made | {name: frame[name].astype("object").where(frame[name].notna()) for name in words}, index=frame.index
    )


def _value(report: Snapshot, column: Column) -> float:
    for result in report.metric_results.values():
        if result.metric_value_location.metric.params.get("column") == column.name:
            return round(float(result.value), DIGITS)  # Evidently adds up in the order of a set of texts
    raise KeyError(f"Evidently's report has no result for {column.name}.")


def _measures(day: str, checks: Sequence[Check], findings: Sequence[Finding]) -> Snapshot:
    counts = [
        Check("findings", level, "all", float(sum(f.level == level for f in findings)), None, None, len(findings))
        for level in LEVELS[1:]
    ]
    shown = [check for check in [*counts, *checks] if check.value is not None and check.value == check.value]
    rows = pd.DataFrame([vars(check) for check in shown], columns=list(Check.__dataclass_fields__))
    rows = rows.astype({"value": "float64", "low": "float64", "high": "float64"})
    told = pd.DataFrame([vars(finding) for finding in findings], columns=list(Finding.__dataclass_fields__))
    words = DataDefinition(categorical_columns=["model", "metric", "segment"], numerical_columns=["value", "low", "high", "n"])
    sides = Dataset.from_pandas(rows, data_definition=words)
    reasons = Dataset.from_pandas(told, data_definition=DataDefinition(categorical_columns=list(told.columns)))
    metrics = [FindingsTold(day=day), *(Measured(model=c.model, metric=c.metric, segment=c.segment) for c in shown)]
    with _quiet():
        return Report(metrics).run(sides, additional_data={"findings": reasons}, timestamp=_moment(day))


def _write(workspace: LocalState, day: str, part: str, report: Snapshot, about: dict[str, str]) -> None:
    report.set_name(f"{day} {about['part']}")
    model = report.to_snapshot_model()
    model.metadata, model.tags = about, [about["part"]]
    where = _where(workspace, day, part)
    told = json.loads(json.dumps(model.dict(), cls=NumpyEncoder), parse_float=lambda text: round(float(text), DIGITS))
    _replace(where, _steady(json.dumps(told), where.stem))


def _where(workspace: LocalState, day: str, part: str) -> Path:
    return Path(workspace.path) / str(PROJECT_ID) / "snapshots" / f"{_id(day, part)}.json"


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Evidently divides by empty bins and warns of it; the value that comes out is checked instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
