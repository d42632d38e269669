"""Journeys: for each conversion, the touches that could have earned it, as known by the end of its day."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

CLICKS = ("click",)
TOUCH_COLUMNS = (
    "touch_id",
    "person_id",
    "happened_at",
    "seen_at",
    "kind",
    "campaign_id",
    "channel",
    "click_id",
    "cookie_id",
    "device_id",
    "ip_key",
)
CONVERSION_COLUMNS = (
    "conversion_id",
    "person_id",
    "happened_at",
    "seen_at",
    "kind",
    "click_id",
    "cookie_id",
    "device_id",
    "ip_key",
)
MAX_TOUCHES = 50
"""The latest touches of a conversion that are kept, as in person_features.recent_touches."""


def candidate_touches(
    conversions: pd.DataFrame,
    touches: pd.DataFrame,
    click_days: float = 7.0,
    view_days: float = 1.0,
    max_touches: int = MAX_TOUCHES,
) -> pd.DataFrame:
    """Pairs of a conversion and a touch of the same person (or the same click_id) inside the look-back windows.

    `conversions` has CONVERSION_COLUMNS and `touches` TOUCH_COLUMNS (person_id from identity.exact.who; an
    absent column counts as missing, but ids, times and kinds must be there). A touch counts when it happened
    before the conversion and was seen before the end of the UTC day on which the conversion was seen, or
    before the conversion's `known_by` when that column is given. A ghost (`eligible`) is never a candidate
    but is counted as context. The latest `max_touches` of a conversion are kept.

    Returns, sorted by conversion_id, touched_at, touch_id, a row a pair: conversion_id, touch_id, via (person
    or click_id), person_id, campaign_id, channel, touch_kind, conversion_kind, converted_at, seen_at,
    touched_at, hours_before, place (0 the first touch), from_last (0 the last), path_length, clicks_in_path,
    eligible_campaign and eligible_any (ghosts before the conversion), ip_key (of the touch), same_cookie,
    same_device, same_ip (1, 0 or NaN), same_click (1 when the click_id is the same, 0 when the conversion
    carries one and it is not, NaN when it carries none: the label, never an input).
    """
    bought = _as_table(conversions, CONVERSION_COLUMNS).assign(known_by=_known_by(conversions).array)
    shown = _as_table(touches, TOUCH_COLUMNS).sort_values(["seen_at", "touch_id"]).drop_duplicates("touch_id")
    met = _beside(bought, shown, _met(bought, shown, max(click_days, view_days)))
    reach = np.where(met["touch_kind"].isin(CLICKS), click_days * 24, view_days * 24)
    met = met[(met["hours_before"] <= reach) & (met["touch_seen_at"] < met["known_by"])]
    met = met.sort_values(["conversion_id", "touched_at", "touch_id"], ignore_index=True)
    return _with_context(met, max_touches)


def recent_touches(text: str | None, person_id: str) -> pd.DataFrame:
    """The touches in person_features.recent_touches (a JSON list) as a frame for candidate_touches."""
    rows = json.loads(text) if text else []
    frame = pd.DataFrame(rows).reindex(columns=list(TOUCH_COLUMNS)).assign(person_id=person_id)
    frame["happened_at"] = pd.to_datetime(frame["happened_at"], utc=True, format="ISO8601")
    return frame


def _as_table(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Exactly these columns, times in UTC, on a fresh index; a touch without seen_at is known already."""
    table = frame.reindex(columns=list(columns)).reset_index(drop=True)
    for name in ("happened_at", "seen_at"):
        table[name] = pd.to_datetime(table[name], utc=True).astype("datetime64[us, UTC]")
    return table.assign(seen_at=table["seen_at"].fillna(table["happened_at"]))


def _known_by(conversions: pd.DataFrame) -> pd.Series:
    if "known_by" in conversions:
        return pd.to_datetime(conversions["known_by"], utc=True)
    return pd.to_datetime(conversions["seen_at"], utc=True).dt.floor("D") + pd.Timedelta(days=1)


def _met(bought: pd.DataFrame, shown: pd.DataFrame, reach_days: float) -> pd.DataFrame:
    """Positions of each conversion and the earlier touches within reach: of its person, else with its click_id."""
    parts = [
        _within_reach(bought, shown, key, reach_days).assign(via=via) for key, via in (("person_id", "person"), ("click_id",) * 2)
    ]
    return pd.concat(parts, ignore_index=True).drop_duplicates(["conversion", "touch"])


