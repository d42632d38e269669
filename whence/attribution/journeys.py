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

_PAIRS = """
with c as (
    select *, unnest(range(bucket - $reach, bucket + 1)) as meets
    from (select *, epoch_us(happened_at) // 86400000000 as bucket from conversions)
), t as (
    select *, epoch_us(happened_at) // 86400000000 as bucket from touches
), met as (
    select c.conversion_id, t.touch_id, 'person' as via from c join t on c.person_id = t.person_id and c.meets = t.bucket
    union all
    select c.conversion_id, t.touch_id, 'click_id' as via from c join t on c.click_id = t.click_id and c.meets = t.bucket
), pairs as (
    select conversion_id, touch_id, max(via) as via from met group by all
)
select
    p.conversion_id, p.touch_id, p.via, c.person_id, t.campaign_id, t.channel, t.kind as touch_kind,
    c.kind as conversion_kind, c.happened_at as converted_at, c.seen_at, t.happened_at as touched_at,
    epoch_us(c.happened_at) - epoch_us(t.happened_at) as gap,
    t.cookie_id as touch_cookie, c.cookie_id as conversion_cookie, t.device_id as touch_device,
    c.device_id as conversion_device, t.ip_key, c.ip_key as conversion_ip,
    t.click_id as touch_click, c.click_id as conversion_click
from pairs p join conversions c using (conversion_id) join t using (touch_id)
where t.happened_at < c.happened_at and coalesce(t.seen_at, t.happened_at) < c.known_by
  and gap <= case when t.kind = 'click' then $click_us else $view_us end
order by p.conversion_id, t.happened_at, p.touch_id
"""


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
    import duckdb

    with duckdb.connect(config={"threads": 2}) as con:
        con.execute("set TimeZone = 'UTC'")
        con.register("conversions", _known_by(_as_table(conversions, CONVERSION_COLUMNS), conversions))
        con.register("touches", _as_table(touches, TOUCH_COLUMNS))
        limits = {
            "click_us": click_days * 86_400e6,
            "view_us": view_days * 86_400e6,
            "reach": int(np.ceil(max(click_days, view_days))),
        }
        met = con.sql(_PAIRS, params=limits).df()
    return _with_context(met, max_touches)


def recent_touches(text: str | None, person_id: str) -> pd.DataFrame:
    """The touches in person_features.recent_touches (a JSON list) as a frame for candidate_touches."""
    rows = json.loads(text) if text else []
    frame = pd.DataFrame(rows).reindex(columns=list(TOUCH_COLUMNS)).assign(person_id=person_id)
    frame["happened_at"] = pd.to_datetime(frame["happened_at"], utc=True, format="ISO8601")
    return frame


def _as_table(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Exactly these columns, with types that do not depend on what happens to be missing."""
    table = frame.reindex(columns=list(columns)).copy()
    for name in columns:
        is_time = name.endswith("_at")
        table[name] = (
            pd.to_datetime(table[name], utc=True).astype("datetime64[us, UTC]") if is_time else table[name].astype("string")
        )
    return table


def _known_by(table: pd.DataFrame, conversions: pd.DataFrame) -> pd.DataFrame:
    if "known_by" in conversions:
        known_by = pd.to_datetime(conversions["known_by"], utc=True)
    else:
        known_by = table["seen_at"].dt.floor("D") + pd.Timedelta(days=1)
    return table.assign(known_by=known_by.astype("datetime64[us, UTC]"))


def _with_context(met: pd.DataFrame, max_touches: int) -> pd.DataFrame:
    is_ghost = met["touch_kind"] == "eligible"
    ghosts = met[is_ghost]
    pairs = met[~is_ghost]
    pairs = pairs.groupby("conversion_id", sort=False).tail(max_touches).reset_index(drop=True)
    path = pairs.groupby("conversion_id", sort=False)
    place, length = path.cumcount(), path["touch_id"].transform("size")
    is_click = pairs["touch_kind"].isin(CLICKS).astype("int64")
    pairs = pairs.assign(
        hours_before=pairs["gap"] / 3.6e9,
        place=place,
        from_last=length - 1 - place,
        path_length=length,
        clicks_in_path=is_click.groupby(pairs["conversion_id"], sort=False).transform("sum"),
        eligible_campaign=_counts(pairs, ghosts, ["conversion_id", "campaign_id"]),
        eligible_any=_counts(pairs, ghosts, ["conversion_id"]),
        same_cookie=_same(pairs["touch_cookie"], pairs["conversion_cookie"]),
        same_device=_same(pairs["touch_device"], pairs["conversion_device"]),
        same_ip=_same(pairs["ip_key"], pairs["conversion_ip"]),
        same_click=_same(pairs["touch_click"].fillna(""), pairs["conversion_click"]),
    )
    spent = ["gap", "touch_cookie", "conversion_cookie", "touch_device", "conversion_device", "conversion_ip", "touch_click"]
    return pairs.drop(columns=[*spent, "conversion_click"])


def _counts(pairs: pd.DataFrame, ghosts: pd.DataFrame, keys: list[str]) -> np.ndarray:
    counts = ghosts.groupby(keys).size().rename("n").reset_index()
    return pairs[keys].merge(counts, on=keys, how="left")["n"].fillna(0).to_numpy(dtype="int64")


def _same(left: pd.Series, right: pd.Series) -> np.ndarray:
    both = left.notna().to_numpy() & right.notna().to_numpy()
    return np.where(both, (left.to_numpy(dtype=object) == right.to_numpy(dtype=object)).astype("float64"), np.nan)
