"""Rows of the decision log: what a model saw, what it said, what was done."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from whence.contracts.tables import TABLES
from whence.contracts.times import Window

if TYPE_CHECKING:
    import pandas as pd

    from serving.decision_log import Read
    from whence.bundle import Scorer

ROW = (
    *("decision_id", "made_at", "model", "bundle", "subject", "option", "score", "probability", "chosen"),
    *("micros", "degraded"),
)
"""What a line of the service's log holds, beside the inputs."""


def batch(
    day: Window, scorer: Scorer, subjects: pd.DataFrame, frame: pd.DataFrame, raw: Iterable[float], probability: Iterable[float]
) -> pa.Table:
    """The day's batch decisions of one model.

    `subjects` has the columns subject, made_at, and option and chosen where the model chooses; `frame` the model's inputs; all in the same order.
    A row's id follows from day, model, subject and option, so that a rerun gives the same rows.
    """
    options = subjects["option"].to_list() if "option" in subjects else [None] * len(subjects)
    keys = zip(subjects["subject"], options, strict=True)
    columns = {
        "day": [str(day)] * len(subjects),
        "decision_id": [decision_id(str(day), scorer.model, str(subject), str(option)) for subject, option in keys],
        "made_at": subjects["made_at"].to_list(),
        "route": ["batch"] * len(subjects),
        "model": [scorer.model] * len(subjects),
        "bundle": [scorer.digest] * len(subjects),
        "subject": subjects["subject"].to_list(),
        "option": options,
        "features": [as_json(row) for row in inputs(scorer.schema.names, frame)],
        "score": [float(value) for value in raw],
        "probability": [float(value) for value in probability],
        "chosen": [bool(value) for value in subjects["chosen"]] if "chosen" in subjects else [None] * len(subjects),
        **dict.fromkeys(("micros", "degraded"), [None] * len(subjects)),
    }
    return pa.table(columns, schema=TABLES["decisions"].schema)


def online(day: Window, lines: Sequence[Mapping[str, Any]], held: pa.Table) -> pa.Table:
    """The day's online decisions: those that the table holds already and the log's lines, each id once, by id."""
    rows = {row["decision_id"]: row for row in held.to_pylist() if row["route"] == "online"}
    for line in lines:
        made = {name: line.get(name) for name in ROW} | {
            "features": as_json(line["features"]),
            "day": str(day),
            "route": "online",
        }
        rows.setdefault(line["decision_id"], made)
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=TABLES["decisions"].schema)


def files(day: Window, found: Iterable[Read]) -> pa.Table:
    """The log's files of a day, as rows of the table."""
    return pa.Table.from_pylist([{"day": str(day), **asdict(each)} for each in found], schema=TABLES["decision_files"].schema)


def none_made() -> pa.Table:
    """No decisions."""
    return TABLES["decisions"].schema.empty_table()


def decision_id(*parts: str) -> str:
    """An id that follows from what was decided.

    >>> decision_id("2026-05-01", "identity-ranker", "e1", "p1")
    '456b9a3408b6dae18f44f99c5dc52250'
    """
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def inputs(names: Sequence[str], frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The model's inputs of each row by name, None where missing."""
    columns = {name: [plain(value) for value in frame[name].tolist()] for name in names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def plain(value: Any) -> Any:
    """A value that JSON has: text, a finite number, a truth, or None.

    >>> [plain(value) for value in (1.5, float("nan"), "a", True)]
    [1.5, None, 'a', True]
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if type(value).__name__ in ("NAType", "NaTType") else str(value)


def as_json(row: Mapping[str, Any]) -> str:
    """One row's inputs as the table keeps them: keys in order, no spaces."""
    return json.dumps(row, sort_keys=True, separators=(",", ":"))
