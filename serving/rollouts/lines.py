"""Evidence as lines of JSON: what is left of a line that a killed process, or a full disk, cut short is no evidence, and spoils none."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from serving import appending

log = logging.getLogger("serving.rollouts.lines")


def add(path: Path, content: Mapping[str, Any]) -> None:
    """Add a line, all of it or none. Raises OSError."""
    appending.add(path, orjson.dumps(content) + b"\n")


def read(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The whole lines from a place of the file on, and the place behind them, from which to read on."""
    with path.open("rb") as file:
        file.seek(start)
        whole, end, _torn = file.read().rpartition(b"\n")
    return list(_objects(whole, path)), start + len(whole) + len(end)


def _objects(whole: bytes, path: Path) -> Iterator[dict[str, Any]]:
    for text in whole.split(b"\n") if whole else ():
        try:
            yield orjson.loads(text)
        except orjson.JSONDecodeError:
            log.warning("A line of %s is no JSON, and is left out.", path)
