"""Shapley attribution: what each channel adds, averaged over all the orders in which a journey's channels could have come.

Which value a set of channels has is a choice. The plain one is how many conversions had no other channels than these: then
the answer has a closed form, each conversion shared alike by its distinct channels (`totals`, and `share` without `rates`).
The other is the rate at which journeys with no other channels than these converted (`fit`), so that journeys which led to
nothing count, too: solved exactly over all sets up to EXACT channels, beyond by drawing orders, with standard errors.

Shapley, L. S. (1953): A value for n-person games.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from whence.attribution import paths
from whence.attribution.paths import Floats, Ints, Paths

EXACT = 20
"""Up to so many channels all sets of them are looked at."""
ORDERS = 2000
"""Orders that are drawn beyond, each with its reverse."""
WORD = 62
"""Channels that one integer tells of."""


@dataclass(frozen=True)
class Estimate:
    """What each player adds, with its doubt."""

    values: Floats
    errors: Floats
    """Standard errors: 0 where the values are exact."""


@dataclass(frozen=True)
class Rates:
    """How often journeys converted that met exactly these channels, for each set of channels that was met."""

    channels: tuple[str, ...]
    members: scipy.sparse.csr_array
    """A row a set, a column a channel: 1 where the set has it."""
    conversions: Floats
    journeys: Floats
    """Of each set, those that converted and all."""

    def among(self, codes: Ints) -> Rates:
        """Of journeys that met no channels but those, which are the channels then."""
        others = np.ones(len(self.channels), dtype=np.int64)
        others[codes] = 0
        inside = np.flatnonzero(self.members @ others == 0)
        names = tuple(self.channels[code] for code in codes)
        return Rates(names, self.members[inside][:, codes], self.conversions[inside], self.journeys[inside])

    def of_sets(self) -> Floats:
        """The rate of journeys that met no other channels than a set, for each set: bit i of its place stands for channel i."""
        converted, whole = self.within_sets()
        return np.divide(converted, whole, out=np.zeros(len(whole)), where=whole > 0)

    def within_sets(self) -> tuple[Floats, Floats]:
        """How many journeys that met no other channels than a set converted, and how many there were, for each set."""
        place, sets = self.members @ (1 << np.arange(len(self.channels))), 1 << len(self.channels)
        converted, whole = (_subset_sums(np.bincount(place, each, sets)) for each in (self.conversions, self.journeys))
        return converted, whole

    def along(self, order: Ints) -> Floats:
        """The rate as one channel after the other is let in: before the first, then with each of `order` more."""
        when = np.empty(len(order), dtype=np.int64)
        when[order] = np.arange(1, len(order) + 1)
        is_met = np.diff(self.members.indptr) > 0
        complete = np.zeros(len(is_met), dtype=np.int64)  # a set's journeys count when the last of its channels is in
        complete[is_met] = np.maximum.reduceat(when[self.members.indices], self.members.indptr[:-1][is_met])
        n = len(order) + 1
        converted, whole = (np.cumsum(np.bincount(complete, each, n)) for each in (self.conversions, self.journeys))
        return np.divide(converted, whole, out=np.zeros(n), where=whole > 0)


def fit(journeys: Paths) -> Rates:
    """Conversion rates by set of channels, from journeys that converted and such as did not."""
    members = _distinct(journeys)
    group, first = _alike(members, len(journeys.channels))
    converted, lost = (np.bincount(group, each, len(first)) for each in (journeys.conversions, journeys.nulls))
    return Rates(journeys.channels, members[first], converted.astype(np.float64), (converted + lost).astype(np.float64))


def effects(rates: Rates, orders: int = ORDERS, seed: int = 0) -> Estimate:
    """What each channel adds to the conversion rate of all journeys: exact up to EXACT channels, else from drawn orders.

    >>> rates = fit(paths.of_texts(["a > b", "a", "b"], [3, 1, 0], [1, 3, 4]))
    >>> effects(rates).values.round(4).tolist()  # a alone 0.25, b alone 0, both 4 of 12
    [0.2917, 0.0417]
    """
    players = len(rates.channels)
    if players <= EXACT:
        return Estimate(exact(rates.of_sets()), np.zeros(players))
    return sampled(rates.along, players, orders, seed)


def totals(journeys: Paths, values: Floats | None = None) -> pd.Series:
    """What each channel is credited with when each conversion is shared alike by its distinct channels.

    This is the Shapley value, exactly, where a set of channels is worth the conversions that had no others than these.
    `values` are what each path is worth in all (by default its conversions).
    """
    members = _distinct(journeys)
    worth = journeys.conversions if values is None else values
    each = np.divide(worth, np.diff(members.indptr), out=np.zeros(len(worth)), where=np.diff(members.indptr) > 0)
    return pd.Series(members.T @ each, index=pd.Index(journeys.channels, name="channel"), dtype="float64")


def share(pairs: pd.DataFrame, rates: Rates | None = None, by: str = "channel") -> pd.Series:
    """Each pair's share: its conversion is shared by its distinct channels, and what a channel has by its touches alike.

    Without `rates` all channels of a conversion have the same. With them each has what it adds to the conversion rate among
    the channels of this journey; one that takes away from it has nothing, what journeys without any channel reach is left
    to no ad, and where nothing is known of these channels they share alike.
    """
    walked = paths.steps(pairs)
    names, channels = pd.factorize(walked.taken(pairs[by]).astype(object), sort=True)
    conversion = np.repeat(np.arange(len(walked.starts)), walked.length[walked.starts])
    met, of, touches = np.unique(conversion * max(len(channels), 1) + names, return_inverse=True, return_counts=True)
    conversion, name = np.divmod(met, max(len(channels), 1))
    starts = np.flatnonzero(np.diff(conversion, prepend=-1))
    sizes = np.diff(np.append(starts, len(met)))
    part = 1.0 / np.repeat(sizes, sizes) if rates is None else _by_rates(rates, channels, name, starts, sizes)
    return walked.by_pair((part / touches)[of])


def exact(values: npt.ArrayLike) -> Floats:
    """The Shapley value of each player in a game that gives `values[mask]` to the set of players in the bits of `mask`.

    >>> exact([0, 1, 2, 6]).tolist()  # alone 1 and 2, together 6
    [2.5, 3.5]
    """
    worth = np.asarray(values, dtype=np.float64)
    n = len(worth).bit_length() - 1
    if len(worth) != 1 << n:
        raise ValueError(f"A game of n players has 2^n values, and these are {len(worth)}.")
    if n == 0:
        return np.empty(0)
    joined = np.bitwise_count(np.arange(len(worth)))
    # whoever is in a set of s players joined s - 1 others; whoever is not would have joined s
    orders = np.array([0.0, *(1.0 / (n * comb(n - 1, size)) for size in range(n)), 0.0])
    inside, outside = worth * orders[joined], worth * orders[joined + 1]
    gained = inside + outside
    added: Floats = np.array([gained.reshape(-1, 2, 1 << i)[:, 1].sum() for i in range(n)])
    return added - float(outside.sum())


def sampled(along: Callable[[Ints], Floats], players: int, orders: int = ORDERS, seed: int = 0) -> Estimate:
    """Shapley values from drawn orders, each walked forwards and backwards, with the standard errors of the drawing.

    `along` tells the value before anybody has joined and after each player of the order has: players + 1 numbers.
    """
    draw = np.random.default_rng(seed)
    mean, squares = np.zeros(players), np.zeros(players)
    for count in range(1, orders + 1):
        order = draw.permutation(players)
        gained = np.empty((2, players))
        gained[0, order] = np.diff(along(order))
        gained[1, order[::-1]] = np.diff(along(order[::-1]))
        step = gained.mean(axis=0) - mean
        mean += step / count
        squares += step * (gained.mean(axis=0) - mean)
    return Estimate(mean, np.sqrt(squares / max(orders - 1, 1) / orders))


def _distinct(journeys: Paths) -> scipy.sparse.csr_array:
    """A row a journey, a column a channel: 1 where it was met."""
    ones = np.ones(len(journeys.codes), dtype=np.int64)
    met = scipy.sparse.csr_array(
        (ones, journeys.codes.copy(), journeys.starts.copy()), shape=(len(journeys), len(journeys.channels))
    )
    met.sum_duplicates()
    met.data[:] = 1
    return met


def _alike(members: scipy.sparse.csr_array, channels: int) -> tuple[Ints, Ints]:
    """The number of each row's set, and a row of each set."""
    group = np.zeros(members.shape[0], dtype=np.int64)
    for start in range(0, channels, WORD):
        bits = np.zeros(channels, dtype=np.int64)
        bits[start : start + WORD] = 1 << np.arange(min(WORD, channels - start))
        word, words = pd.factorize(members @ bits)
        group, _ = pd.factorize(group * max(len(words), 1) + word)
    return group, np.unique(group, return_index=True)[1]


