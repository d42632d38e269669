"""Credit: shares turned into whole micros that add up to the conversion's value, to the last one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

NO_AD = ""
"""The touch, campaign and channel of the share that no ad earned."""

GRID = 1 << 53
"""Shares are read as whole numbers of 2^-53, so that sums are exact."""

DUST = 1e-12
"""A share of no ad below this is rounding, and gets no row."""

OVER = 1e-6
"""Shares may sum to so much above 1 before that is a mistake."""

ROW = (
    "day",
    "conversion_id",
    "algorithm",
    "touch_id",
    "campaign_id",
    "channel",
    "person_id",
    "touched_at",
    "share",
    "credit_micros",
    "clean_micros",
    "suspect",
    "certainty",
    "new_to_brand",
    "currency",
    "bundle",
)
_WIDE = 1 << 53
_HEAVY = 1 << 58
"""Up to these a value and the sum of its weights are split in 64 bits; beyond, in Python's integers."""
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def split(value_micros: int, shares: Sequence[float]) -> tuple[int, ...]:
    """The value in whole micros by these shares: each within one of its exact part, and the sum exactly the value.

    Largest remainder, the earlier share first when two are alike; a negative value splits like its opposite.
    The shares are taken in proportion. Raises ValueError when one is negative or not a number, or all are 0.

    >>> split(100, [1, 1, 1])
    (34, 33, 33)
    >>> split(-100, [0.5, 0.5])
    (-50, -50)
    """
    return _split(value_micros, [_weight(share) for share in shares])


def apportion(values_micros: npt.ArrayLike, shares: npt.ArrayLike, starts: npt.ArrayLike) -> Ints:
    """`split` for many conversions at once: their shares lie one after the other, those of each from its start on.

    >>> apportion([100, -7], [1.0, 1.0, 1.0, 0.5, 0.5], [0, 3]).tolist()
    [34, 33, 33, -4, -3]
    """
    return _apportion(np.asarray(values_micros, dtype=np.int64), _weights(shares), np.asarray(starts, dtype=np.int64))


def shared_out(value_micros: int, touch_ids: Sequence[str], shares: Sequence[float]) -> list[tuple[int | None, float, int]]:
    """What `credit_rows` says of one conversion: (place among its touches, None for no ad; share; whole micros), by touch_id.

    >>> shared_out(100, ["b", "a"], [0.5, 0.25])
    [(None, 0.25, 25), (1, 0.25, 25), (0, 0.5, 50)]
    """
    paid = sorted((touch_ids[place], place, share) for place, share in enumerate(shares) if share > 0)
    weights = [_weight(share) for _, _, share in paid]
    left = GRID - sum(weights)
    if left < -OVER * GRID:
        raise ValueError(f"The shares of a conversion sum to {1 - left / GRID:.6f}, above 1. Scale them down first.")
    rows: list[tuple[int | None, float]] = [(place, share) for _, place, share in paid]
    if left > DUST * GRID:
        rows, weights = [(None, left / GRID), *rows], [left, *weights]
    return [(*row, part) for row, part in zip(rows, _split(value_micros, weights), strict=True)]


