"""Touches that look like fraud: why, by pair of conversion and touch, and the pairs that are left without them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from whence.attribution import places
from whence.attribution.policy import Fraud

CLICK_FLOOD, CLICK_INJECTION, HUB, IMPOSSIBLE_ORDER = "click_flood", "click_injection", "hub", "impossible_order"
REASONS = (CLICK_FLOOD, CLICK_INJECTION, HUB, IMPOSSIBLE_ORDER)

INSTALL = "install"
SOURCE = ("campaign_id", "placement")
"""What floods together; a column that the touches lack is left out."""
HOLDERS = ("person_id", "cookie_id", "device_id")
IDENTIFIERS = ("cookie_id", "device_id")
NETWORK = "ip_key"

Marks = npt.NDArray[np.bool_]


def suspicions(pairs: pd.DataFrame, touches: pd.DataFrame, settings: Fraud) -> pd.Series:
    """Why each pair's touch looks like fraud: reasons of REASONS joined by commas, the empty text for none. Index as in `pairs`.

    `pairs` come from journeys.candidate_touches; `touches` are all of the time, also those that earned nothing, since what is
    too much shows only there. To the reasons of the touch itself (touch_suspicions) come those of its pair: a click seconds
    before the conversion, a click whose id was clicked again after it, and a source whose clicks precede its conversions by
    any time alike, and hardly ever: such clicks were there anyway when people bought.
    """
    own = pd.Series(_bits(_marks(touches, settings), len(touches)), index=touches["touch_id"].to_numpy())
    bits = pairs["touch_id"].map(own[~own.index.duplicated()]).fillna(0).to_numpy(dtype=np.int64)
    is_click = (pairs["touch_kind"] == places.CLICK).to_numpy()
    marks = {
        CLICK_INJECTION: is_click & _is_too_soon(pairs, settings),
        CLICK_FLOOD: is_click & _is_of_flat_source(pairs, touches, settings),
        IMPOSSIBLE_ORDER: _is_clicked_again(pairs, touches),
    }
    return _said(bits | _bits(marks, len(pairs)), pairs.index)


def touch_suspicions(touches: pd.DataFrame, settings: Fraud) -> pd.Series:
    """Why each touch looks like fraud by itself, as in `suspicions`: who clicks too much, hubs, times that cannot be.

    `touches` has touch_id, kind, happened_at, seen_at, and person_id, cookie_id, device_id, ip_key where they are known.
    A ghost is never suspect: nobody was shown anything.
    """
    return _said(_bits(_marks(touches, settings), len(touches)), touches.index)


def clean_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that are not suspect (column `suspect`), with their places on the path counted again; the index stays.

    Any share function runs on them; what it gives is spread over all pairs by `.reindex(pairs.index, fill_value=0.0)`.
    """
    return places.numbered(pairs[pairs["suspect"] == ""])


def _marks(touches: pd.DataFrame, settings: Fraud) -> dict[str, Marks]:
    """What is wrong with each touch by itself, by reason."""
    day = (
        pd.to_datetime(touches["happened_at"], utc=True).astype("datetime64[us, UTC]").astype("int64").to_numpy()
        // 86_400_000_000
    )
    is_click = (touches["kind"] == places.CLICK).to_numpy()
    flood = _is_of_busy_network(touches, day, is_click, settings)
    for key in HOLDERS:
        flood |= _per_day(touches, key, day, is_click) > settings.clicks_a_day
    hub = _persons(touches, NETWORK, day) > settings.persons_per_network
    for key in IDENTIFIERS:
        hub |= _persons(touches, key, np.zeros_like(day)) > settings.persons_per_identifier
    early = pd.to_datetime(touches["happened_at"], utc=True) - pd.to_datetime(touches["seen_at"], utc=True)
    impossible = (early > pd.Timedelta(seconds=settings.clock_seconds)).to_numpy()
    is_shown = (touches["kind"] != "eligible").to_numpy()
    return {CLICK_FLOOD: flood & is_shown, HUB: hub & is_shown, IMPOSSIBLE_ORDER: impossible & is_shown}


def _is_too_soon(pairs: pd.DataFrame, settings: Fraud) -> Marks:
    least = np.where(pairs["conversion_kind"] == INSTALL, settings.install_seconds, settings.other_seconds)
    return np.asarray(pairs["hours_before"].to_numpy(dtype=np.float64) * 3600 < least)


