"""How much is taken on: by each token in a second, by the queue, and by time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Buckets:
    """A bucket of permits for each caller, filled at `rate` a second up to `burst` seconds' worth.

    >>> at = [0.0]
    >>> buckets = Buckets(2.0, lambda: at[0], burst=1.0)
    >>> [buckets.wait("ann", 1) for _ in range(3)]
    [0.0, 0.0, 0.5]
    >>> at[0] = 0.5
    >>> buckets.wait("ann", 1), buckets.wait("bob", 1)
    (0.0, 0.0)
    """

    rate: float
    clock: Callable[[], float]
    burst: float = 2.0
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, caller: str, cost: int) -> float:
        """Take `cost` permits and give 0; or take none, and give the seconds until they would be there.

        More than a full bucket's worth is let through when the bucket is full, and is owed.
        """
        now, full = self.clock(), self.rate * self.burst
        left, at = self._left.get(caller, (full, now))
        left = min(full, left + (now - at) * self.rate)
        wanted = min(cost, full)
        if left < wanted:
            self._left[caller] = left, now
            return (wanted - left) / self.rate
        self._left[caller] = left - cost, now
        return 0.0