def credit_rows(
    conversions: pd.DataFrame,
    pairs: pd.DataFrame,
    shares: pd.Series,
    algorithm: str,
    bundle: str | None = None,
    clean_shares: pd.Series | None = None,
) -> pd.DataFrame:
    """Rows of `credits` for every conversion: its touches with a share, and a row of no ad for what is left.

    `conversions` has conversion_id, value_micros, currency, seen_at and person_id (None when unknown), each
    conversion once, and may have `pays` (False: all goes to no ad) and `new_to_brand`. `pairs` and the shares come
    row by row from candidate_touches and an algorithm; `pairs` may have touched_at, `suspect` and `certainty`.
    `clean_shares` are those when suspect touches earn nothing (by default the same); a touch that only they pay has
    a row with a share of 0. A conversion without candidates is all no ad. Columns as in ROW (`day` is the UTC day of
    seen_at; no ad has no touched_at, and is certain), sorted by the key, whatever the order of the rows given.
    """
    asked = conversions.sort_values("conversion_id", ignore_index=True)
    if asked["conversion_id"].duplicated().any():
        twice = asked.loc[asked["conversion_id"].duplicated(), "conversion_id"].iloc[0]
        raise ValueError(f"Conversion {twice} is there twice. Let orders.sort_out pick the telling that counts.")
    of = pd.Index(asked["conversion_id"]).get_indexer(pairs["conversion_id"])
    paid, clean = _weights(shares), _weights(shares if clean_shares is None else clean_shares)
    is_earned = (of >= 0) & _pays(asked)[of] & ((np.asarray(shares) > 0) | (clean > 0)) if len(asked) else of >= 0
    earned, of, paid, clean = pairs[is_earned], of[is_earned], paid[is_earned], clean[is_earned]
    left, left_clean = (_left(asked["conversion_id"], of, weights) for weights in (paid, clean))
    rest = np.flatnonzero((left > 0) | (left_clean > 0))
    order = np.lexsort((np.r_[pd.factorize(earned["touch_id"], sort=True)[0], np.full(len(rest), -1)], np.r_[of, rest]))
    of, paid, clean = np.r_[of, rest][order], np.r_[paid, left[rest]][order], np.r_[clean, left_clean[rest]][order]
    starts, values = np.flatnonzero(np.diff(of, prepend=-1)), asked["value_micros"].to_numpy(dtype="int64")
    touch = _Touches(earned, len(rest), order)
    facts = asked.iloc[of].reset_index(drop=True)
    credit_micros = _apportion(values, paid, starts)
    return pd.DataFrame(
        {
            "day": _days(asked["seen_at"])[of],
            "conversion_id": facts["conversion_id"],
            "algorithm": algorithm,
            "touch_id": touch.column("touch_id", NO_AD),
            "campaign_id": touch.column("campaign_id", NO_AD),
            "channel": touch.column("channel", NO_AD),
            "person_id": facts["person_id"],
            "touched_at": touch.instants("touched_at"),
            "share": touch.numbers(np.asarray(shares, dtype="float64")[is_earned], left[rest] / GRID),
            "credit_micros": credit_micros,
            "clean_micros": credit_micros if clean_shares is None else _apportion(values, clean, starts),
            "suspect": touch.column("suspect", ""),
            "certainty": touch.column("certainty", 1.0).astype("float64"),
            "new_to_brand": facts["new_to_brand"].astype(object) if "new_to_brand" in facts else None,
            "currency": facts["currency"],
            "bundle": bundle,
        },
        columns=list(ROW),
    )


class _Touches:
    """Columns of the touches that earned, then of the rows of no ad, in the order wanted."""

    def __init__(self, earned: pd.DataFrame, no_ads: int, order: npt.NDArray[np.intp]) -> None:
        self._earned, self._no_ads, self._order = earned, no_ads, order

    def column(self, name: str, otherwise: object) -> npt.NDArray[np.object_]:
        there = self._earned[name].to_numpy(dtype=object) if name in self._earned else np.full(len(self._earned), otherwise)
        return np.asarray(np.r_[there.astype(object), np.full(self._no_ads, otherwise, dtype=object)][self._order])

    def instants(self, name: str) -> pd.Series:
        if name in self._earned:
            told = pd.to_datetime(self._earned[name], utc=True).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
        else:
            told = np.full(len(self._earned), "NaT", dtype="datetime64[us]")
        none = np.full(self._no_ads, "NaT", dtype="datetime64[us]")
        return pd.Series(np.concatenate([told, none])[self._order]).dt.tz_localize("UTC")

    def numbers(self, earned: Floats, no_ads: Floats) -> Floats:
        return np.asarray(np.r_[earned, no_ads][self._order], dtype=np.float64)