def _is_of_flat_source(pairs: pd.DataFrame, touches: pd.DataFrame, settings: Fraud) -> Marks:
    """True for the pairs of a source whose last clicks lie before their conversions as if by chance."""
    by = [name for name in SOURCE if name in touches]
    clicks = touches[touches["kind"] == places.CLICK].drop_duplicates("touch_id")
    source = pd.Series(_codes(clicks, by), index=clicks["touch_id"].to_numpy())
    of = pairs["touch_id"].map(source)
    last = pairs[of.notna()].drop_duplicates("conversion_id", keep="last")
    reach = last["hours_before"].max() if len(last) else 0.0
    if not reach > 0:
        return np.zeros(len(pairs), dtype=bool)
    times = pd.DataFrame({"source": of[last.index].astype("int64"), "at": last["hours_before"] / reach})
    times = times.sort_values(["source", "at"], ignore_index=True)
    n = times.groupby("source")["at"].transform("size")
    place = times.groupby("source").cumcount()
    gap = np.maximum(times["at"] - place / n, (place + 1) / n - times["at"])
    judged = pd.DataFrame({"distance": gap.groupby(times["source"]).max(), "n": times.groupby("source").size()})
    clicked = np.bincount(source.to_numpy())[judged.index.to_numpy()]
    is_flat = (judged["n"] >= settings.flat_conversions) & (judged["distance"] < settings.flat_distance)
    is_flat &= clicked >= settings.flat_clicks_per_conversion * judged["n"]
    return np.asarray(of.isin(judged.index[is_flat]).to_numpy())


def _is_clicked_again(pairs: pd.DataFrame, touches: pd.DataFrame) -> Marks:
    """True where the click_id of the pair's touch was clicked after the conversion, too: one id is one click."""
    if "click_id" not in touches:
        return np.zeros(len(pairs), dtype=bool)
    clicks = touches.loc[touches["click_id"].notna(), ["touch_id", "click_id", "happened_at"]].drop_duplicates("touch_id")
    clicks = clicks[clicks["click_id"].duplicated(keep=False)]
    at = pd.to_datetime(clicks["happened_at"], utc=True)
    latest = at.groupby(clicks["click_id"]).transform("max")
    after = pairs["touch_id"].map(pd.Series(latest.array, index=clicks["touch_id"].to_numpy()))
    return np.asarray((after > pd.to_datetime(pairs["converted_at"], utc=True)).to_numpy())


def _is_of_busy_network(touches: pd.DataFrame, day: np.ndarray, is_click: Marks, settings: Fraud) -> Marks:
    clicks = _per_day(touches, NETWORK, day, is_click)
    people = np.maximum(_persons(touches, NETWORK, day), 1)
    return np.asarray((clicks > settings.network_clicks_a_day) & (clicks > settings.network_clicks_per_person * people))


def _per_day(touches: pd.DataFrame, key: str, day: np.ndarray, is_click: Marks) -> np.ndarray:
    """For each touch the clicks of its holder on its day; 0 where there is no holder."""
    if key not in touches:
        return np.zeros(len(touches))
    cell, is_known = _cells(touches, key, day)
    return np.where(is_known, np.bincount(cell, is_click)[cell], 0.0) if len(cell) else np.zeros(0)


def _persons(touches: pd.DataFrame, key: str, day: np.ndarray) -> np.ndarray:
    """For each touch the persons that share its identifier on its day; a touch without a person counts for none."""
    if key not in touches or "person_id" not in touches or not len(touches):
        return np.zeros(len(touches))
    cell, is_known = _cells(touches, key, day)
    person, _ = pd.factorize(touches["person_id"])
    each = pd.DataFrame({"cell": cell, "person": person})[is_known & (person >= 0)].drop_duplicates()
    return np.where(is_known, np.bincount(each["cell"], minlength=cell.max() + 1)[cell], 0)


def _cells(touches: pd.DataFrame, key: str, day: np.ndarray) -> tuple[np.ndarray, Marks]:
    codes, names = pd.factorize(touches[key])
    cell, _ = pd.factorize(codes.astype(np.int64) + (day - day.min(initial=0)) * (len(names) + 1))
    return cell, codes >= 0


def _codes(frame: pd.DataFrame, by: list[str]) -> np.ndarray:
    return np.asarray(frame.groupby(by, dropna=False, sort=False).ngroup().to_numpy())


def _bits(marks: dict[str, Marks], n: int) -> npt.NDArray[np.int64]:
    """The reasons that hold as one number a row, a bit each in the order of REASONS."""
    bits = np.zeros(n, dtype=np.int64)
    for reason, holds in marks.items():
        bits |= holds.astype(np.int64) << REASONS.index(reason)
    return bits


def _said(bits: npt.NDArray[np.int64], index: pd.Index) -> pd.Series:
    texts = [",".join(reason for place, reason in enumerate(REASONS) if n >> place & 1) for n in range(1 << len(REASONS))]
    return pd.Series(np.array(texts, dtype=object)[bits], index=index, dtype=object)
