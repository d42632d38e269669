"""Twelve dirty tables: a verdict every time, the dirty columns red and the others calm; beside it what Evidently does with them."""

from __future__ import annotations

import warnings

import pandas as pd

from infra.bench_monitoring.frames import clean, dirty_tables
from infra.benching import Row, verdict
from monitoring.summaries.verdicts import look


def measure(runs: int) -> list[Row]:
    """A row for each table, and how Evidently's preset fares on them."""
    reference = clean(seed=2)
    found, told = [], []
    for name, (table, expected) in dirty_tables().items():
        red = {each.column: each.reasons for each in look(table, reference) if each.is_red}
        words = "; ".join(f"{column}: {reasons[0]}" for column, reasons in red.items() if column in expected)
        right = set(red) == set(expected)
        found.append(
            Row(name, f"{len(red)} of {len(expected)} red", target="the dirty ones alone", verdict=verdict(met=right), note=words)
        )
        told.append(evidently(table, reference))
    reports = sum(each == "a report" for each in told)
    named = ", ".join(f"{name}: {each}" for name, each in zip(dirty_tables(), told, strict=True) if each != "a report")
    return [*found, Row("tables that Evidently's DataDriftPreset makes a report of", f"{reports} of {len(told)}", note=named)]


def evidently(table: pd.DataFrame, reference: pd.DataFrame) -> str:
    """What Evidently's preset does with a table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import Report
        from evidently.presets import DataDriftPreset

        try:
            Report([DataDriftPreset()]).run(table, reference)
        except Exception as trouble:
            return type(trouble).__name__
    return "a report"
