"""Bytes added to a file, all of them or none: what a full disk cut short is taken back, so that nothing half stands before the next."""

from __future__ import annotations

import os
from pathlib import Path


def add(path: Path, data: bytes, *, is_synced: bool = False) -> None:
    """Add bytes to a file that nobody else writes; with `is_synced` the disk has them, and the file's name, when this returns.

    Raises OSError when they cannot be added; then the file is as it was, or not there.
    """
    if is_new := not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        length = file.tell()
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
            if is_synced:
                os.fsync(file.fileno())
                _forget(file.fileno())
        except OSError:
            if is_new:
                path.unlink()
            else:
                file.truncate(length)
            raise
    if is_new and is_synced:
        _keep_name(path.parent)


def _forget(handle: int) -> None:
    """Let the system use the memory of what the disk has for what is written next: nobody here reads it again.

    Memory that was not used before is far dearer where a virtual machine gets it from its host page by page: ten times the
    time of a write, for which answers wait.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _keep_name(folder: Path) -> None:
    """A new file's name is on the disk when its folder is; and a new folder's when the one above it is."""
    for each in (folder, folder.parent):
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
