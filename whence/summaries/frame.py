"""Summaries of a table's columns, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
import pyarrow as pa

from whence.summaries.column import Summary
from whence.summaries.reading import of_arrow, of_series

Summaries = dict[str, Summary]


def summarise(frame: pd.DataFrame) -> Summaries:
    """A summary for each column; of columns with one name the second is called `name (2)`.

    >>> found = summarise(pd.DataFrame({"x": [1.0, 0.0, None], "y": ["a", "b", "a"]}))
    >>> found["x"].nulls, found["x"].zeros, found["y"].distinct
    (1, 1, 2.0)
    """
    names = distinct_names([str(name) for name in frame.columns])
    return {name: of_series(frame.iloc[:, place]) for place, name in enumerate(names)}


def summarise_batch(rows: pa.RecordBatch | pa.Table) -> Summaries:
    """The same for Arrow."""
    names = distinct_names(rows.schema.names)
    return {name: of_arrow(rows.column(place)) for place, name in enumerate(names)}


def merge_all(parts: Iterable[Summaries]) -> Summaries:
    """The summaries of all parts together; a column that a part lacks counts as null in its rows."""
    whole: Summaries = {}
    rows = 0
    for part in parts:
        came = max((each.rows for each in part.values()), default=0)
        for name in {**whole, **part}:
            then = whole.get(name) or Summary(rows=rows, nulls=rows)
            now = part.get(name) or Summary(rows=came, nulls=came)
            whole[name] = then.merge(now)
        rows += came
    return whole


def distinct_names(names: Sequence[str]) -> list[str]:
    """Names of which each is there once.

    >>> distinct_names(["x", "y", "x"])
    ['x', 'y', 'x (2)']
    """
    return list(_numbered(names))


def _numbered(names: Sequence[str]) -> Iterator[str]:
    met: dict[str, int] = {}
    for name in names:
        met[name] = met.get(name, 0) + 1
        yield name if met[name] == 1 else f"{name} ({met[name]})"
