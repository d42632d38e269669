"""Our measures and findings as Evidently's metrics, each bound to a test that passes where the day's judge found nothing."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pandas as pd

from monitoring.checks import Check
from monitoring.findings import CALM, LEVELS, URGENCY, WARN, Finding
from monitoring.findings.rules import RULES, Rule

os.environ.setdefault("DO_NOT_TRACK", "1")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of their own dependencies; nothing that we could change
    from evidently import DataDefinition, Dataset, Report
    from evidently.core.metric_types import (
        MetricTest,
        MetricTestProto,
        MetricTestResult,
        SingleValue,
        SingleValueCalculation,
        SingleValueMetric,
        TestStatus,
    )
    from evidently.core.report import Context, Snapshot
    from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter, table_data

STATUS: Mapping[str, TestStatus] = {CALM: TestStatus.SUCCESS, WARN: TestStatus.WARNING}
"""How a level shows as the outcome of a test; more urgent ones have failed it."""


class Measured(SingleValueMetric):  # type: ignore[misc]  # Evidently has no types
    """One of our measures: Brier, log-loss, match rate, …, taken elsewhere and handed in as a row of the dataset."""

    model: str
    metric: str
    segment: str


class MeasuredCalculation(SingleValueCalculation[Measured]):  # type: ignore[misc]
    """Looks the measure up, and shows it with its interval and its rows."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The measure's value."""
        row = _row(current_data.as_dataframe(), self.metric).iloc[0]
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


class Judged(MetricTest):  # type: ignore[misc]
    """Passes where the day's judge found nothing of this measure, warns where it warned, and fails where it asked for more."""

    limit: str
    """From where on the rule speaks, in words."""

    def to_test(self) -> MetricTestProto:
        """The measure's line in the additional dataset `judged`: a finding names all the measures that its harm moved."""

        def judged(context: Context, calculation: MeasuredCalculation, value: SingleValue) -> MetricTestResult:
            found = _row(context.additional_data["judged"].as_dataframe(), calculation.metric)
            level, words = (found.iloc[0]["level"], found.iloc[0]["reason"]) if len(found) else (CALM, "as expected")
            return MetricTestResult(
                id="judged",
                name=f"{value.display_name}: {self.limit}",
                description=f"{value.value:.4g}: {words}",
                status=STATUS.get(level, TestStatus.FAIL),
                metric_config=calculation.to_metric_config(),
                test_config=self.dict(),
            )

        return judged


class FindingsTold(SingleValueMetric):  # type: ignore[misc]
    """The day's findings as a table of words; the value is how many are not calm."""

    day: str


class FindingsToldCalculation(SingleValueCalculation[FindingsTold]):  # type: ignore[misc]
    """Takes the findings from the additional dataset `findings`."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The number of findings that are not calm, with a table of all."""
        rows = context.additional_data["findings"].as_dataframe()
        result = self.result(float((rows["level"] != CALM).sum()))
        shown = rows[["level", "model", "cause", "since", "reason"]].to_numpy().tolist()
        names = ["level", "about", "cause", "since", "reason"]
        result.widget = [table_data(column_names=names, data=shown, title=f"Findings of {self.metric.day}")]
        return result

    def display_name(self) -> str:
        """The table's title."""
        return f"Findings of {self.metric.day}"


def report(checks: Sequence[Check], findings: Sequence[Finding], moment: datetime, day: str = "") -> Snapshot:
    """A report of measures, those that have a rule with its test; with a `day` it begins with the day's findings in words."""
    rows = pd.DataFrame([vars(check) for check in checks], columns=list(Check.__dataclass_fields__))
    rows = rows.astype({"value": "float64", "low": "float64", "high": "float64"})
    words = DataDefinition(categorical_columns=["model", "metric", "segment"], numerical_columns=["value", "low", "high", "n"])
    told = pd.DataFrame([vars(finding) for finding in findings], columns=list(Finding.__dataclass_fields__))
    more = {"findings": _texts(told), "judged": _texts(_judged(findings))}
    metrics: list[Any] = [FindingsTold(day=day)] if day else []
    metrics += [Measured(model=c.model, metric=c.metric, segment=c.segment, tests=_tests(c)) for c in checks]
    with quiet():
        sides = Dataset.from_pandas(rows, data_definition=words)
        return Report(metrics).run(sides, additional_data=more, timestamp=moment)


def _judged(findings: Sequence[Finding]) -> pd.DataFrame:
    """Each measure that a finding is about, the worst finding first."""
    rows = [
        (*(series[name] for name in ("model", "metric", "segment")), finding.level, finding.reason)
        for finding in sorted(findings, key=lambda each: -URGENCY[each.level])
        for series in (vars(finding), *finding.facts.get("series", ()))
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "segment", "level", "reason"])


def _texts(rows: pd.DataFrame) -> Dataset:
    return Dataset.from_pandas(rows.astype("string"), data_definition=DataDefinition(categorical_columns=list(rows.columns)))


def level_counts(findings: Sequence[Finding]) -> list[Check]:
    """How many findings of each level there are, as measures that can be drawn."""
    return [
        Check("findings", level, "all", float(sum(f.level == level for f in findings)), None, None, len(findings))
        for level in LEVELS[1:]
    ]


@contextmanager
def quiet() -> Iterator[None]:
    """Evidently divides by empty bins and warns of it; the value that comes out is checked instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _row(rows: pd.DataFrame, asked: Measured) -> pd.DataFrame:
    return rows[(rows["model"] == asked.model) & (rows["metric"] == asked.metric) & (rows["segment"] == asked.segment)]


def _tests(check: Check) -> list[Judged] | None:
    rule = RULES.get(check.metric)
    return [Judged(limit=limit(rule))] if rule and (not rule.only or check.segment in rule.only) else None


def limit(rule: Rule) -> str:
    """From where on a rule speaks, in words; what chance explains stays calm beyond that, too."""
    factor = f"{math.exp(rule.warn):.3g} times"
    if rule.scale == "level":
        return f"at most {rule.target + rule.warn:.3g}"
    if rule.scale == "factor":
        return f"within {factor} of {rule.target:.3g}"
    apart = factor if rule.scale == "ratio" else f"{rule.warn:.3g}"
    side = {"up": "above", "down": "below", "both": "away from"}[rule.harm]
    return f"at most {apart} {side} clean days"
