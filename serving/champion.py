"""Who serves now, and who is on trial: follows the journal, loads a bundle beside the one that serves, swaps one reference."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

from registry.rollouts import WATCH, Rollout, Step
from registry.succession import ABORT
from whence.bundle import BundleError, BundleMissing, Scorer
from whence.contracts.models import MODELS

RETRY_SECONDS = 10.0
SPARE = 2
"""Bundles of a model that stay loaded beside the champion and the one before: a challenger, and who was any of these a moment ago."""
log = logging.getLogger("serving.champion")


class Promoted(Protocol):
    """What we ask of a journal's row: the bundle, and the epoch that orders it."""

    @property
    def bundle(self) -> str:
        """The bundle's digest."""

    @property
    def epoch(self) -> int:
        """Rises with every row of the journal."""


@dataclass(frozen=True)
class Champion:
    """A model that serves: its scorer, and the journal row that put it there."""

    scorer: Scorer
    epoch: int


Lineup = Mapping[str, Champion]
"""The champions by model; a request takes it once, so that it never sees a mixture."""


@dataclass(frozen=True)
class Trial:
    """A rollout with both of its bundles loaded; a request takes it once, too."""

    rollout: Rollout
    champion: Champion
    """In the watch over a new champion, the one before."""
    challenger: Champion


class Refused(NamedTuple):
    """A challenger that this process will not ask: since which row of the journal, and what that row's next should be."""

    rollout: Rollout
    step: Step | None


class _Seen(NamedTuple):
    """A look at the journal: its newest row (None when it did not say), when, and who served."""

    newest: int | None
    at: float
    lineup: Lineup


