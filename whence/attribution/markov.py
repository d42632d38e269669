"""Markov attribution: how many conversions a chain over the last few channels loses when one of them leads nowhere.

Three things go by this name. The removal effects are the same in all of them. ChannelAttribution divides the conversions of
all journeys by the effects (`Markov.totals`), so that a channel may be credited for journeys that it was not in.
marketing-attribution-models divides each conversion by the effects of the channels in its own journey (`share`): this is
what is paid by, because it adds up conversion by conversion. mta credits a channel with the probability of the observed
converting paths that it is in, which is not the removal effect of the chain, and is not offered here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.linalg
import scipy.sparse

from whence.attribution import paths
from whence.attribution.paths import Codes, Floats, Ints, Paths

ORDERS = (1, 2, 3, 4)
DENSE = 3000
"""Up to so many states one factorisation of the whole chain gives every effect; beyond, journeys are followed step by step."""
STILL = 1e-13
"""The probability of a journey still going on at which the steps end: no probability of a conversion can be further off than that."""
MOST_STEPS = 20_000
BLOCK = 1 << 20
WIDE = 64
"""Channels that are followed at a time, in chains that are not dense."""


@dataclass(frozen=True)
class Chain:
    """Where journeys go next, by the state that they are in: the channels of their last few touches."""

    channels: tuple[str, ...]
    last: Codes
    """The channel of each state's last touch."""
    entry: Floats
    """The share of journeys that start in each state; the rest met nothing."""
    onward: Floats | scipy.sparse.csr_array
    """The probability of each state to come next, by state: a dense matrix up to DENSE states."""
    converts: Floats
    """The probability of a conversion coming next."""
    at_once: float
    """The share of journeys that converted and met nothing."""


@dataclass(frozen=True)
class Markov:
    """What a chain says of its channels."""

    order: int
    probability: float
    """Of a journey's conversion."""
    conversions: float
    """Of all journeys together."""
    removal: pd.Series
    """By channel, the share of conversions that is lost when whoever comes to it goes no further, 0 to 1."""

    def totals(self) -> pd.Series:
        """All conversions divided in proportion to the removal effects, as ChannelAttribution does."""
        whole = self.removal.sum()
        return self.removal * (self.conversions / whole if whole else 0.0)


def fit(journeys: Paths, order: int = 1) -> Markov:
    """The removal effects of a chain over the last `order` channels, from journeys that converted and such as did not.

    Raises ValueError for an order that is not one of ORDERS.

    >>> found = fit(paths.of_texts(["search > social", "social", "search"], [1, 1, 0], [0, 1, 1]))
    >>> found.probability, found.removal.round(3).to_dict()
    (0.5, {'search': 0.333, 'social': 1.0})
    """
    return _solved(chain(journeys, order), order, float(journeys.conversions.sum()))


def share(pairs: pd.DataFrame, model: Markov, by: str = "channel") -> pd.Series:
    """Each pair's share: its conversion is divided among its touches in proportion to their channels' removal effects.

    Where all of them are 0, or not known to the model, the touches of the conversion share alike.
    """
    walked = paths.steps(pairs)
    effect = pairs[by].map(model.removal).fillna(0.0)
    return walked.in_proportion(walked.taken(effect).astype("float64"))


def chain(journeys: Paths, order: int = 1) -> Chain:
    """The chain that these journeys went by, each weighing as much as there are of it."""
    if order not in ORDERS:
        raise ValueError(
            f"A chain remembers {ORDERS[0]} to {ORDERS[-1]} channels, not {order}. Set markov.order to one of {ORDERS}."
        )
    states, last = _states(journeys, order)
    n, weight = len(last), journeys.conversions + journeys.nulls
    is_met = journeys.lengths > 0
    first, final = journeys.starts[:-1][is_met], journeys.starts[1:][is_met] - 1
    entry = np.bincount(states[first], weight[is_met], n).astype(np.float64)
    converted = np.bincount(states[final], journeys.conversions[is_met], n).astype(np.float64)
    onward = _moves(states, journeys, weight, n)
    left = np.asarray(onward.sum(axis=1)).ravel() + np.bincount(states[final], weight[is_met], n)
    scale = np.divide(1.0, left, out=np.zeros(n), where=left > 0)
    whole = float(weight.sum()) or 1.0
    moved = onward * scale[:, None] if isinstance(onward, np.ndarray) else scipy.sparse.diags_array(scale) @ onward
    return Chain(
        journeys.channels, last, entry / whole, moved, converted * scale, float(journeys.conversions[~is_met].sum()) / whole
    )


def _states(journeys: Paths, order: int) -> tuple[Codes | Ints, Codes]:
    """The state that each touch leads into, as a number, and the channel of each state's last touch."""
    n = len(journeys.channels)
    if order == 1:
        return journeys.codes, np.arange(n, dtype=np.int32)
    if (n + 1) ** order >= 2**63:
        raise ValueError(f"{n} channels are too many for a chain of order {order}. Take a lower markov.order.")
    place = np.arange(len(journeys.codes)) - np.repeat(journeys.starts[:-1], journeys.lengths)
    key = journeys.codes.astype(np.int64) + 1
    for back in range(1, order):
        before = np.where(place >= back, np.roll(journeys.codes, back), -1)
        key += (before.astype(np.int64) + 1) * (n + 1) ** back
    states, keys = pd.factorize(key, sort=True)
    return states, (keys % (n + 1) - 1).astype(np.int32)


