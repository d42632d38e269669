"""Our measures and findings as Evidently's metrics, each bound to a test that passes where the day's judge found nothing."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

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
    from evidently.legacy.renderers.html_widgets import table_data

KEY = ["model", "metric", "segment"]
"""What names a measure."""
KINDS = tuple(f"{kind}_columns" for kind in ("numerical", "categorical", "text", "datetime", "unknown", "list"))
"""The kinds of columns that a dataset of Evidently's can be told of."""
STATUS: Mapping[str, TestStatus] = {CALM: TestStatus.SUCCESS, WARN: TestStatus.WARNING}
"""How a level shows as the outcome of a test; more urgent ones have failed it."""


class Measured(SingleValueMetric):  # type: ignore[misc]  # Evidently has no types
    """One of our measures: Brier, log-loss, match rate, …, taken elsewhere and handed in as a row of the dataset."""

    model: str
    metric: str
    segment: str


class MeasuredCalculation(SingleValueCalculation[Measured]):  # type: ignore[misc]
    """Looks the measure up; the table at the head of the report shows it."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The measure's value."""
        result = self.result(float(current_data.as_dataframe().at[_key(self.metric), "value"]))
        result.widget = []
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
            rows, asked = context.additional_data["judged"].as_dataframe(), _key(calculation.metric)
            level, words = rows.loc[asked, ["level", "reason"]] if asked in rows.index else (CALM, "as expected")
            return MetricTestResult(
                id="judged",
                name=f"{value.display_name}: {self.limit}",
                description=f"{value.value:.4g}: {words}",
                status=STATUS.get(level, TestStatus.FAIL),
                metric_config=calculation.to_metric_config(),
                test_config=self.dict(),
            )

        return judged


class Told(SingleValueMetric):  # type: ignore[misc]
    """A table of words at the head of a report; the value is how many rows it has."""

    title: str


class ToldCalculation(SingleValueCalculation[Told]):  # type: ignore[misc]
    """Takes the table from the additional dataset `told`."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The number of rows, with the table."""
        rows = context.additional_data["told"].as_dataframe()
        result = self.result(float(len(rows)))
        result.widget = [table_data(column_names=list(rows.columns), data=rows.to_numpy().tolist(), title=self.metric.title)]
        return result

    def display_name(self) -> str:
        """The table's title."""
        return str(self.metric.title)


def report(checks: Sequence[Check], judged: Dataset, moment: datetime, title: str, told: pd.DataFrame) -> Snapshot:
    """A report of measures, those that have a rule with its test; it shows the table `told`, and the tests in a tab beside it."""
    rows = pd.DataFrame([vars(check) for check in checks], columns=list(Check.__dataclass_fields__))
    measured = [Measured(model=c.model, metric=c.metric, segment=c.segment, tests=_tests(c)) for c in checks]
    with quiet():
        return Report([Told(title=title), *measured]).run(
            _dataset(_by_key(rows.astype({"value": "float64"}))),
            additional_data={"judged": judged, "told": _dataset(told)},
            timestamp=moment,
        )


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Findings as people read them."""
    rows = [(each.level, each.model, each.cause.replace("_", " "), each.since, each.reason) for each in findings]
    return pd.DataFrame(rows, columns=["level", "about", "cause", "since", "what was found"])


def measures_table(checks: Sequence[Check]) -> pd.DataFrame:
    """Measures as people read them, each with its interval and the rows behind it."""
    rows = [(c.model, c.metric, c.segment, f"{c.value:.4g}", _interval(c), f"{c.n:,}") for c in checks]
    return pd.DataFrame(rows, columns=["about", "measure", "of", "value", "interval", "rows"])


def _interval(check: Check) -> str:
    known = check.low is not None and check.high is not None
    return f"{check.low:.4g} to {check.high:.4g}" if known else ""


def judged(findings: Sequence[Finding]) -> Dataset:
    """What tests ask for: each measure that a finding is about, with the worst of them."""
    return _dataset(_judged(findings))


def _judged(findings: Sequence[Finding]) -> pd.DataFrame:
    """Each measure that a finding is about, the worst finding first."""
    rows = [
        (*(series[name] for name in KEY), finding.level, finding.reason)
        for finding in sorted(findings, key=lambda each: -URGENCY[each.level])
        for series in (vars(finding), *finding.facts.get("series", ()))
    ]
    return _by_key(pd.DataFrame(rows, columns=[*KEY, "level", "reason"], dtype="object"))


def _dataset(rows: pd.DataFrame) -> Dataset:
    """The rows for Evidently; it is told of no column, so that it does not count each one's values, which nobody asks for."""
    return Dataset.from_pandas(rows, data_definition=DataDefinition(**{kind: [] for kind in KINDS}))


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


def _by_key(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows so that one is found by what names a measure, the first where there are several."""
    return rows.drop_duplicates(KEY).set_index(KEY, drop=False)


def _key(asked: Measured) -> tuple[str, str, str]:
    return asked.model, asked.metric, asked.segment


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
