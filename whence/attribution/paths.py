"""Paths: journeys as runs of channel numbers, one after the other, and how each of them ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

GHOST = "eligible"
"""The kind of a touch that was held out: it was never met."""
Codes = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Paths:
    """Journeys, whether they led to a conversion or to nothing; those that are alike may be told once, with how many they are."""

    channels: tuple[str, ...]
    """What the codes stand for, in the order of the names."""
    codes: Codes
    """A channel for each touch, journey by journey, in the order of time."""
    starts: Ints
    """Where each journey starts among the codes, and at last where the last one ends."""
    conversions: Floats
    """How many journeys of each path converted."""
    nulls: Floats
    """How many of them did not."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ints:
        """The touches of each path."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Steps:
    """Where each touch stands in the journey of its conversion; all but `index` and `order` run in the order of journeys."""

    index: pd.Index
    """Of the pairs that were given."""
    order: npt.NDArray[np.intp]
    """The pairs by conversion, by time within it, and by touch_id at the same time."""
    starts: npt.NDArray[np.intp]
    """Where each conversion starts."""
    place: npt.NDArray[np.intp]
    """0 for the first touch."""
    length: npt.NDArray[np.intp]
    """Of the journey, at each of its touches."""

    def taken(self, column: pd.Series) -> npt.NDArray[np.object_]:
        """A column of the pairs in the order of journeys."""
        return np.asarray(column.to_numpy()[self.order])

    def sums(self, weights: Floats) -> Floats:
        """The sum over its conversion, at each touch."""
        if not len(weights):
            return weights
        return np.asarray(np.repeat(np.add.reduceat(weights, self.starts), self.length[self.starts]))

    def in_proportion(self, weights: Floats) -> pd.Series:
        """Shares by these weights, by pair: they sum to 1 in each conversion, and are alike where all its weights are 0."""
        return self.by_pair(self.proportions(weights))

    def proportions(self, weights: Floats) -> Floats:
        """The same in the order of journeys."""
        total = self.sums(weights)
        return np.divide(weights, total, out=1.0 / self.length, where=total > 0)

    def by_pair(self, values: Floats) -> pd.Series:
        """Values in the order of journeys, put back to the pairs as they were given."""
        given = np.empty(len(values), dtype=np.float64)
        given[self.order] = values
        return pd.Series(given, index=self.index)


def steps(pairs: pd.DataFrame) -> Steps:
    """The journeys in `pairs` (conversion_id, touched_at, touch_id), in whatever order the rows are.

    >>> at = pd.to_datetime(["2026-05-01T09:00Z", "2026-05-01T08:00Z"])
    >>> found = steps(pd.DataFrame({"conversion_id": "c", "touch_id": ["b", "a"], "touched_at": at}))
    >>> found.order.tolist(), found.place.tolist(), found.length.tolist()
    ([1, 0], [0, 1], [2, 2])
    """
    code, _ = pd.factorize(pairs["conversion_id"])
    at, touch = _instants(pairs["touched_at"]).astype(np.int64), _objects(pairs["touch_id"])
    order = np.arange(len(code))
    if not _in_order(code, at, touch):
        order = np.lexsort((pd.factorize(touch, sort=True)[0], at, code))
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    counts = np.diff(np.append(starts, len(code)))
    return Steps(pairs.index, order, starts, np.arange(len(code)) - np.repeat(starts, counts), np.repeat(counts, counts))


def alone(length: int) -> Steps:
    """The steps of one journey of so many touches, which come in its order.

    >>> alone(2).place.tolist(), alone(2).length.tolist(), alone(0).starts.tolist()
    ([0, 1], [2, 2], [])
    """
    place = np.arange(length)
    return Steps(pd.RangeIndex(length), place, place[:1], place, np.full(length, length))


def of_journeys(pairs: pd.DataFrame, touches: pd.DataFrame | None = None, by: str = "channel") -> Paths:
    """Paths of channels (or of another column, `by`): a journey that converted for each conversion in `pairs`, and nulls.

    `pairs` come from journeys.candidate_touches. `touches` (touch_id, person_id, happened_at, kind and `by`) are all of the
    time that is looked at: those that no conversion can owe itself to are journeys that led to nothing, one for each
    person and each time between that person's conversions, and one for each touch of nobody known. A journey that may still
    convert is one to nothing, as known now; so is a touch that the policy lets no conversion owe itself to.
    """
    walked = steps(pairs)
    parts = [walked.taken(pairs[by])]
    lengths = [walked.length[walked.starts]]
    if touches is not None:
        named, run = _idle(pairs, touches, by)
        parts.append(named)
        lengths.append(run)
    codes, channels = pd.factorize(np.concatenate(parts).astype(object), sort=True)
    ends = np.cumsum(np.concatenate(lengths))
    is_null = np.arange(len(ends)) >= len(walked.starts)
    starts = np.concatenate([[0], ends]).astype(np.int64)
    return Paths(tuple(channels), codes.astype(np.int32), starts, (~is_null).astype(np.float64), is_null.astype(np.float64))


def of_texts(texts: Sequence[str], conversions: npt.ArrayLike, nulls: npt.ArrayLike | None = None, separator: str = ">") -> Paths:
    """Paths as peers write them, "search > social", each with how many of its journeys converted and how many did not.

    >>> found = of_texts(["search > social", "social"], [2, 1], [5, 0])
    >>> found.channels, found.codes.tolist(), found.starts.tolist()
    (('search', 'social'), [0, 1, 1], [0, 2, 3])
    """
    named = [[name.strip() for name in text.split(separator) if name.strip()] for text in texts]
    codes, channels = pd.factorize(np.array([name for each in named for name in each], dtype=object), sort=True)
    starts = np.cumsum([0, *map(len, named)]).astype(np.int64)
    converted = np.asarray(conversions, dtype=np.float64)
    lost = np.zeros_like(converted) if nulls is None else np.asarray(nulls, dtype=np.float64)
    return Paths(tuple(channels), codes.astype(np.int32), starts, converted, lost)


def _in_order(code: Ints, at: Ints, touch: npt.NDArray[np.object_]) -> bool:
    same = np.diff(code) == 0
    tied = np.flatnonzero(same & (np.diff(at) == 0))
    return bool((np.diff(code) >= 0).all() and (np.diff(at)[same] >= 0).all() and (touch[tied] < touch[tied + 1]).all())


def _idle(pairs: pd.DataFrame, touches: pd.DataFrame, by: str) -> tuple[npt.NDArray[np.object_], Ints]:
    """The names that journeys to nothing met, one journey after the other, and how long each of them is."""
    met = touches[(touches["kind"] != GHOST) & ~touches["touch_id"].isin(pairs["touch_id"])].drop_duplicates("touch_id")
    bought = pairs[["person_id", "converted_at"]].dropna().drop_duplicates()
    is_end = np.arange(len(bought) + len(met)) < len(bought)
    person, people = pd.factorize(np.r_[_objects(bought["person_id"]), _objects(met["person_id"])], sort=True)
    touch = np.r_[np.zeros(len(bought), dtype=np.int64), pd.factorize(_objects(met["touch_id"]), sort=True)[0]]
    who = np.where(person < 0, len(people) + touch, person)  # nobody known is somebody else each time
    at = np.concatenate([_instants(bought["converted_at"]), _instants(met["happened_at"])])
    order = np.lexsort((touch, ~is_end, at, who))
    is_end, who = is_end[order], who[order]
    journey = np.cumsum(is_end | (np.diff(who, prepend=-1) != 0))[~is_end]
    first = np.flatnonzero(np.diff(journey, prepend=-1))
    return _objects(met[by])[order[~is_end] - len(bought)], np.diff(np.append(first, len(journey)))


def _objects(column: pd.Series) -> npt.NDArray[np.object_]:
    return np.asarray(column.to_numpy(dtype=object))


def _instants(column: pd.Series) -> npt.NDArray[np.datetime64]:
    return np.asarray(pd.to_datetime(column, utc=True).to_numpy(dtype="datetime64[us]"))
