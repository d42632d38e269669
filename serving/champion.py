"""Who serves now, and who is on trial: follows the journal, loads a bundle beside the one that serves, swaps one reference."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from registry.following import Promoted, Standings
from registry.rollouts import WATCH, Rollout, Step
from registry.succession import ABORT
from whence.bundle import BundleError, BundleMissing, Scorer
from whence.contracts.models import MODELS

RETRY_SECONDS = 10.0
SPARE = 2
"""Bundles of a model that stay loaded beside the champion and the one before: a challenger, and who was any of these a moment ago."""
log = logging.getLogger("serving.champion")


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


@dataclass
class Follower:
    """Keeps `lineup` at the journal's head; a champion that cannot be loaded leaves the last good one in place.

    A rollout's challenger is loaded beside it, never at the champion's cost, and so is the bundle that a rollback would bring back:
    going back waits for no check.
    """

    look: Callable[[], Standings]
    """At the journal; asked several times a second."""
    load: Callable[[str], Scorer]
    count: Callable[[str, str], None] = lambda model, outcome: None
    """Told of each swap: (model, "done" or "failed"); and of ("", "poll_failed")."""
    clock: Callable[[], float] = time.monotonic
    last_good: Callable[[], Mapping[str, Promoted]] = lambda: {}
    """By model what served here last, also before a restart."""
    lineup: Lineup = field(default_factory=lambda: MappingProxyType({}))
    trials: Mapping[str, Trial] = field(default_factory=lambda: MappingProxyType({}))
    """The rollouts whose challenger can be asked, by model."""
    refused: Mapping[str, Refused] = field(default_factory=lambda: MappingProxyType({}))
    """Challengers that cannot be loaded, or were stood down."""
    has_polled: bool = False
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)
    _standby: Mapping[str, str] = field(default_factory=dict)
    """By model the bundle that a rollback would bring back."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Over `trials`, `refused` and `_loaded`, which several threads change."""
    _loaded: dict[str, dict[str, Scorer]] = field(default_factory=dict)
    """By model and digest, the bundles asked for last, the newest at the end."""
    _champion_news: asyncio.Event = field(default_factory=asyncio.Event)
    _trial_news: asyncio.Event = field(default_factory=asyncio.Event)

    def poll(self) -> None:
        """Look at the journal once, and swap what changed. Blocks while a bundle is loaded and checked."""
        self.poll_champions()
        self.poll_trials()

    def poll_champions(self) -> None:
        """Put the journal's champions into the lineup, and end trials that are over."""
        told = self.look()
        for model in MODELS:
            if (head := told.champions.get(model)) is not None and self._is_news(model, head):
                self._swap(model, head)
        self.has_polled = True
        if told.rollouts is not None:
            for model in self.trials.keys() - told.rollouts.keys():
                self._set_trial(model, None)

    def poll_trials(self) -> None:
        """Load what stands beside the champions: challengers, and the champions before. Nothing changes while the journal is silent."""
        told = self.look()
        if told.rollouts is None:
            return
        for model in MODELS:
            if (rollout := told.rollouts.get(model)) is None or model not in self.lineup:
                self._set_trial(model, None)
            else:
                self._put(model, rollout)
        was, self._standby = self._standby, {model: digest for model, digest in told.before.items() if model in self.lineup}
        for model, digest in self._standby.items():
            if was.get(model) != digest:
                self._stand_by(model, digest)

    def stand_down(self, rollout: Rollout, step: Step | None) -> None:
        """Ask the challenger of this stage no more in this process: that need not wait until the journal can be written."""
        with self._lock:
            self.refused = MappingProxyType({**self.refused, rollout.model: Refused(rollout, step)})
        self._set_trial(rollout.model, None)

    async def follow(self, seconds: float = 1.0) -> None:
        """Poll for ever, beside the event loop; a journal that cannot be read is asked again.

        Champions and what stands beside them are followed each by itself: a rollback does not wait while a challenger is checked.
        They take turns, since answers wait for both.
        """
        await asyncio.gather(
            self._every(seconds, self.poll_champions, self._champion_news),
            self._every(seconds, self.poll_trials, self._trial_news, seconds / 2),
        )

    def wake(self) -> None:
        """Let the loop look now, and not when its time has come; for the event loop's thread alone."""
        self._champion_news.set()
        self._trial_news.set()

    async def _every(self, seconds: float, poll: Callable[[], None], news: asyncio.Event, after: float = 0.0) -> None:
        while True:
            await asyncio.sleep(after)
            news.clear()
            try:
                await asyncio.to_thread(poll)
            except Exception:
                log.exception("The journal cannot be read; who answers stays as it is.")
                self.count("", "poll_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), seconds - after)

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
            if model not in self.lineup:
                self._fall_back(model)
            return
        self._failed.pop(model, None)
        self._serve(model, scorer, head)

    def _fall_back(self, model: str) -> None:
        """Where nothing serves, as after a start, let that serve which did last."""
        if (last := self.last_good().get(model)) is None:
            return
        try:
            scorer = self._scorer(model, last.bundle)
        except (BundleError, OSError) as bad:
            log.error("%s, which served %s last, cannot serve either: %s", last.bundle[:12], model, bad)
        else:
            self._serve(model, scorer, last)

    def _serve(self, model: str, scorer: Scorer, row: Promoted) -> None:
        self.lineup = MappingProxyType({**self.lineup, model: Champion(scorer, row.epoch)})
        self.count(model, "done")
        log.info("Champion of %s is now %s (epoch %s)", model, row.bundle[:12], row.epoch)

    def _stand_by(self, model: str, digest: str) -> None:
        try:
            self._scorer(model, digest)
        except (BundleError, OSError) as bad:
            log.error("%s could not go back to %s: %s", model, digest[:12], bad)
        else:
            log.info("%s could go back to %s at once", model, digest[:12])

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
            champion, before = self.lineup.get(model), self._standby.get(model)
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
