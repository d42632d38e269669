"""Tables to compare: thirty columns of the kinds that people have, shifted where they are told to be, and twelve kinds of dirt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd

NUMBERS, TEXTS = 20, 10
ROWS = 400
"""Rows of a dirty table."""
DIRTY = "dirty"
CHANNELS = np.array(["search", "social", "display", "video", "affiliate"], dtype=object)


def table(seed: int, rows: int, numbers: int = NUMBERS, texts: int = TEXTS) -> pd.DataFrame:
    """A table of one world: normal, log-normal, counted and rounded numbers, and categories of 3 to 30 values."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for place in range(numbers):
        kinds: list[Callable[[], Any]] = [
            lambda: rng.normal(10, 3, rows),
            lambda: rng.lognormal(2, 1, rows),
            lambda: rng.poisson(3, rows).astype(float),
            lambda: np.round(rng.uniform(0, 1, rows), 2),
        ]
        made[f"number_{place}"] = kinds[place % 4]()
    for place in range(texts):
        values = np.array([f"value_{each}" for each in range(3 + 3 * place)], dtype=object)
        weights = 1 / np.arange(1, len(values) + 1)
        made[f"text_{place}"] = rng.choice(values, rows, p=weights / weights.sum())
    return pd.DataFrame(made)


def dirty_tables() -> dict[str, tuple[pd.DataFrame, frozenset[str]]]:
    """Each dirty table by its name, with the columns that must be red."""
    every = frozenset((*clean().columns,))
    return {
        "empty": (clean().head(0), every),
        "one row": (clean().head(1), every),
        "all null": _with([None] * ROWS),
        "constant": _with([3.0] * ROWS),
        "infinities": _with([np.inf, -np.inf, 1.0, 2.0] * (ROWS // 4)),
        "mixed types": _with([1.5, "a", 2, b"x"] * (ROWS // 4)),
        "nested values": _with([[1, 2], {"a": None}, [], {"b": [3]}] * (ROWS // 4)),
        "one name twice": (pd.concat([clean(), clean()[[DIRTY]]], axis=1), frozenset((DIRTY, f"{DIRTY} (2)"))),
        "very long texts": _with(["x" * 200_000, "short", "words", "here"] * (ROWS // 4)),
        "huge whole numbers": _with([10**400, -(10**30), 2**63, 7] * (ROWS // 4)),
        "dates of mixed zones": _with(_dates()),
        "truths among others": _with([True, False, None, "yes"] * (ROWS // 4)),
    }


def clean(seed: int = 1) -> pd.DataFrame:
    """A small table without dirt."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"age": rng.normal(40, 9, ROWS), "channel": rng.choice(CHANNELS, ROWS), DIRTY: rng.normal(0, 1, ROWS)})


def _with(values: list[Any]) -> tuple[pd.DataFrame, frozenset[str]]:
    return clean().assign(**{DIRTY: pd.Series(values, dtype="object")}), frozenset((DIRTY,))


def _dates() -> list[datetime]:
    first = datetime(2026, 5, 1)  # noqa: DTZ001  without a zone on purpose
    zones = (None, UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-7)))
    return [(first + timedelta(hours=hour)).replace(tzinfo=zones[hour % 4]) for hour in range(ROWS)]
