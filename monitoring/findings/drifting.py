"""A factor that must be one, as observed over expected: the evidence that it is not, added up over days until it is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitoring.checks import Z95, Check

SHIFT = math.log(1.1)
"""The change that is to be found: a tenth."""
DAYS = 14
"""Days that evidence is added up over."""
DECISIVE = 3.0
"""A day that tells a tenth apart by so much (a day of some 350 events) can decide within two days."""
ENOUGH, ENOUGH_OF_FEW = 1.5, 3.5
"""The log-likelihood ratio that is believed where days are decisive, and where only more of them would tell.

Two days of 500 events see a tenth as 3.2 standard errors and no better: found in nine of ten cases, it costs a false alarm about
every two weeks. Where days hold less, so low a bar would cost as much and find little.
"""


@dataclass(frozen=True)
class Gathered:
    """The evidence for the change that explains the last days best."""

    evidence: float
    """Log-likelihood ratio of a change by SHIFT against none, since it began."""
    enough: float
    """The evidence that is believed for days like these."""
    distance: float
    """The mean logarithm of the factor over these days, weighed by what each knows."""
    sigmas: float
    days: int

    @property
    def is_enough(self) -> bool:
        """Whether it is believed."""
        return self.evidence >= self.enough


def gathered(checks: Sequence[Check]) -> Gathered | None:
    """The evidence up to the last of these days, each a factor with its interval; None where that day tells nothing.

    This is Page's cumulative sum, on both sides: what speaks against a change is forgotten once it outweighs all before.

    *Page, Continuous inspection schemes, Biometrika 41 (1954).*
    """
    if not checks or _told(checks[-1]) is None:
        return None
    days = [told for check in checks[-DAYS:] if (told := _told(check))]
    return max((_on_side(days, side) for side in (1.0, -1.0)), key=lambda each: each.evidence)


def _told(check: Check) -> tuple[float, float] | None:
    """The logarithm of a day's factor, and its standard error from the interval."""
    if not check.value or check.low is None or check.high is None or not 0 < check.low < check.high:
        return None
    return math.log(check.value), (math.log(check.high) - math.log(check.low)) / 2 / Z95


def _on_side(days: Sequence[tuple[float, float]], side: float) -> Gathered:
    evidence, known, summed, count = 0.0, 0.0, 0.0, 0
    for value, error in days:
        if evidence <= 0:
            evidence, known, summed, count = 0.0, 0.0, 0.0, 0
        evidence += (side * SHIFT * value - SHIFT**2 / 2) / error**2
        known, summed, count = known + 1 / error**2, summed + value / error**2, count + 1
    enough = ENOUGH if SHIFT**2 * known / count >= DECISIVE else ENOUGH_OF_FEW
    return Gathered(evidence, enough, summed / known, summed / math.sqrt(known), count)
