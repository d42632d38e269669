"""Rules of attribution: how a conversion's one unit of credit is shared among its touches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from whence.attribution import paths
from whence.attribution.paths import Codes, Floats, Ints, Paths, Steps
from whence.attribution.policy import Policy

RULES = ("last_touch", "first_touch", "linear", "position", "time_decay")
RANKER = "ranker"
TIME_DECAY = "time_decay"
HALF_LIFE_DAYS = 2.0
ENDS = 0.4
"""What position gives to the first touch and to the last, where the policy does not say."""
BLOCK = 1 << 15
"""Touches that totals are taken over at a time, so that they stay in the cache."""


def share(pairs: pd.DataFrame, algorithm: str, policy: Policy | None = None) -> pd.Series:
    """Each pair's share under a rule; the shares of a conversion sum to 1. Index as in `pairs`, whose rows may lie in any order.

    `pairs` come from journeys.candidate_touches; where some of them are left out, the others share as if those had not
    been. Raises ValueError for a rule that there is not.

    - last_touch, first_touch: all to one touch.
    - linear: the same to each.
    - position: parts to the first and to the last (`first` and `last` of the policy, 40 % each if it does not say), the rest
      shared between; for two, in the proportion of the parts.
    - time_decay: weight 2^(−age / half-life), age counted back from the conversion (`half_life_days`, 2 if it does not say).
    """
    walked = paths.steps(pairs)
    hours = walked.taken(pairs["hours_before"]).astype("float64") if algorithm == TIME_DECAY else np.empty(0)
    return walked.by_pair(shares_along(walked, hours, algorithm, policy or Policy()))


def shares_along(walked: Steps, hours_before: Floats, algorithm: str, policy: Policy) -> Floats:
    """`share` in the order of journeys, as `hours_before` are: time_decay alone reads them."""
    match algorithm:
        case "last_touch":
            weight = (walked.place == walked.length - 1).astype("float64")
        case "first_touch":
            weight = (walked.place == 0).astype("float64")
        case "linear":
            weight = np.ones(len(walked.place))
        case "position":
            weight = _position(walked, policy)
        case "time_decay":
            weight = _decayed(walked, hours_before, _half_life_hours(policy))
        case _:
            raise ValueError(f"There is no attribution rule '{algorithm}'. Take one of {', '.join(RULES)}.")
    return walked.proportions(weight)


def ranker_share(pairs: pd.DataFrame, probability: pd.Series | np.ndarray) -> pd.Series:
    """Each pair's share by its probability of having earned the conversion; what is left of 1 goes to no ad.

    A conversion whose probabilities sum to more than 1 is scaled down to 1.
    """
    walked = paths.steps(pairs)
    return walked.by_pair(ranker_shares_along(walked, np.asarray(probability, dtype="float64")[walked.order]))


def ranker_shares_along(walked: Steps, probability: Floats) -> Floats:
    """`ranker_share` in the order of journeys, as the probabilities are."""
    return probability / np.maximum(walked.sums(probability), 1.0)


def clean_share(pairs: pd.DataFrame, share_of: Callable[[pd.DataFrame], pd.Series]) -> pd.Series:
    """The shares when suspect touches (`suspect` is not empty) earn nothing, as if they had not been: theirs is 0."""
    clean = pairs[pairs["suspect"] == ""]
    if len(clean) == len(pairs):
        return share_of(pairs)
    return share_of(clean).reindex(pairs.index, fill_value=0.0)


def totals(journeys: Paths, hours_before: Floats, policy: Policy | None = None, values: Floats | None = None) -> pd.DataFrame:
    """What each channel is credited with by each rule: a row a channel, a column a rule, for millions of journeys at once.

    `hours_before` tells for each touch how long before the conversion it was; `values` what each path is worth in all
    (by default its conversions). The same credit as by `share`, summed in floating point: each figure is within 1e-9 of it.

    >>> found = totals(paths.of_texts(["a > b > b", "b"], [3, 1]), np.array([48.0, 24.0, 0.0, 0.0]))
    >>> found.loc["b"].round(2).to_dict()
    {'last_touch': 4.0, 'first_touch': 1.0, 'linear': 3.0, 'position': 2.8, 'time_decay': 3.32}
    """
    n, worth = len(journeys.channels), journeys.conversions if values is None else values
    found = np.zeros((n, len(RULES)))
    for block in _blocks(journeys):
        edges = journeys.starts[block.start : block.stop + 1]
        codes, hours, lengths = journeys.codes[edges[0] : edges[-1]], hours_before[edges[0] : edges[-1]], np.diff(edges)
        is_paid = (worth[block] != 0) & (lengths > 0)
        if not is_paid.all():
            kept = np.repeat(is_paid, lengths)
            codes, hours, lengths = codes[kept], hours[kept], lengths[is_paid]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        found += _credited(n, codes, starts, hours, worth[block][is_paid], policy or Policy())
    return pd.DataFrame(found, index=pd.Index(journeys.channels, name="channel"), columns=list(RULES))


def _half_life_hours(policy: Policy) -> float:
    return 24 * policy.parameter("time_decay", "half_life_days", HALF_LIFE_DAYS)


def _position(walked: Steps, policy: Policy) -> Floats:
    first, last, between = _parts(walked.length, policy)
    return np.where(walked.place == 0, first, np.where(walked.place == walked.length - 1, last, between))


def _parts(length: npt.NDArray[np.integer], policy: Policy) -> tuple[Floats, Floats, Floats]:
    """What the first touch, the last and each between have by position, in journeys of these lengths."""
    first, last = policy.parameter("position", "first", ENDS), policy.parameter("position", "last", ENDS)
    of_two = first / (first + last) if first + last else 0.5
    over = max(first + last, 1.0)
    between = (1.0 - (first + last) / over) / np.maximum(length - 2, 1)
    return (
        np.select([length == 1, length == 2], [1.0, of_two], first / over),
        np.select([length == 1, length == 2], [0.0, 1.0 - of_two], last / over),
        np.where(length > 2, between, 0.0),
    )


def _decayed(walked: Steps, hours: Floats, half_life: float) -> Floats:
    """Counted from the last touch, so that the weights of an old journey do not all vanish."""
    if not len(hours):
        return hours
    least = np.minimum.reduceat(hours, walked.starts)
    return np.asarray(np.exp2((np.repeat(least, walked.length[walked.starts]) - hours) / half_life))


def _blocks(journeys: Paths) -> Iterator[slice]:
    """Runs of whole journeys of about BLOCK touches."""
    edges = np.searchsorted(journeys.starts, np.arange(0, journeys.starts[-1], BLOCK)).tolist()
    for start, stop in pairwise(dict.fromkeys([*edges, len(journeys)])):
        yield slice(start, stop)


def _credited(n: int, codes: Codes, starts: Ints, hours: Floats, worth: Floats, policy: Policy) -> Floats:
    """A block's credit, of journeys that met something: a row for each of `n` channels, a column for each of RULES."""
    length, first, last = np.diff(starts), codes[starts[:-1]], codes[starts[1:] - 1]
    for_first, for_last, between = _parts(length, policy)
    evenly = _sums(n, codes, starts, np.ones(len(codes)), np.column_stack([worth / length, worth * between]))
    position = evenly[:, 1] + np.bincount(first, worth * (for_first - between), n) + np.bincount(last, worth * for_last, n)
    position -= np.bincount(last, np.where(length > 1, worth * between, 0.0), n)
    decayed = np.exp2((np.repeat(hours[starts[1:] - 1], length) - hours) / _half_life_hours(policy))
    time_decay = _sums(n, codes, starts, decayed, worth / np.add.reduceat(decayed, starts[:-1]))
    return np.column_stack([np.bincount(last, worth, n), np.bincount(first, worth, n), evenly[:, 0], position, time_decay])


def _sums(n: int, codes: Codes, starts: Ints, weights: Floats, each: Floats) -> Floats:
    """Over all touches, by channel: the touch's weight times what its journey brings to each, by a sparse matrix of the two."""
    met = scipy.sparse.csc_array((weights, codes, starts.astype(np.int32)), shape=(n, len(starts) - 1))
    return np.asarray(met @ each)
