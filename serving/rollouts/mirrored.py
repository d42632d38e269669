"""What champion and challenger said of the same questions, on disk: a line a question, until their labels are ripe."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from registry.rollouts import WATCH, Rollout
from serving.rollouts import lines
from serving.rollouts.tally import folder_of
from serving.scored import Scored

KEPT_DAYS = 30
"""How long mirrored questions are kept after the last of them; they name events and persons."""
COLUMNS = ("day", "subject", "option", "champion", "challenger")


@dataclass
class MirrorLog:
    """Appends to one process's own file of each day; for one thread."""

    home: Path
    process: str = field(default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(3)}")

    def write(self, rollout: Rollout, made_at: datetime, subject: str, champion: Scored, challenger: Scored) -> None:
        """Keep both probabilities of every option that both scored."""
        theirs = dict(zip(challenger.options, challenger.probability.tolist(), strict=True))
        ours = zip(champion.options, champion.probability.tolist(), strict=True)
        pairs = [(option, old, theirs[option]) for option, old in ours if option in theirs]
        line = {"watch": rollout.stage == WATCH, "subject": subject, "pairs": pairs}
        path = _folder(self.home, rollout) / f"day={made_at:%Y-%m-%d}" / f"{self.process}.jsonl"
        lines.add(path, line)


def days(home: Path, rollout: Rollout) -> list[date]:
    """The days that questions of this rollout were mirrored on, oldest first."""
    return sorted(date.fromisoformat(path.name.removeprefix("day=")) for path in _folder(home, rollout).glob("day=*"))


def read(home: Path, rollout: Rollout, until: date) -> pd.DataFrame:
    """Everything that both said until the end of a day, before the promotion or, in the watch, after it.

    A row an option, in the order of day and subject; a question that was asked twice counts once.
    """
    rows: list[tuple[str, str, str, float, float]] = []
    for day in days(home, rollout):
        if day <= until:
            rows += _rows(_folder(home, rollout) / f"day={day}", str(day), is_watch=rollout.stage == WATCH)
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(list(COLUMNS))
    return frame.drop_duplicates(["subject", "option"]).reset_index(drop=True)


def sweep(home: Path, under_way: Iterable[Rollout], now: datetime) -> list[str]:
    """Remove what rollouts left that ended long ago, and name them; their rows in the journal keep what decided."""
    kept = {folder_of(home, rollout) for rollout in under_way}
    ended = [folder for folder in sorted((home / "rollouts").glob("*")) if folder not in kept]
    old = [folder for folder in ended if _newest(folder) < now.timestamp() - KEPT_DAYS * 86_400]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in old]


def _newest(folder: Path) -> float:
    return max((each.stat().st_mtime for each in folder.rglob("*.jsonl")), default=0.0)


def _rows(folder: Path, day: str, *, is_watch: bool) -> list[tuple[str, str, str, float, float]]:
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in lines.read(path)[0]:
            if line["watch"] == is_watch:
                rows += [(day, line["subject"], option, old, new) for option, old, new in line["pairs"]]
    return rows


def _folder(home: Path, rollout: Rollout) -> Path:
    return folder_of(home, rollout) / "mirrored"
