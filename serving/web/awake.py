"""A worker that does not sleep between two requests that come close together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Awake:
    """Keeps the event loop looking for what comes next, for some time after each request.

    A core that has nothing to do is given away, by a virtual machine to others, and is slow to come back: the next request then
    finds its caches cold, and waits for longer than its own work takes. Looking on costs the CPU time of the looking.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        """For so long after each request."""
        self._seconds, self._clock, self._until = seconds, clock, 0.0
        self.is_looking = False

    def note(self) -> None:
        """A request is there; to be called on the event loop."""
        self._until = self._clock() + self._seconds
        if not self.is_looking:
            self.is_looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Have the loop look at its sockets once more without waiting, since there is something that it has to call."""
        if self._clock() < self._until:
            asyncio.get_running_loop().call_soon(self._look)
        else:
            self.is_looking = False
