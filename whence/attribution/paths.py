"""Paths: journeys as runs of channel numbers, one after the other, and how each of them ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from whence.attribution.told import Touches

GHOST = "eligible"
"""The kind of a touch that was held out: it was never met."""
AT_ONCE = 1_000_000
"""Touches that led to nothing that are looked at at a time."""
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


def of_journeys(pairs: pd.DataFrame, touches: Touches | None = None, by: str = "channel") -> Paths:
    """Paths of channels (or of another column, `by`): a journey that converted for each conversion in `pairs`, and nulls.

    `pairs` come from journeys.candidate_touches. `touches` are all of the time that is looked at: those that no conversion can
    owe itself to are journeys that led to nothing, one for each person and each time between that person's conversions, and
    one for each touch of nobody known. A journey that may still convert is one to nothing, as known now; so is a touch that
    the policy lets no conversion owe itself to.
    """
    walked = steps(pairs)
    codes, names = pd.factorize(walked.taken(pairs[by]))
    met = [_Met(codes, names, walked.length[walked.starts], np.ones(len(walked.starts)))]
    if touches is not None:
        met += _idle(pairs, touches, by)
    channels = sorted({name for each in met for name in each.names})
    places = [np.array([channels.index(name) for name in each.names], dtype=np.int32)[each.codes] for each in met]
    starts = np.concatenate([[0], np.cumsum(np.concatenate([each.lengths for each in met]))]).astype(np.int64)
    times = np.concatenate([each.times for each in met])
    is_null = np.arange(len(times)) >= len(walked.starts)
    return Paths(tuple(channels), np.concatenate(places), starts, np.where(is_null, 0.0, times), np.where(is_null, times, 0.0))


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


@dataclass(frozen=True)
class _Met:
    """Journeys one after the other."""

    codes: Ints | Codes
    """A place in `names` for each touch."""
    names: Sequence[str]
    lengths: Ints
    times: Floats
    """How many there are of each journey."""


def _idle(pairs: pd.DataFrame, touches: Touches, by: str) -> list[_Met]:
    """Journeys to nothing: those of persons, of whose touches a number each is held, and those of nobody known, by their one name."""
    con = touches.con
    bought = pairs[["person_id", "converted_at"]].dropna().drop_duplicates()
    ended = pa.array(_instants(bought["converted_at"]), pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    con.register("ends", pa.table({"person_id": pa.array(bought["person_id"], pa.string()), "ended": ended}))
    con.register("paid", pa.table({"touch_id": pa.array(pairs["touch_id"].unique(), pa.string())}))
    idle = f"(SELECT * FROM {touches.name} ANTI JOIN paid USING (touch_id) WHERE kind <> '{GHOST}')"
    alone = con.sql(f'SELECT "{by}", count(*) FROM {idle} WHERE person_id IS NULL GROUP BY ALL ORDER BY ALL').fetchall()
    told = con.sql(f"""
        SELECT i."{by}" AS name, i.person_id AS person, epoch_us(e.ended) AS since
        FROM {idle} i ASOF LEFT JOIN ends e ON i.person_id = e.person_id AND i.happened_at >= e.ended
        WHERE i.person_id IS NOT NULL ORDER BY i.person_id, i.happened_at, i.touch_id
    """)
    runs = _in_runs(told.to_arrow_reader(AT_ONCE))
    con.unregister("ends")
    con.unregister("paid")
    once = np.arange(len(alone))
    return [runs, _Met(once, [name for name, _ in alone], np.ones_like(once), np.array([n for _, n in alone], dtype=np.float64))]


def _in_runs(told: Iterable[pa.RecordBatch]) -> _Met:
    """Touches by journey: the next one begins where person or `since` are others than of the touch before."""
    codes, begins, names, before = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=bool)], dict[str, int](), (None, None)
    for rows in told:
        met, person = (rows[name].dictionary_encode() for name in ("name", "person"))
        since = pc.fill_null(rows["since"], -1).to_numpy()
        codes.append(
            np.array([names.setdefault(each, len(names)) for each in met.dictionary.to_pylist()], dtype=np.int32)[met.indices]
        )
        is_next = (np.diff(person.indices, prepend=-1) != 0) | (np.diff(since, prepend=since[:1]) != 0)
        is_next[:1] = before != (rows["person"][0].as_py(), since[0])
        begins.append(is_next)
        before = (rows["person"][-1].as_py(), since[-1])
    first = np.flatnonzero(np.concatenate(begins))
    lengths = np.diff(np.append(first, sum(map(len, codes))))
    return _Met(np.concatenate(codes), list(names), lengths, np.ones(len(lengths)))


def _objects(column: pd.Series) -> npt.NDArray[np.object_]:
    return np.asarray(column.to_numpy(dtype=object))


def _instants(column: pd.Series) -> npt.NDArray[np.datetime64]:
    return np.asarray(pd.to_datetime(column, utc=True, cache=False).to_numpy(dtype="datetime64[us]"))
