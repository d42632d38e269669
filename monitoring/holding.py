"""Days whose credit is not final: held by findings that say to publish nothing, until these are gone or a person lets go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from monitoring import findings
from monitoring.findings import OPEN, STOP, Finding
from whence.contracts.tables import TABLES
from whence.contracts.times import Window, utc
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

HOLD, RELEASE = "hold", "release"


class NotHeld(ValueError):
    """A day that nobody holds cannot be released."""


@dataclass(frozen=True)
class Hold:
    """Why a day is held."""

    day: str
    reason: str


def settle(settings: Settings, window: Window) -> list[Hold]:
    """Hold the days of the window whose findings ask for it, let go of those whose findings are gone; the days held now."""
    lake = Lake.of(settings)
    told = findings.by_day(lake.read("findings", window))
    for day in window:
        stops = [each for each in told.get(str(day), []) if each.level == STOP and each.status in ("", OPEN)]
        rows = [_row(str(day), HOLD, _about(stops), " ".join(each.reason for each in stops))] if stops else []
        lake.replace("holds", _as_table(rows), Window(day, day), {"kind": HOLD})
    return held(lake, window)


def held(lake: Lake, window: Window) -> list[Hold]:
    """The days of the window that are held, in order."""
    rows = lake.read("holds", window).to_pylist()
    released = {(row["day"], row["about"]) for row in rows if row["kind"] == RELEASE}
    return [Hold(row["day"], row["reason"]) for row in rows if row["kind"] == HOLD and (row["day"], row["about"]) not in released]


def release(settings: Settings, day: date, reason: str, who: str, now: datetime) -> Hold:
    """Let a held day be published, on the word of a person; what held it comes back. A day released twice stays as it was.

    It is about the findings of now: others that come later hold the day again. Raises NotHeld.
    """
    lake, today = Lake.of(settings), Window(day, day)
    hold = next((row for row in lake.read("holds", today).to_pylist() if row["kind"] == HOLD), None)
    if hold is None:
        raise NotHeld(f"Nothing holds {day}: `whence watch {day}` looks at it again, and says what it finds.")
    if held(lake, today):
        row = _row(str(day), RELEASE, hold["about"], reason, who, utc(now))
        lake.replace("holds", _as_table([row]), today, {"kind": RELEASE, "about": hold["about"]})
    return Hold(hold["day"], hold["reason"])


def _about(stops: Sequence[Finding]) -> str:
    """The same for the same harm, however its figures move when the day is watched again."""
    names = sorted({(each.model, each.metric, each.segment, each.cause) for each in stops})
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _row(day: str, kind: str, about: str, reason: str, who: str = "", at: datetime | None = None) -> Mapping[str, Any]:
    return {"day": day, "kind": kind, "about": about, "reason": reason, "who": who, "at": at}


def _as_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES["holds"].schema)
