"""A challenger tried on real requests: it answers its share of the people, answers are counted, questions are asked again."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from registry.rollouts import WATCH
from registry.succession import SHADOW
from serving.at_once import at_once
from serving.champion import Follower, Trial
from serving.rollouts.mirror import Mirror
from serving.rollouts.mirrored import MirrorLog
from serving.rollouts.picking import Found, Mirrored, Picked, Turn
from serving.rollouts.rollout import ARMS, place
from serving.rollouts.tally import Seen, Tally
from serving.scored import Scored
from serving.web.shapes import RequestError
from whence.bundle import Scorer
from whence.measures.arms import CHALLENGER, CHAMPION

log = logging.getLogger("serving.rollouts.trying")


@dataclass
class Trying:
    """The picker of a service that follows rollouts; without one it is the champion's alone.

    In a canary, answers to people are counted by arm. In the shadow, and in the watch over a new champion, one bundle answers
    everybody, so that what is counted are the questions that both were asked again.
    """

    follower: Follower
    tally: Tally
    again: Mirror
    log: MirrorLog
    key: bytes
    """Draws who is in a canary."""
    count: Callable[[str, str], None] = lambda model, outcome: None
    """Told of each question to be asked again: (model, "asked", "dropped" or "failed")."""
    clock: Callable[[], float] = time.time
    _order: Iterator[tuple[int, int]] = field(default_factory=lambda: cycle(((CHAMPION, CHALLENGER), (CHALLENGER, CHAMPION))))

    def pick(self, model: str, person_key: str) -> Picked | None:
        """Whose turn it is; what is asked for nobody in particular is the champion's."""
        trial, champion = self.follower.trials.get(model), self.follower.lineup.get(model)
        if trial is None or not person_key or champion is None or champion.epoch > trial.rollout.epoch:
            return Picked(champion) if champion is not None else None  # a later champion, as by a rollback, ends every trial
        stands = place(self.key, trial.rollout, person_key)
        arm = stands.arm(trial.rollout.share)
        role = ARMS[CHAMPION if trial.rollout.stage == WATCH else arm]  # in the watch the challenger is champion already
        return Picked(trial.challenger if arm == CHALLENGER else trial.champion, role, Turn(trial, stands, arm))

    async def answer(self, picked: Picked, ask: Callable[[Scorer], Awaitable[Found]]) -> tuple[Picked, Found]:
        """The answer of the one whose turn it is; where the challenger fails, or scores what is no number, the champion's."""
        turn = picked.turn
        if turn is None:
            return picked, await ask(picked.champion.scorer)
        seen, found = await _asked(turn.arm, turn.place.group, picked.champion.scorer, ask)
        if not _is_by_both(turn.trial):
            self._note(turn.trial, seen)
        if isinstance(found, Exception):
            if turn.arm == CHAMPION or isinstance(found, RequestError):
                raise found
            log.error("The challenger of %s failed, and the champion answers: %r", turn.trial.rollout.model, found)
        elif turn.arm == CHAMPION or not seen.is_wild:
            return picked, found
        instead = Picked(turn.trial.champion, ARMS[CHAMPION], turn)
        return instead, await ask(turn.trial.champion.scorer)

    def mirror(self, mirrored: Mirrored) -> None:
        """Let both be asked again when there is time."""
        turn = mirrored.picked.turn
        if turn is None:
            return
        rollout = turn.trial.rollout
        is_taken = self.again.offer(lambda: self._ask_both(turn, mirrored), rollout.policy.mirror_duty)
        self.count(rollout.model, "asked" if is_taken else "dropped")

    def _ask_both(self, turn: Turn, mirrored: Mirrored) -> None:
        """Ask one and then the other, in turns of who is first, and keep what both said."""

        async def ask(scorer: Scorer) -> _Again:
            return _Again(mirrored.again(scorer))

        scored: dict[int, Scored] = {}
        for arm in next(self._order):
            bundle = turn.trial.challenger if arm == CHALLENGER else turn.trial.champion
            seen, found = at_once(_asked(arm, turn.place.group, bundle.scorer, ask))
            if _is_by_both(turn.trial):
                self._note(turn.trial, seen)
            if isinstance(found, Exception):
                self.count(turn.trial.rollout.model, "failed")
            elif found.scored is not None and not seen.is_wild:
                scored[arm] = found.scored
        if len(scored) == 2:
            self.log.write(turn.trial.rollout, mirrored.made_at, mirrored.subject, scored[CHAMPION], scored[CHALLENGER])

    def _note(self, trial: Trial, seen: Seen) -> None:
        """Count an answer that a model was asked for, or that failed."""
        if seen.has_failed or seen.probability is not None or seen.is_wild:
            self.tally.note(trial.rollout, seen, self.clock())


@dataclass(frozen=True)
class _Again:
    scored: Scored | None


def _is_by_both(trial: Trial) -> bool:
    """True in the stages whose evidence are questions that both are asked again."""
    return trial.rollout.stage in (SHADOW, WATCH)


async def _asked(
    arm: int, group: int, scorer: Scorer, ask: Callable[[Scorer], Awaitable[Found]]
) -> tuple[Seen, Found | Exception]:
    """What came of asking, and what it was like."""
    started = time.perf_counter()
    try:
        found = await ask(scorer)
    except RequestError as wrong:  # the caller's fault, not the model's
        return Seen(arm, group, 0.0), wrong
    except Exception as failed:
        return Seen(arm, group, time.perf_counter() - started, has_failed=True), failed
    seconds, scored = time.perf_counter() - started, found.scored
    if scored is None or not len(scored.options):
        return Seen(arm, group, seconds), found
    surest = float(scored.probability.max())
    is_sound = bool(np.isfinite(scored.raw).all()) and float(scored.probability.min()) >= 0 and surest <= 1
    return Seen(arm, group, seconds, is_wild=not is_sound, probability=surest if is_sound else None), found