def _moves(states: Codes | Ints, journeys: Paths, weight: Floats, n: int) -> Floats | scipy.sparse.csr_array:
    """How many journeys went from each state to each other."""
    if n > DENSE:
        inner = np.ones(len(states), dtype=bool)
        inner[journeys.starts[1:][journeys.lengths > 0] - 1] = False
        at = np.flatnonzero(inner)
        each = np.repeat(weight, journeys.lengths)[at]
        return scipy.sparse.coo_array((each, (states[at], states[at + 1])), shape=(n, n)).tocsr()
    is_met = journeys.lengths > 0
    if len(weight) and (weight[is_met] == 1).all():  # counting is cheaper than adding: all neighbours, less those of two journeys
        counts = np.zeros(n * n, dtype=np.int64)
        for start in range(0, len(states) - 1, BLOCK):
            run = states[start : start + BLOCK + 1]
            counts += np.bincount(run[:-1].astype(np.int64) * n + run[1:], minlength=n * n)
        ends = journeys.starts[1:][is_met][:-1]
        counts -= np.bincount(states[ends - 1].astype(np.int64) * n + states[ends], minlength=n * n)
        return counts.reshape(n, n).astype(np.float64)
    each = np.repeat(weight, journeys.lengths)
    each[journeys.starts[1:][is_met] - 1] = 0.0
    keys = states[:-1].astype(np.int64) * n + states[1:]
    return np.asarray(np.bincount(keys, each[:-1], n * n).reshape(n, n), dtype=np.float64)


def _solved(told: Chain, order: int, conversions: float) -> Markov:
    whole, lost = _by_factors(told) if isinstance(told.onward, np.ndarray) else _by_steps(told)
    removal = lost / whole if whole > 0 else np.zeros(len(told.channels))
    return Markov(order, whole, conversions, pd.Series(removal, index=pd.Index(told.channels, name="channel"), dtype="float64"))


def _by_factors(told: Chain) -> tuple[float, Floats]:
    """The probability of a conversion, and how much of it goes through each channel, from one factorisation.

    N = (I − Q)^-1 says how often a state is visited after another. Journeys first come to the states S of a channel with
    the probabilities N[entry, S] N[S, S]^-1, and convert from there with N b: that is what is lost without them.
    """
    n = len(told.last)
    if not n:
        return told.at_once, np.empty(0)
    visits = scipy.linalg.inv(np.eye(n) - told.onward, overwrite_a=True, check_finite=False)
    met, converts = told.entry @ visits, visits @ told.converts
    whole = float(told.entry @ converts) + told.at_once
    if np.array_equal(told.last, np.arange(len(told.channels))):  # every channel is one state: no blocks to solve
        return whole, met / np.diag(visits) * converts
    lost = np.zeros(len(told.channels))
    for channel in range(len(lost)):
        inside = np.flatnonzero(told.last == channel)
        lost[channel] = np.linalg.solve(visits[np.ix_(inside, inside)].T, met[inside]) @ converts[inside]
    return whole, lost


def _by_steps(told: Chain) -> tuple[float, Floats]:
    """The same in a chain of many states: each channel's removal at once, until hardly a journey is still going on."""
    channels = len(told.channels)
    onward, converts = _without_loops(told)
    whole, found = 0.0, np.zeros(channels)
    for start in range(0, channels, WIDE):
        removed = np.arange(start, min(start + WIDE, channels))
        is_open = np.column_stack([told.last[:, None] != removed, np.ones((len(told.last), 1))])
        reached = told.entry @ _followed(onward, converts, is_open)
        whole = float(reached[-1])
        found[removed] = whole - reached[:-1]
    return whole + told.at_once, found


def _without_loops(told: Chain) -> tuple[scipy.sparse.csr_array, Floats]:
    """The chain without moves from a state to itself, which change where nothing ends up."""
    stays = told.onward.diagonal()
    scale = 1.0 / (1.0 - stays)
    onward = scipy.sparse.diags_array(scale) @ (told.onward - scipy.sparse.diags_array(stays))
    return onward.tocsr(), told.converts * scale


def _followed(onward: scipy.sparse.csr_array, converts: Floats, is_open: npt.NDArray[np.float64]) -> Floats:
    """The probability of a conversion from each state, in each column without going through the states closed there."""
    reached, going = np.zeros_like(is_open), np.ones(len(converts))
    for _ in range(MOST_STEPS):
        reached = (onward @ reached + converts[:, None]) * is_open
        going = onward @ going
        if going.max() <= STILL:
            return np.asarray(reached, dtype=np.float64)
    raise ValueError(
        f"Journeys still go on after {MOST_STEPS:,} steps, so the chain of {len(converts):,} states cannot be followed to its "
        "end. Take a lower markov.order, or look for a robot that goes to and fro."
    )
