"""A world with known truth: people, ads and conversions, told the way that trackers tell; the front door is `simulate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from whence.contracts.settings import Settings
from whence.contracts.times import Window

if TYPE_CHECKING:
    from whence.world.stream import WorldReport


def simulate(settings: Settings, window: Window | None = None, progress: Callable[[int, int], None] | None = None) -> WorldReport:
    """Make the world's event files below `settings.world_events`, unless the same world lies there already.

    The world is always made whole, since each day grows out of the one before; a `window` only says
    which days are needed, and one outside the world raises WorldError. `progress` is called with
    the days done and the days in all.
    """
    from whence.world.stream import make

    return make(settings, window, progress)
