"""What was sent: a file that only grows, a line for each message that a channel took, under a lock that one sender holds."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def opened(folder: Path) -> Iterator[IO[str]]:
    """The record in the folder, for one sender at a time; the others wait until it is done or dead."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sent.jsonl").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def read(file: IO[str], channel: str) -> list[Mapping[str, Any]]:
    """The channel's messages, oldest first; a line that a kill cut off was not sent for all that anybody knows."""
    file.seek(0)
    found = []
    for line in file:
        try:
            each = json.loads(line)
        except ValueError:
            continue
        if each["channel"] == channel:
            found.append(each)
    return found


def add(file: IO[str], message: Mapping[str, Any]) -> None:
    """Write a message down, and do not return before the disk has it."""
    file.seek(0, os.SEEK_END)
    if file.tell():
        file.seek(file.tell() - 1)
        if file.read(1) != "\n":  # a kill cut the last line off
            file.write("\n")
    file.write(json.dumps(message, ensure_ascii=False) + "\n")
    file.flush()
    os.fsync(file.fileno())