@dataclass
class Follower:
    """Keeps `lineup` at the journal's head; a champion that cannot be loaded leaves the last good one in place."""

    promoted: Callable[[str], Promoted | None]
    load: Callable[[str], Scorer]
    count: Callable[[str, str], None] = lambda model, outcome: None
    """Told of each swap: (model, "done" or "failed"); and of ("", "poll_failed")."""
    clock: Callable[[], float] = time.monotonic
    challenged: Callable[[str], Rollout | None] = lambda model: None
    """The model's rollout; its challenger is loaded, too, and never at the cost of the champion."""
    before: Callable[[str], str | None] = lambda model: None
    """The bundle that a rollback would bring back; it is kept loaded, so that going back waits for no check."""
    epoch: Callable[[], int | None] = lambda: None
    """The journal's newest row, cheap to ask: while it stays and nothing waits, all else is asked every RETRY_SECONDS alone.

    None asks for all else at once.
    """
    lineup: Lineup = field(default_factory=lambda: MappingProxyType({}))
    trials: Mapping[str, Trial] = field(default_factory=lambda: MappingProxyType({}))
    """The rollouts whose challenger can be asked, by model."""
    refused: Mapping[str, Refused] = field(default_factory=lambda: MappingProxyType({}))
    """Challengers that cannot be loaded, or were stood down."""
    has_polled: bool = False
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)
    _standby: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """By model the bundle that a rollback would bring back, and the epoch of the champion for which it was asked."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Over `trials`, `refused` and `_loaded`, which several threads change."""
    _loaded: dict[str, dict[str, Scorer]] = field(default_factory=dict)
    """By model and digest, the bundles asked for last, the newest at the end."""
    _is_cut_off: bool = False
    _is_challenged: bool = False
    """Whether a rollout was under way when they were asked for last."""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    """By kind of poll, the last look at all of it."""

    def poll(self) -> None:
        """Look at the journal once, and swap what changed. Blocks while a bundle is loaded and checked."""
        self.poll_champions()
        self.poll_trials()

    def poll_champions(self) -> None:
        """Put the journal's champions into the lineup."""
        look = self._look()
        if not self._failed and self._is_old(look, self._seen.get("champions")):
            return
        for model in MODELS:
            if (head := self.promoted(model)) is not None and self._is_news(model, head):
                self._swap(model, head)
        self.has_polled = True
        for model in self.trials:
            if self._rollout(model) is None:
                self._set_trial(model, None)
        self._seen["champions"] = look

    def poll_trials(self) -> None:
        """Load what stands beside the champions: challengers, and the champions before."""
        look = self._look()
        if not self._is_challenged and self._is_old(look, self._seen.get("trials")):
            return
        tried = [self._try(model) for model in MODELS]
        self._is_challenged = any(tried)
        for model, champion in self.lineup.items():
            if self._standby.get(model, (-1, None))[0] != champion.epoch:
                self._standby[model] = champion.epoch, self.before(model)
                self._stand_by(model)
        self._seen["trials"] = look

    def stand_down(self, rollout: Rollout, step: Step | None) -> None:
        """Ask the challenger of this stage no more in this process: that need not wait until the journal can be written."""
        with self._lock:
            self.refused = MappingProxyType({**self.refused, rollout.model: Refused(rollout, step)})
        self._set_trial(rollout.model, None)

    async def follow(self, seconds: float = 1.0) -> None:
        """Poll for ever, beside the event loop; a journal that cannot be read is asked again.

        Champions and what stands beside them are followed each by itself: a rollback does not wait while a challenger is checked.
        """
        await asyncio.gather(self._every(seconds, self.poll_champions), self._every(seconds, self.poll_trials))

    async def _every(self, seconds: float, poll: Callable[[], None]) -> None:
        while True:
            try:
                await asyncio.to_thread(poll)
            except Exception:
                log.exception("The journal cannot be read; who answers stays as it is.")
                self.count("", "poll_failed")
            await asyncio.sleep(seconds)

    def _look(self) -> _Seen:
        """How the journal stands before anything of it is read: what comes in the meantime is for the next look."""
        try:
            newest = self.epoch()
        except Exception:  # it is asked for all, and whoever asks says what is wrong
            newest = None
        return _Seen(newest, self.clock(), self.lineup)

    def _is_old(self, look: _Seen, last: _Seen | None) -> bool:
        """Whether there is nothing to ask: the journal and the lineup are those of the last look, which was not long ago."""
        if last is None or look.newest is None or self.trials:
            return False
        return last.newest == look.newest and last.lineup is look.lineup and look.at - last.at < RETRY_SECONDS

    def _is_news(self, model: str, head: Promoted) -> bool:
        now = self.lineup.get(model)
        if now is not None and head.epoch <= now.epoch:
            return False
        failed_epoch, failed_at = self._failed.get(model, (-1, 0.0))
        return failed_epoch != head.epoch or self.clock() - failed_at >= RETRY_SECONDS

    def _swap(self, model: str, head: Promoted) -> None:
        try:
            scorer = self._scorer(model, head.bundle)
        except (BundleError, OSError) as bad:
            log.error("Champion %s of %s cannot serve: %s", head.bundle[:12], model, bad)
            self._failed[model] = (head.epoch, self.clock())
            self.count(model, "failed")
            return
        self._failed.pop(model, None)
        self.lineup = MappingProxyType({**self.lineup, model: Champion(scorer, head.epoch)})
        self.count(model, "done")
        log.info("Champion of %s is now %s (epoch %s)", model, head.bundle[:12], head.epoch)

    def _stand_by(self, model: str) -> None:
        digest = self._standby[model][1]
        if digest is None:
            return
        try:
            self._scorer(model, digest)
        except (BundleError, OSError) as bad:
            log.error("%s could not go back to %s: %s", model, digest[:12], bad)
        else:
            log.info("%s could go back to %s at once", model, digest[:12])

    def _try(self, model: str) -> bool:
        """Put the model's rollout on trial as the journal has it; whatever is wrong with it, the champion answers.

        True when there is one, or when the journal did not say: then it is to be asked again.
        """
        rollout = self._rollout(model)
        if rollout is None or model not in self.lineup:
            self._set_trial(model, None)
        else:
            self._put(model, rollout)
        return rollout is not None or self._is_cut_off

    def _put(self, model: str, rollout: Rollout) -> None:
        now, refused = self.trials.get(model), self.refused.get(model)
        if now is not None and now.rollout == rollout:
            return
        if refused is not None and refused.rollout.epoch == rollout.epoch:
            self._set_trial(model, None)
            return
        try:
            trial = Trial(rollout, self._of(model, rollout.champion, rollout), self._of(model, rollout.challenger, rollout))
        except BundleMissing as missing:  # it may be on its way here
            log.warning("The challenger of %s is not here yet: %s", model, missing)
            self._set_trial(model, None)
        except (BundleError, OSError) as bad:
            log.error("Challenger %s of %s cannot be tried: %s", rollout.challenger[:12], model, bad)
            self.count(model, "failed")
            why = Step(ABORT, (f"It cannot be loaded: {bad}",))
            self.stand_down(rollout, None if rollout.stage == WATCH else why)
        else:
            self._set_trial(model, trial)
            log.info("%s of %s in %s (epoch %s)", rollout.challenger[:12], model, rollout.stage, rollout.epoch)

    def _rollout(self, model: str) -> Rollout | None:
        """The journal's word; while it cannot be read, whoever is on trial stays so."""
        try:
            rollout, self._is_cut_off = self.challenged(model), False
        except Exception as wrong:
            if not self._is_cut_off:
                log.error("The journal cannot be read, and whoever is on trial stays so: %s", wrong)
            self._is_cut_off = True
            trial = self.trials.get(model)
            return trial.rollout if trial else None
        return rollout

    def _of(self, model: str, digest: str, rollout: Rollout) -> Champion:
        return Champion(self._scorer(model, digest), rollout.epoch)

    def _set_trial(self, model: str, trial: Trial | None) -> None:
        """Put a trial in its place, or take it away; one that was stood down meanwhile does not come back."""
        with self._lock:
            refused = self.refused.get(model)
            if trial is not None and refused is not None and refused.rollout.epoch == trial.rollout.epoch:
                return
            others = {name: each for name, each in self.trials.items() if name != model}
            self.trials = MappingProxyType({**others, model: trial} if trial is not None else others)

    def _scorer(self, model: str, digest: str) -> Scorer:
        """A bundle, read and checked unless it is loaded still: a promotion that goes to and fro costs one check of each."""
        with self._lock:
            known = self._loaded.get(model, {}).get(digest)
        scorer = known or self._checked(model, digest)
        with self._lock:
            kept = {name: each for name, each in self._loaded.get(model, {}).items() if name != digest}
            champion, before = self.lineup.get(model), self._standby.get(model, (-1, None))[1]
            spare = [name for name in kept if name != before and not (champion and name == champion.scorer.digest)]
            for name in spare[:-SPARE]:
                del kept[name]
            self._loaded[model] = {**kept, digest: scorer}
        return scorer

    def _checked(self, model: str, digest: str) -> Scorer:
        scorer = self.load(digest)
        if scorer.model != model:
            raise BundleError(f"Bundle {digest[:12]} is a {scorer.model}, and the journal has it as {model}. Roll back.")
        return scorer
