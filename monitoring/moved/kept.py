"""Answers that were given, kept below home/moved as JSON and as pages, with a page that lists them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from monitoring.attribution_report.kept import replace
from monitoring.moved import page
from monitoring.moved.why import Answer, as_dict, of_dict

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

INDEX = "index.html"


def shelf(settings: Settings) -> Path:
    """The folder of the pages, with a page that lists them, also where there is none yet."""
    folder = settings.home / "moved"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / INDEX).exists():
        _list(folder)
    return folder


def keep(settings: Settings, answer: Answer) -> Path:
    """Keep the answer, in place of an earlier one to the same question; give its page."""
    folder, name = shelf(settings), _name(answer)
    replace(folder / f"{name}.html", page.html(answer).encode())
    replace(folder / f"{name}.json", (json.dumps(as_dict(answer), indent=1, ensure_ascii=False) + "\n").encode())
    _list(folder)
    return folder / f"{name}.html"


def _list(folder: Path) -> None:
    told = [(f"{file.stem}.html", of_dict(json.loads(file.read_text()))) for file in sorted(folder.glob("*.json"))]
    told.sort(key=lambda pair: pair[1].days[::-1], reverse=True)
    replace(folder / INDEX, page.listed(told).encode())


def _name(answer: Answer) -> str:
    """A file's name that no other question has."""
    plain = re.sub(r"[^A-Za-z0-9_=-]+", "-", answer.metric)
    return f"{plain}-{hashlib.sha256(answer.metric.encode()).hexdigest()[:6]}_{'_'.join(answer.days)}"
