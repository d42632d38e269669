"""One column's summary: how many of what kind, how they are spread, how many different ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from whence.summaries import distinct
from whence.summaries.histogram import ALL_BITS, Codes, Histogram
from whence.summaries.vectors import NORM

KINDS = ("numbers", "truths", "texts", "instants", "naive_instants", "vectors", "others")
EMPTY = Histogram(ALL_BITS, np.zeros(0, np.uint64), np.zeros(0, np.int64))
NAME_LENGTH = 80
"""Characters of a text that are kept to name it."""


@dataclass(frozen=True, eq=False)
class Summary:
    """What is kept of a column's values. Counts add up: rows = nulls + the kinds of KINDS; a NaN is a null."""

    rows: int = 0
    nulls: int = 0
    numbers: int = 0
    truths: int = 0
    texts: int = 0
    instants: int = 0
    """Points in time with a zone."""
    naive_instants: int = 0
    """Points in time of which nobody knows the zone."""
    vectors: int = 0
    """Rows of numbers, as embeddings are; see whence.summaries.vectors."""
    others: int = 0
    """Other lists, mappings, and whatever else is no value; counted by how they read."""
    infinite: int = 0
    """Values that are infinite, and vectors that hold an infinity."""
    zeros: int = 0
    """Values that are zero, and vectors of zeros alone."""
    inexact: int = 0
    """Whole numbers of which a float does not keep every digit."""
    longest: int = 0
    """Characters of the longest text."""
    low: float = math.inf
    """The least finite number, truth (0, 1) or instant (seconds since 1970)."""
    high: float = -math.inf
    spread: Histogram = EMPTY
    """Finite numbers, truths and instants."""
    words: Histogram = EMPTY
    """Texts and others, by hash."""
    names: Mapping[int, str] = field(default_factory=dict)
    """The texts behind the hashes, while each has a bucket of its own."""
    sketch: Codes = field(default_factory=lambda: distinct.NONE)
    """See whence.summaries.distinct."""
    parts: Mapping[str, Summary] = field(default_factory=dict)
    """Of vectors: their lengths, norms, and places along each direction."""

    @property
    def held(self) -> int:
        """Values that are there."""
        return self.rows - self.nulls

    @property
    def kinds(self) -> dict[str, int]:
        """How many there are of each kind that is there."""
        return {kind: count for kind in KINDS if (count := getattr(self, kind))}

    @property
    def is_words(self) -> bool:
        """Whether it is a column of texts more than of numbers."""
        return self.texts + self.others > self.held - self.texts - self.others

    @property
    def is_vectors(self) -> bool:
        """Whether it is a column of vectors more than of anything else."""
        return self.vectors > self.held - self.vectors

    @property
    def lacking(self) -> int:
        """Vectors that lack some of their numbers."""
        return self.parts[NORM].nulls if NORM in self.parts else 0

    @property
    def distinct(self) -> float:
        """How many different values, about."""
        return distinct.estimate(self.sketch)

    def merge(self, other: Summary) -> Summary:
        """What one look at the rows of both would have given, exactly."""
        words = self.words.merge(other.words)
        added = {name: getattr(self, name) + getattr(other, name) for name in ADDED}
        return Summary(
            **added,
            longest=max(self.longest, other.longest),
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            spread=self.spread.merge(other.spread),
            words=words,
            names={**self.names, **other.names} if words.is_exact else {},
            sketch=distinct.merge(self.sketch, other.sketch),
            parts=_merged(self.parts, other.parts),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Summary):
            return False
        same = (getattr(self, f.name) == getattr(other, f.name) for f in fields(self) if f.name != "sketch")
        return all(same) and np.array_equal(self.sketch, other.sketch)

    def __hash__(self) -> int:
        return hash((self.rows, self.nulls, self.spread, self.words))


ADDED = ("rows", "nulls", *KINDS, "infinite", "zeros", "inexact")


def _merged(one: Mapping[str, Summary], other: Mapping[str, Summary]) -> dict[str, Summary]:
    nothing = Summary()
    return {name: one.get(name, nothing).merge(other.get(name, nothing)) for name in {**one, **other}}
