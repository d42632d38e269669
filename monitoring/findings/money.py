"""What is at stake: the money that passes through the parts of a day that are off, as on ordinary days."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from monitoring import checks
from monitoring.checks import Check
from monitoring.findings.causes import part_of
from monitoring.findings.marks import Mark, Past

if TYPE_CHECKING:
    import duckdb

MONEY = {"touches": ("spend", "price_micros", "channel"), "conversions": ("worth", "value_micros", "source")}
"""For each table that carries money: the measure, the column, and what it is cut by."""
DAYS = 14
"""Days before that say what an ordinary day is worth; a day that is off does not say it of itself."""
ALL = "all"


def money_checks(con: duckdb.DuckDBPyConnection, table: str, day: str) -> list[Check]:
    """What the day's rows of a table cost or are worth, in micros, by currency: in all, and by its parts; refunds left out."""
    if table not in MONEY:
        return []
    metric, amount, part = MONEY[table]
    rows = con.execute(
        f"""
        SELECT currency, "{part}", sum("{amount}"), count(*) FROM "{table}"
        WHERE day = ? AND "{amount}" > 0 GROUP BY GROUPING SETS ((currency, "{part}"), (currency)) ORDER BY 1, 2 NULLS FIRST
        """,
        [day],
    ).fetchall()
    return [
        checks.plain(table, metric, f"{currency}:{ALL if name is None else f'{part}={name}'}", float(micros), int(n))
        for currency, name, micros, n in rows
        if currency is not None
    ]


def at_stake(marks: Sequence[Mark], today: Sequence[Check], past: Sequence[Past]) -> tuple[int | None, str]:
    """Micros a day and their currency that the marked parts carry on ordinary days; None where no table says.

    What touches lose is spend; all else puts the conversions' worth at risk. Amounts of two currencies are never
    added: the larger one is told.
    """
    usual = _usual(today, past)
    parts = {part_of(mark) for mark in marks if mark.check.model == marks[0].check.model}
    table = marks[0].check.model if marks[0].check.model in MONEY else "conversions"
    chosen = {ALL} if ALL in parts or table != marks[0].check.model else parts
    sums: dict[str, float] = {}
    for (of, currency, part), micros in usual.items():
        if of == table and part in chosen:
            sums[currency] = sums.get(currency, 0.0) + micros
    if not sums:
        return None, ""
    currency = max(sums, key=lambda name: sums[name])
    return round(sums[currency]), currency


def share(marks: Sequence[Mark], today: Sequence[Check], past: Sequence[Past]) -> float:
    """Of the table's money, the share that its marked parts carry on ordinary days; 1 where nobody knows."""
    table = marks[0].check.model
    usual = {key: micros for key, micros in _usual(today, past).items() if key[0] == table}
    whole = sum(micros for (_, _, part), micros in usual.items() if part == ALL)
    parts = {part_of(mark) for mark in marks if mark.check.model == table}
    if ALL in parts or not whole:
        return 1.0
    return sum(micros for (_, _, part), micros in usual.items() if part in parts) / whole


def _usual(today: Sequence[Check], past: Sequence[Past]) -> dict[tuple[str, str, str], float]:
    """By table, currency and part: the median of the days before, or today's amount where there are none."""
    metrics = {metric: table for table, (metric, _, _) in MONEY.items()}
    found: dict[tuple[str, str, str], list[float]] = {}
    for day in [each.checks for each in past[-DAYS:]] or [today]:
        for check in day:
            if check.metric in metrics and check.value is not None:
                currency, _, part = check.segment.partition(":")
                found.setdefault((check.model, currency, part), []).append(check.value)
    return {key: median(values) for key, values in found.items()}
