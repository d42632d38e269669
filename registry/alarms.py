"""What a person should know about promotions, kept beside the journal: an alias moved by hand, a champion that MLflow lost.

What happened is told for a while. A condition that stands is told once, and until it is found to be over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, insert, or_, select

from registry import rows
from registry.rows import alarms, stamp

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

MOVED, LOST, BEHIND, TAMPERED = "moved", "lost", "behind", "tampered"
STANDING = (LOST, BEHIND, TAMPERED)
OVER = "over"
"""The kind of a row that ends the alarms of its model and words."""


@dataclass(frozen=True)
class Alarm:
    """One thing that a person should know."""

    at: str
    """UTC instant, ISO 8601."""
    model: str
    kind: str
    epoch: int
    """Of the champion at the time."""
    words: str

    def is_like(self, other: Alarm) -> bool:
        """Whether both tell the same of the same model, whenever that was."""
        return (self.model, self.kind, self.words) == (other.model, other.kind, other.words)


@dataclass(frozen=True)
class Alarms:
    """The alarms in the journal's database."""

    url: str

    @classmethod
    def of(cls, settings: Settings) -> Alarms:
        """The alarms of the settings' journal."""
        return cls(settings.journal_url)

    def settle(self, found: Sequence[Alarm], looked_for: Collection[str], now: datetime) -> None:
        """Keep what was found, what stands and is known already left out; and end what was looked for and not found."""
        with self._engine.connect() as con:
            if not any(_news(con, found, looked_for, now)):
                return
        with rows.writing(self._engine) as con:
            for alarm in list(_news(con, found, looked_for, now)):
                con.execute(insert(alarms).values(vars(alarm)))

    def since(self, moment: datetime) -> list[Alarm]:
        """What happened from an instant on, and what stands however long it has; oldest first.

        A version that MLflow has again is nobody's trouble. That somebody changed the journal is worth knowing, though it was
        put right.
        """
        with self._engine.connect() as con:
            return [each for each, is_over in _kept(con, stamp(moment)) if _concerns(each, is_over, stamp(moment))]

    @cached_property
    def _engine(self) -> Engine:
        return rows.open_engine(self.url)


def _news(con: Connection, found: Sequence[Alarm], looked_for: Collection[str], now: datetime) -> Iterator[Alarm]:
    """The rows that are to be added for what was found now."""
    standing = [each for each, is_over in _kept(con, stamp(now)) if each.kind in STANDING and not is_over]
    yield from (each for each in found if not any(each.is_like(other) for other in standing))
    for each in standing:
        if each.kind in looked_for and not any(each.is_like(other) for other in found):
            yield replace(each, at=stamp(now), kind=OVER)


def _kept(con: Connection, since: str) -> list[tuple[Alarm, bool]]:
    """Each standing alarm, and what happened since, oldest first; and whether it is over."""
    found: list[tuple[Alarm, bool]] = []
    wanted = or_(alarms.c.kind.in_((*STANDING, OVER)), alarms.c.at >= since)
    for row in con.execute(select(alarms).where(wanted).order_by(alarms.c.number)).mappings():
        alarm = Alarm(row["at"], row["model"], row["kind"], row["epoch"], row["words"])
        if alarm.kind != OVER:
            found.append((alarm, False))
            continue
        found = [(each, is_over or (each.model, each.words) == (alarm.model, alarm.words)) for each, is_over in found]
    return found


def _concerns(alarm: Alarm, is_over: bool, since: str) -> bool:
    if alarm.kind in STANDING and not is_over:
        return True
    return alarm.at >= since and alarm.kind != LOST
