"""What is written in C beside a module, and built when whence is installed; where it was not, the module does without it."""

from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path


def path(source: Path) -> Path:
    """Where the kernel of this very source lies once it is built."""
    return source.with_name(f"_{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}.so")


def loaded(source: Path) -> ctypes.PyDLL | None:
    """The kernel, which works on Python's objects; None when it was not built, or not for this machine."""
    try:
        return ctypes.PyDLL(str(path(source)))
    except OSError:
        return None
