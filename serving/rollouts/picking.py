"""Who answers a request, and who else hears of it: the one place where a challenger may take a share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from serving.champion import Champion, Trial
from serving.rollouts.rollout import Place
from serving.scored import Scored
from whence.bundle import Scorer

CHAMPION = "champion"


class HasScored(Protocol):
    """What the matcher found, with what the model scored for it."""

    @property
    def scored(self) -> Scored | None:
        """None where no model was asked."""


Found = TypeVar("Found", bound=HasScored)


class Turn(NamedTuple):
    """Where a person stands while a challenger is on trial."""

    trial: Trial
    place: Place
    arm: int


class Picked(NamedTuple):
    """The bundle that answers one request, from its first line to its last."""

    champion: Champion
    role: str = CHAMPION
    turn: Turn | None = None
    """None when nobody is on trial."""


class Mirrored(NamedTuple):
    """A question that was answered, for both bundles of a trial to answer again, later and unseen."""

    picked: Picked
    made_at: datetime
    subject: str
    again: Callable[[Scorer], Scored | None]
    """Ask the same question of a scorer; reads the features once more."""


class Picker(Protocol):
    """What the service asks of a rollout."""

    def pick(self, model: str, person_key: str) -> Picked | None:
        """Whose turn it is for this person; None when the model has no champion. It is called for every request: be quick."""

    async def answer(self, picked: Picked, ask: Callable[[Scorer], Awaitable[Found]]) -> tuple[Picked, Found]:
        """What the one whose turn it is answers, and who it was in the end: a challenger that fails is not heard."""

    def mirror(self, mirrored: Mirrored) -> None:
        """Hear of an answer that a model scored; must neither block nor raise."""
