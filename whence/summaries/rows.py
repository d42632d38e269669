"""Summaries as rows of the `summaries` table, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from whence.contracts.tables import TABLES
from whence.summaries.column import ADDED, Summary
from whence.summaries.frame import Summaries
from whence.summaries.histogram import Histogram

CODES, COUNTS = np.dtype("<u8"), np.dtype("<i8")
HISTOGRAMS = ("spread", "words")
WHOLE = ""
"""The part of a column that is all of it."""


def to_rows(summaries: Mapping[str, Summary], *, day: str, model: str, bundle: str = "") -> pa.Table:
    """A row for each column, and for each part of a column of vectors."""
    about = {"day": day, "model": model, "bundle": bundle}
    rows = [
        {**about, "column": name, "part": part, **_row(summary)}
        for name, each in summaries.items()
        for part, summary in {WHOLE: each, **each.parts}.items()
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["summaries"].schema)


def from_rows(rows: pa.Table) -> dict[tuple[str, str, str], Summaries]:
    """Summaries by column, under their (day, model, bundle)."""
    found: dict[tuple[str, str, str], dict[str, dict[str, Summary]]] = {}
    for row in rows.to_pylist():
        columns = found.setdefault((row["day"], row["model"], row["bundle"]), {})
        columns.setdefault(row["column"], {})[row.get("part") or WHOLE] = _summary(row)
    return {about: {name: _together(each) for name, each in columns.items()} for about, columns in found.items()}


def _together(parts: dict[str, Summary]) -> Summary:
    whole = parts.pop(WHOLE)
    return replace(whole, parts=parts) if parts else whole


def _row(summary: Summary) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(summary, name) for name in (*ADDED, "longest", "low", "high")}
    for name in HISTOGRAMS:
        histogram: Histogram = getattr(summary, name)
        row[f"{name}_bits"] = histogram.bits
        row[f"{name}_buckets"] = histogram.buckets.astype(CODES).tobytes()
        row[f"{name}_counts"] = histogram.counts.astype(COUNTS).tobytes()
    names = json.dumps({str(code): text for code, text in sorted(summary.names.items())}, ensure_ascii=False)
    return {**row, "names": names, "sketch": summary.sketch.astype(CODES).tobytes(), "distinct": summary.distinct}


def _summary(row: Mapping[str, object]) -> Summary:
    plain = {name: row.get(name) or 0 for name in ADDED}  # rows of before a kind was told apart hold none of it
    plain |= {name: row[name] for name in ("longest", "low", "high")}
    histograms = {
        name: Histogram(
            int(str(row[f"{name}_bits"])),
            np.frombuffer(_bytes(row[f"{name}_buckets"]), CODES),
            np.frombuffer(_bytes(row[f"{name}_counts"]), COUNTS),
        )
        for name in HISTOGRAMS
    }
    names = {int(code): text for code, text in json.loads(str(row["names"])).items()}
    return Summary(**plain, **histograms, names=names, sketch=np.frombuffer(_bytes(row["sketch"]), CODES))  # type: ignore[arg-type]


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
