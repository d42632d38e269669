"""What is at stake: the money that passes through the parts of a day that are off, as on ordinary days."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from monitoring import checks
from monitoring.checks import Check
from monitoring.findings.causes import part_of
from monitoring.findings.marks import Key, Mark, Past

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
    added: the larger one is told. No money rests on how the service answers: credit is made by the day.
    """
    if marks[0].check.model == checks.SERVICE:
        return None, ""
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
    """Of the table's money, the share that its marked parts carry on ordinary days; of its rows where no money is told.

    1 where nobody knows.
    """
    table = marks[0].check.model
    parts = {part_of(mark) for mark in marks if mark.check.model == table}
    if ALL in parts:
        return 1.0
    for usual in (_usual(today, past), _usual_rows(today, past)):
        mine = [(part, amount) for (of, _, part), amount in usual.items() if of == table]
        if whole := sum(amount for part, amount in mine if part == ALL):
            return sum(amount for part, amount in mine if part in parts) / whole
    return 1.0


def _usual(today: Sequence[Check], past: Sequence[Past]) -> dict[tuple[str, str, str], float]:
    """By table, currency and part: the median of the days before, or today's amount where there are none."""
    metrics = {metric for metric, _, _ in MONEY.values()}
    return {
        (table, *segment.partition(":")[::2]): amount
        for (table, metric, segment), amount in _medians(today, past).items()
        if metric in metrics
    }


def _usual_rows(today: Sequence[Check], past: Sequence[Past]) -> dict[tuple[str, str, str], float]:
    """The same of rows."""
    return {(table, "", segment): rows for (table, metric, segment), rows in _medians(today, past).items() if metric == "rows"}


def _medians(today: Sequence[Check], past: Sequence[Past]) -> dict[Key, float]:
    found: dict[Key, list[float]] = {}
    for day in [each.checks for each in past[-DAYS:]] or [today]:
        for check in day:
            if check.value is not None:
                found.setdefault(check.key, []).append(check.value)
    return {key: median(values) for key, values in found.items()}
