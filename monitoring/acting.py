"""What findings ask for and a machine may do: bring the champion before back, where the settings leave that to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from monitoring import findings
from monitoring.findings import OPEN
from whence.contracts.models import MODELS
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

AUTOMATIC, PERSON = "automatic", "person"
WHO = "monitoring"


class ActingError(ValueError):
    """The settings say something that cannot be done."""


def wanted(settings: Settings, day: date, level: str) -> tuple[str, ...]:
    """The models that a day's findings ask something for: recalibrate, retrain or rollback."""
    told = findings.by_day(Lake.of(settings).read("findings", Window(day, day))).get(str(day), [])
    asked = {each.model for each in told if each.level == level and each.status in ("", OPEN)}
    return tuple(model for model in MODELS if model in asked)


def roll_back(settings: Settings, day: date, models: Sequence[str], now: datetime) -> dict[str, str]:
    """Go back to the champion before for these models, if the settings leave that to a machine; what came of each, in words.

    Only a promoted champion is taken back, and only one that had decided by the end of the day whose findings ask: run again,
    or for a day long past, this does nothing more.
    """
    policy = settings.monitoring.rollback
    if policy not in (AUTOMATIC, PERSON):
        raise ActingError(f"monitoring.rollback cannot be '{policy}'. It may be {AUTOMATIC} or {PERSON}.")
    return {model: _rolled_back(settings, day, model, now) if policy == AUTOMATIC else _asked(model) for model in models}


def _asked(model: str) -> str:
    return f"a person is asked: whence rollback {model} --reason WHY"


def _rolled_back(settings: Settings, day: date, model: str, now: datetime) -> str:
    import registry
    from registry import succession

    champion = registry.champion(settings, model)
    if champion is None or champion.kind != succession.PROMOTE:
        return "nothing to take back: the champion came back by a rollback" if champion else "there is no champion"
    if not _has_decided(settings, model, champion.bundle, day):
        return f"the champion {champion.bundle[:12]} had not decided anything by {day}: the finding is about another"
    try:
        row = registry.rollback(settings, model, WHO, f"A finding of {day} asks for it.", now, expected_epoch=champion.epoch)
    except succession.Conflict:
        return "somebody else changed the champion meanwhile"
    except succession.JournalError as cannot:
        return str(cannot)
    return f"{row.bundle[:12]} is champion again"


def _has_decided(settings: Settings, model: str, bundle: str, day: date) -> bool:
    lake = Lake.of(settings)
    first = min((date.fromisoformat(each) for each in lake.days("decisions")), default=day)
    if first > day:
        return False
    with lake.connect(Window(first, day), "decisions") as con:
        query = "SELECT count(*) FROM decisions WHERE model = ? AND bundle = ?"
        return bool(con.execute(query, [model, bundle]).fetchall()[0][0])
