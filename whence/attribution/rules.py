"""Rules of attribution: how a conversion's one unit of credit is shared among its touches."""

from __future__ import annotations

import numpy as np
import pandas as pd

RULES = ("last_touch", "first_touch", "linear", "position", "time_decay")
RANKER = "ranker"
ALGORITHMS = (*RULES, RANKER)


def share(pairs: pd.DataFrame, algorithm: str, half_life_days: float = 2.0) -> pd.Series:
    """Each pair's share under a rule; the shares of a conversion sum to 1. Index as in `pairs`.

    `pairs` come from journeys.candidate_touches. Raises ValueError for a rule that there is not.

    - last_touch, first_touch: all to one touch.
    - linear: the same to each.
    - position: 40 % to the first, 40 % to the last, 20 % shared between; half and half for two.
    - time_decay: weight 2^(−age / half-life), age counted back from the conversion.
    """
    place, from_last, length = pairs["place"], pairs["from_last"], pairs["path_length"]
    match algorithm:
        case "last_touch":
            weight = (from_last == 0).astype("float64")
        case "first_touch":
            weight = (place == 0).astype("float64")
        case "linear":
            weight = 1.0 / length
        case "position":
            weight = _position(place, from_last, length)
        case "time_decay":
            # counted from the last touch, so that the weights of an old journey do not all vanish
            hours = pairs["hours_before"] - pairs.groupby("conversion_id")["hours_before"].transform("min")
            weight = np.exp2(-hours / 24 / half_life_days)
        case _:
            raise ValueError(f"There is no attribution rule '{algorithm}'. Take one of {', '.join(RULES)}.")
    return weight / weight.groupby(pairs["conversion_id"]).transform("sum")


def ranker_share(pairs: pd.DataFrame, probability: pd.Series | np.ndarray) -> pd.Series:
    """Each pair's share by its probability of having earned the conversion; what is left of 1 goes to no ad.

    A conversion whose probabilities sum to more than 1 is scaled down to 1.
    """
    given = pd.Series(np.asarray(probability, dtype="float64"), index=pairs.index)
    return given / given.groupby(pairs["conversion_id"]).transform("sum").clip(lower=1.0)


def _position(place: pd.Series, from_last: pd.Series, length: pd.Series) -> pd.Series:
    between = 0.2 / (length - 2).clip(lower=1)
    weight = between.where((place > 0) & (from_last > 0), 0.4)
    return weight.where(length > 2, 1.0 / length)
