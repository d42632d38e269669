"""Who serves now: follows the journal, loads a champion beside the one that serves, and swaps one reference."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from whence.bundle import BundleError, Scorer
from whence.contracts.models import MODELS

RETRY_SECONDS = 10.0
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


@dataclass
class Follower:
    """Keeps `lineup` at the journal's head; a champion that cannot be loaded leaves the last good one in place."""

    promoted: Callable[[str], Promoted | None]
    load: Callable[[str], Scorer]
    count: Callable[[str, str], None] = lambda model, outcome: None
    """Told of each swap: (model, "done" or "failed"); and of ("", "poll_failed")."""
    clock: Callable[[], float] = time.monotonic
    lineup: Lineup = field(default_factory=lambda: MappingProxyType({}))
    has_polled: bool = False
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)

    def poll(self) -> None:
        """Look at the journal once, and swap what changed. Blocks while a bundle is loaded and checked."""
        for model in MODELS:
            if (head := self.promoted(model)) is not None and self._is_news(model, head):
                self._swap(model, head)
        self.has_polled = True

    async def follow(self, seconds: float = 1.0) -> None:
        """Poll for ever, beside the event loop; a journal that cannot be read is asked again."""
        while True:
            try:
                await asyncio.to_thread(self.poll)
            except Exception:
                log.exception("The journal cannot be read; the champions stay as they are.")
                self.count("", "poll_failed")
            await asyncio.sleep(seconds)

    def _is_news(self, model: str, head: Promoted) -> bool:
        now = self.lineup.get(model)
        if now is not None and head.epoch <= now.epoch:
            return False
        failed_epoch, failed_at = self._failed.get(model, (-1, 0.0))
        return failed_epoch != head.epoch or self.clock() - failed_at >= RETRY_SECONDS

    def _swap(self, model: str, head: Promoted) -> None:
        try:
            scorer = self._loaded(model, head)
        except (BundleError, OSError) as bad:
            log.error("Champion %s of %s cannot serve: %s", head.bundle[:12], model, bad)
            self._failed[model] = (head.epoch, self.clock())
            self.count(model, "failed")
            return
        self._failed.pop(model, None)
        self.lineup = MappingProxyType({**self.lineup, model: Champion(scorer, head.epoch)})
        self.count(model, "done")
        log.info("Champion of %s is now %s (epoch %s)", model, head.bundle[:12], head.epoch)

    def _loaded(self, model: str, head: Promoted) -> Scorer:
        now = self.lineup.get(model)
        if now is not None and now.scorer.digest == head.bundle:
            return now.scorer
        scorer = self.load(head.bundle)
        if scorer.model != model:
            raise BundleError(f"Bundle {head.bundle[:12]} is a {scorer.model}, and was promoted as {model}. Roll back.")
        return scorer