def _split(value_micros: int, weights: Sequence[int]) -> tuple[int, ...]:
    total = sum(weights)
    if total == 0:
        raise ValueError("The shares are all 0, so nobody can be given the value. Add the share of no ad.")
    size = abs(value_micros)
    parts = [size * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % total), i))
    for i in by_remainder[: size - sum(parts)]:
        parts[i] += 1
    return tuple(parts if value_micros >= 0 else (-part for part in parts))


def _apportion(values: Ints, weights: Ints, starts: Ints) -> Ints:
    """Quotients guessed in floating point and put right by their remainders, which 64 bits hold whatever the products do."""
    if not len(starts):
        return np.empty(0, dtype=np.int64)
    counts = np.diff(np.append(starts, len(weights)))
    group = np.repeat(np.arange(len(starts)), counts)
    is_large = (values > _WIDE) | (values < -_WIDE) | (np.add.reduceat(weights.astype(np.float64), starts) > _HEAVY)
    total = np.add.reduceat(weights, starts)
    if not (total[~is_large] > 0).all():
        raise ValueError("The shares are all 0, so nobody can be given the value. Add the share of no ad.")
    size, whole = np.where(is_large, 0, np.abs(values))[group], np.where(is_large, 1, total)[group]
    parts = np.floor(size.astype(np.float64) * (weights / whole)).astype(np.int64)
    remainder = size * weights - parts * whole  # both products may pass 2^63: their difference does not
    missed = remainder // whole
    parts, remainder = parts + missed, remainder - missed * whole
    lacking = np.where(is_large, 0, np.abs(values)) - np.add.reduceat(parts, starts)
    order = np.lexsort((-remainder, group))  # stable, so the earlier first among equals
    parts[order] += np.arange(len(weights)) - starts[group] < lacking[group]
    parts = np.where(values[group] < 0, -parts, parts)
    for each in np.flatnonzero(is_large):
        here = slice(starts[each], starts[each] + counts[each])
        parts[here] = _split(int(values[each]), weights[here].tolist())
    return parts


def _weight(share: float) -> int:
    if not 0 <= share < float("inf"):
        raise ValueError(f"A share must be 0 or more, and is {share}.")
    return int(share * GRID) if isinstance(share, float) else int(Fraction(share) * GRID)


def _weights(shares: npt.ArrayLike) -> Ints:
    given = np.asarray(shares, dtype=np.float64)
    is_share = (given >= 0) & (given < 512)
    if not is_share.all():
        raise ValueError(f"A share must be 0 or more, and no share is as large as 512: this is {given[~is_share][0]}.")
    return (given * GRID).astype(np.int64)


def _left(names: pd.Series, of: npt.NDArray[np.intp], weights: Ints) -> Ints:
    """What the touches of each conversion leave to no ad, on the grid; 0 where that is rounding."""
    left = np.full(len(names), GRID, dtype=np.int64)
    np.subtract.at(left, of, weights)
    over = np.flatnonzero(left < -OVER * GRID)
    if len(over):
        total = 1 - left[over[0]] / GRID
        raise ValueError(f"The shares of conversion {names.iloc[over[0]]} sum to {total:.6f}, above 1. Scale them down first.")
    return np.where(left > DUST * GRID, left, 0)


def _pays(asked: pd.DataFrame) -> npt.NDArray[np.bool_]:
    if "pays" not in asked:
        return np.ones(len(asked), dtype=bool)
    return np.asarray(asked["pays"].fillna(True).astype(bool))


def _days(instants: pd.Series) -> npt.NDArray[np.object_]:
    """UTC days as text, each written once."""
    code, days = pd.factorize(pd.to_datetime(instants, utc=True).dt.floor("D"))
    return np.asarray(days.strftime("%Y-%m-%d").to_numpy(dtype=object)[code])
