"""Drift of a model's columns by Evidently's own report, each column on its own when Evidently raises.

To draw a column takes Evidently ten times as long as to compare it. So it draws those in which there is something to see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from monitoring.drift import LEAST_PSI, METHOD, Column, Comparison, clean
from monitoring.evidently.metrics import quiet

with quiet():
    import plotly.io  # type: ignore[import-untyped]
    from evidently import DataDefinition, Dataset, Report
    from evidently.core.metric_types import SingleValue, SingleValueCalculation
    from evidently.core.report import Context, Snapshot
    from evidently.metrics import ValueDrift
    from evidently.metrics.column_statistics import ValueDriftCalculation

DIGITS = 9
"""Decimals that are kept: the last ones depend on the order in which texts were hashed."""


class Compared(ValueDrift):  # type: ignore[misc]  # Evidently has no types
    """Evidently's drift of a column, drawn from LEAST_PSI on."""


class ComparedCalculation(SingleValueCalculation[Compared]):  # type: ignore[misc]
    """Evidently's own calculation; a column that is nearer is told in words alone."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The distance."""
        return ValueDriftCalculation.calculate(self, context, current_data, reference_data)

    def display_name(self) -> str:
        """The column's name as people read it."""
        return str(ValueDriftCalculation.display_name(self))

    def _render(self, result: Any, options: Any, color_options: Any) -> Any:
        if result.drift_score < LEAST_PSI:
            result = result.copy(update={"scatter": None, "current": result.current.copy(update={"distribution": None})})
        return ValueDriftCalculation._render(self, result, options, color_options)


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


def _drift(today: pd.DataFrame, reference: pd.DataFrame, columns: Sequence[Column], moment: datetime) -> Snapshot:
    numbers = [column.name for column in columns if column.is_number]
    words = [column.name for column in columns if not column.is_number]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    metrics = [Compared(column=c.name, method=METHOD, threshold=round(c.threshold, 4)) for c in columns]
    sides = [Dataset.from_pandas(_typed(side, numbers, words), data_definition=definition) for side in (today, reference)]
    with quiet(), _plain():
        return Report(metrics).run(*sides, timestamp=moment)


@contextmanager
def _plain() -> Iterator[None]:
    """Plots without a theme, which plotly would put together for each, and write into each."""
    before, plotly.io.templates.default = plotly.io.templates.default, None
    try:
        yield
    finally:
        plotly.io.templates.default = before


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
