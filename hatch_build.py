"""Builds what is written in C while whence is installed, where there is a C compiler; without it all works, and takes longer."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (
    "whence/trees/blend.c",
    "whence/calibration/staircase.c",
    "whence/identity/moment.c",
    "features/rows.c",
    "serving/cells.c",
)
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=off", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}")


class KernelHook(BuildHookInterface):
    """What hatchling calls before it packs or links the package."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the kernel beside its source, and let a wheel that holds it say which machines it is for."""
        for source in SOURCES:
            try:
                built = build(Path(self.root) / source, os.environ.get("CC", "cc"))
            except (OSError, subprocess.CalledProcessError) as wrong:
                self.app.display_warning(f"{source} was not built, and what it does will take longer: {_words(wrong)}")
                continue
            if version == "standard":
                build_data["artifacts"].append(f"/{built.relative_to(self.root)}")
                build_data.update(pure_python=False, infer_tag=True)


def build(source: Path, compiler: str) -> Path:
    """The kernel of this source, named by its digest; those of older sources go. Safe to run twice at once."""
    target = source.with_name(f"_{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}.so")
    if not target.exists():
        draft = target.with_suffix(f".{os.getpid()}")
        try:
            command = [shutil.which(compiler) or compiler, *FLAGS, "-o", str(draft), str(source)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    for other in source.parent.glob(f"_{source.stem}-*.so"):
        if other != target:
            other.unlink(missing_ok=True)
    return target


def _words(wrong: OSError | subprocess.CalledProcessError) -> str:
    return wrong.stderr.strip()[-500:] if isinstance(wrong, subprocess.CalledProcessError) else str(wrong)
