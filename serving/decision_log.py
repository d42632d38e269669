"""The service's decisions on disk: a JSON line each, safe before the answer goes out, read a day at a time."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass
class DecisionLog:
    """Appends decisions to `folder`/day=…/<hour>-<process>.jsonl; those that wait together share one fsync."""

    folder: Path
    name: str = field(default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(3)}")
    _waiting: list[tuple[Sequence[Row], asyncio.Future[None]]] = field(default_factory=list)
    _writer: asyncio.Task[None] | None = None

    async def write(self, rows: Sequence[Row]) -> None:
        """Return when the rows are on the disk; raises OSError when they cannot be."""
        if not rows:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        await done

    async def close(self) -> None:
        """Return when nothing waits any more."""
        if self._writer is not None:
            await self._writer

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, [row for rows, _ in batch for row in rows])
            except OSError as failed:
                self.name = f"{os.getpid()}-{secrets.token_hex(3)}"  # the old file may end in half a line
                _settle(batch, failed)
            else:
                _settle(batch, None)

    def _append(self, rows: Sequence[Row]) -> None:
        files: dict[Path, list[Row]] = {}
        for row in rows:
            files.setdefault(self._file(row["made_at"]), []).append(row)
        for path, part in files.items():
            append(path, part)

    def _file(self, made_at: datetime) -> Path:
        return self.folder / f"day={made_at:%Y-%m-%d}" / f"{made_at:%H}-{self.name}.jsonl"


@dataclass(frozen=True)
class Lines:
    """What a day's files hold."""

    rows: tuple[dict[str, Any], ...]
    unreadable: int
    """Lines that are no decision; the torn last line of a killed process is not counted."""


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add lines to a file, and do not return before the disk has them."""
    text = "".join(json.dumps(row, default=_text, separators=(",", ":")) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        _write_all(file.fileno(), text.encode())
        os.fsync(file.fileno())


def read(folder: Path, day: str) -> Lines:
    """Every decision of the day, from all processes, in the order of file names and lines."""
    rows: list[dict[str, Any]] = []
    unreadable = 0
    for path in sorted((folder / f"day={day}").glob("*.jsonl")):
        for line in _whole_lines(path):
            row = _parse(line)
            if row is None:
                unreadable += 1
            else:
                rows.append(row)
    return Lines(tuple(rows), unreadable)


def _settle(batch: Sequence[tuple[Sequence[Row], asyncio.Future[None]]], failed: OSError | None) -> None:
    for _, done in batch:
        if done.cancelled():
            continue
        if failed is None:
            done.set_result(None)
        else:
            done.set_exception(failed)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _whole_lines(path: Path) -> Iterator[bytes]:
    *whole, _torn = path.read_bytes().split(b"\n")
    yield from whole


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
        return {**row, "made_at": datetime.fromisoformat(row["made_at"])}
    except (ValueError, KeyError, TypeError):
        return None


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"A decision cannot carry {type(value).__name__}.")
