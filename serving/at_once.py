"""Coroutines run where no event loop is: in threads, whose reads block, and in the batch."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from features.online import Columns, OnlineStore
from features.shelves import Asked, Question

Made = TypeVar("Made")


def at_once(work: Coroutine[Any, Any, Made]) -> Made:
    """What comes of work that never waits, as that with a Blocking store; raises RuntimeError for one that does.

    >>> async def sum_of(*numbers: int) -> int:
    ...     return sum(numbers)
    >>> at_once(sum_of(1, 2))
    3
    """
    try:
        work.send(None)
    except StopIteration as done:
        made: Made = done.value
        return made
    work.close()
    raise RuntimeError(f"{work} waits, and there is no event loop to wait on.")


@dataclass(frozen=True)
class Blocking:
    """An online store that is read by whoever asks, and makes them wait."""

    store: OnlineStore

    async def columns_awaited(self, asked: Asked, now: int, question: Question, *, is_whole: bool = False) -> list[Columns]:
        """See OnlineStore.columns."""
        return self.store.columns(asked, now, question, is_whole=is_whole)
