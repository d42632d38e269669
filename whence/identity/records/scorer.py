"""What every scorer of pairs can do, whether it learned from labels or not."""

from __future__ import annotations

from typing import Any, Protocol

from whence.identity.records.table import Evidence, Floats


class PairScorer(Protocol):
    """Turns evidence into log-odds that two records are of one person, and says what each signal added."""

    def log_odds(self, evidence: Evidence) -> Floats:
        """Natural log-odds of each pair, shape (pairs,)."""
        ...

    def contributions(self, evidence: Evidence) -> Floats:
        """What each signal adds, shape (pairs, signals + 1): the last column is the base, and rows sum to the log-odds."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which the same scorer can be made again."""
        ...
