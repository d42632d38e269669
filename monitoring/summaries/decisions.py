"""All decisions of a model on a day, summed up a part at a time; and what its bundle learned from, as training left it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from whence.bundle import BundleError, bundle_manifest
from whence.contracts.times import Window
from whence.lake import Lake
from whence.summaries import from_rows, merge_all, summarise_batch
from whence.summaries.frame import Summaries

if TYPE_CHECKING:
    import duckdb

    from whence.contracts.settings import Settings

ROWS = 250_000
"""Decisions that are held at once."""
REFERENCE = "reference.parquet"
SUBJECT, SCORE, PROBABILITY = "subject", "score", "probability"
NUMBERS = ("DOUBLE", "BIGINT", "UBIGINT", "HUGEINT")
"""What DuckDB calls a number in JSON."""
OWN = (SUBJECT, SCORE, PROBABILITY)
"""What is summed up beside the inputs."""


def of_day(lake: Lake, model: str, window: Window) -> dict[str, Summaries]:
    """The inputs, the subject, the raw score and the probability of every decision of the model, by bundle."""
    with lake.connect(window, "decisions") as con:
        bundles = con.execute("SELECT DISTINCT bundle FROM decisions WHERE model = ? ORDER BY 1", [model]).fetchall()
        return {bundle: _of_bundle(con, model, bundle) for (bundle,) in bundles}


def learned_from(settings: Settings, model: str, bundle: str) -> Summaries | None:
    """What training summed up of the rows that the bundle learned from; None where nothing was kept.

    A recalibrated bundle has the trees of another, and so its reference.
    """
    found = sorted((settings.candidates / model).glob(f"*/{bundle}/{REFERENCE}"))
    if found:
        return _read(found[0])
    try:
        made = bundle_manifest(settings.bundles, bundle).get("about", {}).get("recalibrated", {})
    except BundleError:
        return None
    return learned_from(settings, model, made["from"]) if "from" in made else None


def _read(path: Path) -> Summaries:
    (only,) = from_rows(pq.read_table(path)).values()
    return only


def _of_bundle(con: duckdb.DuckDBPyConnection, model: str, bundle: str) -> Summaries:
    chosen = "FROM decisions WHERE model = ? AND bundle = ?"
    shape = con.execute(f"SELECT json_group_structure(features::JSON) {chosen}", [model, bundle]).fetchall()[0][0]
    kinds = {name: _kind(kind) for name, kind in json.loads(shape).items()}
    wanted = json.dumps(kinds).replace("'", "''")
    inputs = "".join(f', inputs."{name.replace(chr(34), chr(34) * 2)}"' for name in kinds)
    query = f"""
        SELECT subject, score, probability{inputs}
        FROM (SELECT subject, score, probability, from_json(features, '{wanted}') AS inputs {chosen})
    """
    found = merge_all(summarise_batch(part) for part in con.sql(query, params=[model, bundle]).to_arrow_reader(ROWS))
    return {**found, SUBJECT: replace(found[SUBJECT], names={})}  # how many there are is asked, not who


def _kind(found: object) -> str | list[str]:
    """The type that an input is read as: texts and lists of numbers stay so, other lists and mappings are texts, all else is a number."""
    kinds: Mapping[str, str] = {"VARCHAR": "VARCHAR", "BOOLEAN": "BOOLEAN"}
    if isinstance(found, list) and found[0] in NUMBERS:
        return ["DOUBLE"]
    return kinds.get(found, "DOUBLE") if isinstance(found, str) else "VARCHAR"
