"""Every attribution policy that ever credited a day, kept by its digest, so that an old day can be told by its own policy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from whence.attribution import policy as policies
from whence.attribution.policy import Policy, PolicyError, Problem

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

FOLDER = "policies"


def keep(settings: Settings) -> Path:
    """Keep the text of the policy in force below home/policies, under its digest; one that is there already stays."""
    text, _ = policies.source(settings.attribution.policy)
    file = settings.home / FOLDER / f"{policies.digest(policies.of(settings))}.toml"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    return file


def find(settings: Settings, digest: str) -> Policy | None:
    """The policy of a digest: the one in force, a preset, or one that was kept; None where its text is nowhere.

    Raises PolicyError for a kept file that is not what its name says.
    """
    for where in (settings.attribution.policy, *policies.presets()):
        if policies.digest(found := policies.load(where)) == digest:
            return found
    file = settings.home / FOLDER / f"{digest}.toml"
    if not file.exists():
        return None
    kept = policies.load(file)
    if policies.digest(kept) != digest:
        what = "The file was changed: its digest is another one than its name. Put the policy's own text back."
        raise PolicyError(str(file), (Problem(None, what),))
    return kept
