"""What a person should know about promotions, kept beside the journal: an alias moved by hand, a champion that MLflow lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine, insert, select

from registry import rows
from registry.rows import alarms, stamp

if TYPE_CHECKING:
    from whence.contracts.settings import Settings


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


@dataclass(frozen=True)
class Alarms:
    """The alarms in the journal's database."""

    url: str

    @classmethod
    def of(cls, settings: Settings) -> Alarms:
        """The alarms of the settings' journal."""
        return cls(settings.journal_url)

    def keep(self, alarm: Alarm, *, is_standing: bool) -> None:
        """Keep an alarm; one of a standing condition, which is found again and again, is kept once."""
        with rows.writing(self._engine) as con:
            query = select(alarms.c.words).where(alarms.c.model == alarm.model, alarms.c.kind == alarm.kind)
            newest = con.execute(query.order_by(alarms.c.number.desc()).limit(1)).scalar()
            if not (is_standing and newest == alarm.words):
                con.execute(insert(alarms).values(vars(alarm)))

    def since(self, moment: datetime) -> list[Alarm]:
        """The alarms from an instant on, oldest first."""
        with self._engine.connect() as con:
            query = select(alarms).where(alarms.c.at >= stamp(moment)).order_by(alarms.c.number)
            return [
                Alarm(row["at"], row["model"], row["kind"], row["epoch"], row["words"]) for row in con.execute(query).mappings()
            ]

    @cached_property
    def _engine(self) -> Engine:
        return rows.open_engine(self.url)
