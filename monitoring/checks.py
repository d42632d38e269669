"""One measure that monitoring took: its value, its doubt, and how many rows stand behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from whence.contracts.tables import TABLES

Z95 = 1.959964
SERVICE = "service"
"""Stands in a model's place where the scoring service as a whole is measured."""


@dataclass(frozen=True)
class Check:
    """A row of the `checks` table without its day."""

    model: str
    """The model, or the table that was looked at."""
    metric: str
    segment: str
    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes the same measure of another day comparable."""
        return self.model, self.metric, self.segment


def share(model: str, metric: str, segment: str, hits: float, n: int) -> Check:
    """A share of n rows with its Wilson interval; a share of nothing has no value.

    >>> share("touches", "null_share", "cookie_id", 5, 10).value
    0.5
    >>> share("touches", "null_share", "cookie_id", 0, 0).value is None
    True
    """
    if n <= 0:
        return Check(model, metric, segment, None, None, None, 0)
    p, z2 = hits / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z2 / (4 * n * n))
    return Check(model, metric, segment, p, min(max(middle - half, 0.0), p), max(min(middle + half, 1.0), p), n)


def count(model: str, metric: str, segment: str, events: int) -> Check:
    """A count with its Poisson interval (Anscombe's root).

    >>> count("touches", "rows", "all", 100).value
    100.0
    """
    root = math.sqrt(events + 3 / 8)
    low, high = max(root - Z95 / 2, 0.0) ** 2 - 3 / 8, (root + Z95 / 2) ** 2 - 3 / 8
    return Check(model, metric, segment, float(events), max(low, 0.0), high, events)


def mean(model: str, metric: str, segment: str, value: float | None, spread: float | None, n: int) -> Check:
    """A mean of n rows with its normal interval; `spread` is the rows' standard deviation."""
    if value is None or n <= 0:
        return Check(model, metric, segment, None, None, None, n)
    middle, half = _steady(value), _steady(Z95 * (spread or 0.0) / math.sqrt(n))
    return Check(model, metric, segment, middle, middle - half, middle + half, n)


def _steady(number: float) -> float:
    """The number without its last digits, which depend on the order in which a database's threads have added."""
    return float(f"{number:.12g}")


def plain(model: str, metric: str, segment: str, value: float | None, n: int) -> Check:
    """A value that has no interval."""
    return Check(model, metric, segment, value, None, None, n)


def to_arrow(day: str, checks: Iterable[Check]) -> pa.Table:
    """The checks as rows of the `checks` table."""
    rows = [{"day": day, **asdict(check)} for check in checks]
    return pa.Table.from_pylist(rows, schema=TABLES["checks"].schema)


def by_day(rows: pa.Table) -> dict[str, list[Check]]:
    """Rows of the `checks` table, as checks under their day."""
    days: dict[str, list[Check]] = {}
    for row in rows.to_pylist():
        days.setdefault(row.pop("day"), []).append(Check(**row))
    return days
