"""Who answers a request, and who else hears of it: the one place where a challenger may take a share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from serving.champion import Champion, Follower
from serving.scored import Scored
from whence.bundle import Scorer

CHAMPION = "champion"


class Picked(NamedTuple):
    """The bundle that answers one request, from its first line to its last."""

    champion: Champion
    role: str = CHAMPION


class Mirrored(NamedTuple):
    """A question that was answered, for a challenger to answer as well, later and unseen."""

    model: str
    person_key: str
    picked: Picked
    scored: Scored
    again: Callable[[Scorer], Scored | None]
    """Ask the same question of another scorer; reads the features once more."""


class Picker(Protocol):
    """What the service asks of a rollout."""

    def pick(self, model: str, person_key: str) -> Picked | None:
        """Whose turn it is for this person; None when the model has no champion. It is called for every request: be quick."""

    def mirror(self, mirrored: Mirrored) -> None:
        """Hear of an answer; must neither block nor raise."""


class ChampionsAlone:
    """No rollout: the champion answers everybody."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def pick(self, model: str, person_key: str) -> Picked | None:
        """The champion."""
        champion = self._follower.lineup.get(model)
        return Picked(champion) if champion is not None else None

    def mirror(self, mirrored: Mirrored) -> None:
        """Nobody listens."""