def _subset_sums(table: npt.NDArray[np.number]) -> Floats:
    """For each set of bits the sum over its subsets."""
    sums = table.astype(np.float64)
    for i in range(len(table).bit_length() - 1):
        halves = sums.reshape(-1, 2, 1 << i)
        halves[:, 1] += halves[:, 0]
    return np.asarray(sums)


def _by_rates(rates: Rates, channels: npt.NDArray[np.object_], name: Ints, starts: Ints, sizes: Ints) -> Floats:
    """The part of each distinct channel of each conversion; conversions that met the same channels are solved once."""
    known = pd.Index(rates.channels).get_indexer(channels)[name]
    found = np.empty(len(name))
    solved: dict[bytes, Floats] = {}
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        codes = known[start : start + size]
        key = codes.tobytes()
        if key not in solved:
            solved[key] = _parts(rates, codes)
        found[start : start + size] = solved[key]
    return found


def _parts(rates: Rates, codes: Ints) -> Floats:
    here = rates.among(codes[codes >= 0])
    alone, whole = here.along(np.arange(len(here.channels)))[[0, -1]]
    if whole == 0:
        return np.full(len(codes), 1.0 / len(codes))
    added = np.zeros(len(codes))
    added[codes >= 0] = np.maximum(effects(here).values, 0.0)
    earned = max(1.0 - alone / whole, 0.0)
    return added * (earned / added.sum() if added.any() else 0.0)
