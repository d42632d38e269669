"""The journal for whoever asks it every second: who is champion, who would come back and who challenges, of every model at once.

A look asks for the rows from the newest known one on. While there is none but that, nothing else is read; where there are more, so
much of each as tells who follows whom, and whole, and verified, those alone that somebody is to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from registry.rollouts import WATCH, Rollout, stage_of
from registry.succession import PROMOTE, Told, challenger_of, champion_of, standing

if TYPE_CHECKING:
    from registry.journal import Journal
    from registry.succession import Promotion


class Promoted(Protocol):
    """A row that made a champion: the bundle, and the epoch that orders it."""

    @property
    def bundle(self) -> str:
        """The bundle's digest."""

    @property
    def epoch(self) -> int:
        """Rises with every row of the journal."""


class Standings(NamedTuple):
    """What is known of the journal, by model."""

    champions: Mapping[str, Promoted]
    before: Mapping[str, str]
    """The bundles that a rollback would bring back."""
    rollouts: Mapping[str, Rollout] | None
    """None when the journal cannot be read, and whoever is on trial stays so."""


class _Course(NamedTuple):
    """A model's rows, oldest first, and what they say."""

    rows: tuple[Told, ...]
    champion: Promotion | None
    before: str | None
    rollout: Rollout | None
    """A watch also when it is over."""


@dataclass
class Following:
    """A journal as it stands, asked often and from several threads."""

    journal: Journal
    clock: Callable[[], datetime]
    _known: tuple[Told | None, Mapping[str, _Course]] = field(default=(None, {}))
    """The newest row, and the course of each model; one reference, so that no thread takes something old for new."""

    def __call__(self) -> Standings:
        """How all models stand now. Raises Tampered where a row to follow is not the row that was written."""
        courses, now = self._courses(), self.clock()
        return Standings(
            {model: each.champion for model, each in courses.items() if each.champion},
            {model: each.before for model, each in courses.items() if each.before},
            {model: each.rollout for model, each in courses.items() if each.rollout and not each.rollout.is_over(now)},
        )

    def _courses(self) -> Mapping[str, _Course]:
        newest, courses = self._known
        rows = self.journal.told(newest.epoch if newest else 0)
        if newest is not None:
            if rows[:1] == [newest]:
                rows = rows[1:]
            else:  # it is another database, such as one that was restored
                courses, rows = {}, self.journal.told()
        if rows or not courses:
            courses = {
                **courses,
                **{model: self._course(courses.get(model), model, rows) for model in dict.fromkeys(row.model for row in rows)},
            }
            self._known = (rows[-1] if rows else None, courses)
        return courses

    def _course(self, known: _Course | None, model: str, news: Sequence[Told]) -> _Course:
        rows = (*(known.rows if known else ()), *(row for row in news if row.model == model))
        champion, challenger, stand = champion_of(rows), challenger_of(rows), standing(rows)
        tried = _tried(rows, champion) if challenger is None else None
        whole = self.journal.whole([row.epoch for row in (champion, challenger, tried) if row])
        rollout = None
        if challenger:
            rollout = stage_of(whole[challenger.epoch])
        elif champion and tried:
            since = datetime.fromisoformat(whole[champion.epoch].at)
            rollout = replace(stage_of(whole[tried.epoch]), stage=WATCH, share=1.0, epoch=champion.epoch, since=since)
        return _Course(rows, whole[champion.epoch] if champion else None, stand[-2].bundle if len(stand) > 1 else None, rollout)


def under_way(journal: Journal, now: datetime) -> Mapping[str, Rollout]:
    """The rollouts by model, as the journal has them: a challenger's stage, or the watch over a new champion."""
    return Following(journal, lambda: now)().rollouts or {}


def _tried(rows: Sequence[Told], champion: Told | None) -> Told | None:
    """The last step of the rollout at whose end the champion was promoted."""
    if champion is None or champion.kind != PROMOTE:
        return None
    tried = challenger_of(rows[: rows.index(champion)])
    return tried if tried and tried.bundle == champion.bundle else None
