"""A verdict on each column of a table: what is wrong with it by itself, and what has changed against a reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from monitoring.summaries.distances import Distance, distances
from whence.summaries import Summary, summarise
from whence.summaries.frame import Summaries, distinct_names
from whence.summaries.vectors import LENGTH

LEAST_ROWS = 50
"""With fewer rows nothing is compared, and the column says so."""
LONG_TEXT = 1000
"""Characters of a text that is no value any more."""
SIGMAS = 4.0
GROWN = {"nulls": 0.05, "zeros": 0.1}
"""By how much a share of the rows may grow."""
MOST_UNSEEN = 0.05
"""The share of values that the reference does not have."""
NOTHING = Summary()


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a column; red as soon as there is anything."""

    column: str
    reasons: tuple[str, ...]
    distances: tuple[Distance, ...] = ()

    @property
    def is_red(self) -> bool:
        """Whether a person should look."""
        return bool(self.reasons)


def look(today: pd.DataFrame, reference: pd.DataFrame | None = None) -> list[Verdict]:
    """A verdict for each column of a table, whatever is in it; columns of one name are told apart by number.

    >>> [v.column for v in look(pd.DataFrame({"x": [None] * 60, "y": range(60)})) if v.is_red]
    ['x']
    """
    named = [str(name) for name in today.columns]
    twice = {name for name in named if named.count(name) > 1}
    doubled = {new for new, name in zip(distinct_names(named), named, strict=True) if name in twice}
    found = judge(summarise(today), None if reference is None else summarise(reference))
    said = ("more than one column has this name",)
    return [Verdict(v.column, said + v.reasons, v.distances) if v.column in doubled else v for v in found]


def judge(now: Summaries, then: Summaries | None = None) -> list[Verdict]:
    """The same for summaries: of a day, of a month."""
    if then is None:
        return [Verdict(name, tuple(_dirt(each, None))) for name, each in now.items()]
    return [_against(name, now.get(name, NOTHING), then.get(name, NOTHING)) for name in {**now, **then}]


def _against(name: str, now: Summary, then: Summary) -> Verdict:
    if now is NOTHING:
        return Verdict(name, ("the column is gone",))
    if then is NOTHING:
        return Verdict(name, ("the reference has no such column", *_dirt(now, None)))
    reasons = list(_dirt(now, then))
    if min(now.rows, then.rows) < LEAST_ROWS:
        return Verdict(name, tuple(reasons))
    reasons += _changes(now, then)
    found = distances(now, then) if min(now.held, then.held) >= LEAST_ROWS else []
    reasons += [
        f"{each.measure}{f' of {each.part}' if each.part else ''} is {each.value:.3g}, and chance stays below {each.threshold:.3g}"
        for each in found
        if each.is_drift
    ]
    return Verdict(name, tuple(reasons), tuple(found))


def _dirt(now: Summary, then: Summary | None) -> Iterator[str]:
    """What is wrong with a column by itself; what the reference has, too, is no news, unless nothing can be done with it."""
    if now.rows < LEAST_ROWS:
        yield f"too few rows to compare: {now.rows}"
    if now.rows and not now.held:
        yield "every value is missing"
    if now.infinite and (then is None or not then.infinite):
        yield f"{now.infinite:,} of {now.rows:,} values are infinite"
    if now.held > 1 and now.distinct == 1 and (then is None or then.distinct > 1):
        yield "every value is the same"
    if len(now.kinds) > 1:
        yield "kinds are mixed: " + ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in now.kinds.items())
    if now.vectors:
        yield from _odd_vectors(now, then)
    if now.others:
        yield f"{now.others:,} values are lists, mappings or the like"
    if now.inexact:
        yield f"{now.inexact:,} whole numbers are too large to be told apart as floats"
    if now.longest > LONG_TEXT:
        yield f"a text has {now.longest:,} characters"


def _odd_vectors(now: Summary, then: Summary | None) -> Iterator[str]:
    lengths = now.parts[LENGTH]
    if lengths.low < lengths.high and (then is None or len(then.parts.get(LENGTH, NOTHING).spread.buckets) < 2):
        yield f"vectors are of different lengths, {lengths.low:,.0f} to {lengths.high:,.0f} numbers"
    if now.lacking:
        yield f"{now.lacking:,} of {now.vectors:,} vectors lack numbers"


def _changes(now: Summary, then: Summary) -> Iterator[str]:
    for count, most in GROWN.items():
        a, b = getattr(now, count) / now.rows, getattr(then, count) / then.rows
        if a - b > max(most, SIGMAS * _error(a, b, now.rows, then.rows)):
            yield f"{a:.1%} are {count}, and {b:.1%} were"
    if set(now.kinds) != set(then.kinds) and now.held and then.held and len(now.kinds) == 1:
        yield f"it holds {_listed(now)}, and held {_listed(then)}"
    unseen = unseen_share(now, then)
    if unseen is not None:
        usual = float((then.words.counts == 1).sum() / then.words.total)  # Good 1953: so much more of the world is not met yet
        if unseen - usual > max(MOST_UNSEEN, SIGMAS * _error(unseen, usual, now.held, then.held)):
            yield f"{unseen:.1%} of the values are new"


def unseen_share(now: Summary, then: Summary) -> float | None:
    """Of a column of texts, the share of values that the reference does not have; None where too many differ to say."""
    if not now.is_words or not now.words.total or not now.words.is_exact or not then.words.is_exact or not then.words.total:
        return None
    known = pd.Index(then.words.buckets)
    return float(now.words.counts[~pd.Index(now.words.buckets).isin(known)].sum() / now.words.total)


def _error(a: float, b: float, n: int, m: int) -> float:
    return math.sqrt(max(a * (1 - a), 1 / n) / n + max(b * (1 - b), 1 / m) / m)


def _listed(summary: Summary) -> str:
    return " and ".join(kind.replace("_", " ") for kind in summary.kinds)