def _within_reach(bought: pd.DataFrame, shown: pd.DataFrame, key: str, reach_days: float) -> pd.DataFrame:
    """Pairs that share the key, by binary search in the touches sorted by key and time: no pair too many is ever made."""
    bought, shown = bought.dropna(subset=key), shown.dropna(subset=key)
    codes, _ = pd.factorize(pd.concat([bought[key], shown[key]], ignore_index=True))
    times = np.sort(_micros(shown["happened_at"]))
    stride = len(times) + 1  # a key's touches lie together, and within it by how many touches are older
    places = codes[len(bought) :] * stride + np.searchsorted(times, _micros(shown["happened_at"]))
    order = np.argsort(places, kind="stable")
    until = _micros(bought["happened_at"])
    wanted = codes[: len(bought)] * stride
    first = np.searchsorted(places[order], wanted + np.searchsorted(times, until - int(reach_days * 86_400e6)))
    found = np.searchsorted(places[order], wanted + np.searchsorted(times, until)) - first
    conversion = np.repeat(np.arange(len(bought)), found)
    touch = order[np.repeat(first - np.cumsum(found) + found, found) + np.arange(len(conversion))]
    return pd.DataFrame({"conversion": bought.index.to_numpy()[conversion], "touch": shown.index.to_numpy()[touch]})


def _micros(times: pd.Series) -> np.ndarray:
    return np.asarray(times.astype("int64").to_numpy())


def _beside(bought: pd.DataFrame, shown: pd.DataFrame, met: pd.DataFrame) -> pd.DataFrame:
    c = bought.loc[met["conversion"]].reset_index(drop=True)
    t = shown.loc[met["touch"]].reset_index(drop=True)
    return pd.DataFrame(
        {
            "conversion_id": c["conversion_id"],
            "touch_id": t["touch_id"],
            "via": met["via"].array,
            "person_id": c["person_id"],
            "campaign_id": t["campaign_id"],
            "channel": t["channel"],
            "touch_kind": t["kind"],
            "conversion_kind": c["kind"],
            "converted_at": c["happened_at"],
            "seen_at": c["seen_at"],
            "known_by": c["known_by"],
            "touched_at": t["happened_at"],
            "touch_seen_at": t["seen_at"],
            "hours_before": (c["happened_at"] - t["happened_at"]).dt.total_seconds() / 3600,
            "ip_key": t["ip_key"],
            "same_cookie": _same(t["cookie_id"], c["cookie_id"]),
            "same_device": _same(t["device_id"], c["device_id"]),
            "same_ip": _same(t["ip_key"], c["ip_key"]),
            "same_click": _same(t["click_id"].fillna(""), c["click_id"]),
        }
    )


def _with_context(met: pd.DataFrame, max_touches: int) -> pd.DataFrame:
    is_ghost = met["touch_kind"] == "eligible"
    ghosts = met[is_ghost]
    pairs = met[~is_ghost].groupby("conversion_id", sort=False).tail(max_touches).reset_index(drop=True)
    path = pairs.groupby("conversion_id", sort=False)
    place, length = path.cumcount(), path["touch_id"].transform("size").astype("int64")
    is_click = pairs["touch_kind"].isin(CLICKS).astype("int64")
    return pairs.drop(columns=["known_by", "touch_seen_at"]).assign(
        place=place,
        from_last=length - 1 - place,
        path_length=length,
        clicks_in_path=is_click.groupby(pairs["conversion_id"], sort=False).transform("sum"),
        eligible_campaign=_counts(pairs, ghosts, ["conversion_id", "campaign_id"]),
        eligible_any=_counts(pairs, ghosts, ["conversion_id"]),
    )


def _counts(pairs: pd.DataFrame, ghosts: pd.DataFrame, keys: list[str]) -> np.ndarray:
    counts = ghosts.groupby(keys).size().rename("n").reset_index()
    return np.asarray(pairs[keys].merge(counts, on=keys, how="left")["n"].fillna(0).to_numpy(dtype="int64"))


def _same(left: pd.Series, right: pd.Series) -> np.ndarray:
    both = left.notna().to_numpy() & right.notna().to_numpy()
    return np.where(both, (left.to_numpy(dtype=object) == right.to_numpy(dtype=object)).astype("float64"), np.nan)
