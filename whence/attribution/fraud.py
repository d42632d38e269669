"""Touches that look like fraud: why, by pair of conversion and touch, and the pairs that are left without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from whence.attribution import places
from whence.attribution.policy import Fraud

if TYPE_CHECKING:
    from whence.attribution.told import Touches

CLICK_FLOOD, CLICK_INJECTION, HUB, IMPOSSIBLE_ORDER = "click_flood", "click_injection", "hub", "impossible_order"
REASONS = (CLICK_FLOOD, CLICK_INJECTION, HUB, IMPOSSIBLE_ORDER)

INSTALL = "install"
BOUNDS = (
    "clicks_a_day",
    "network_clicks_a_day",
    "network_clicks_per_person",
    "persons_per_network",
    "persons_per_identifier",
    "clock_seconds",
)
"""What the settings say of a touch by itself."""

Marks = npt.NDArray[np.bool_]


def suspicions(pairs: pd.DataFrame, touches: Touches, settings: Fraud) -> pd.Series:
    """Why each pair's touch looks like fraud: reasons of REASONS joined by commas, the empty text for none. Index as in `pairs`.

    `pairs` come from journeys.candidate_touches; `touches` are all of the time, also those that earned nothing, since what is
    too much shows only there. To the reasons of the touch itself (touch_suspicions) come those of its pair: a click seconds
    before the conversion, a click whose id was clicked again after it, and a source whose clicks precede its conversions by
    any time alike, and hardly ever: such clicks were there anyway when people bought.
    """
    told = _looked_up(touches, settings, pairs["touch_id"].unique()).reindex(pairs["touch_id"]).set_axis(pairs.index)
    is_click = (pairs["touch_kind"] == places.CLICK).to_numpy()
    marks = _own(told)
    marks[CLICK_INJECTION] = is_click & _is_too_soon(pairs, settings)
    marks[CLICK_FLOOD] |= is_click & _is_of_flat_source(pairs, told, settings)
    marks[IMPOSSIBLE_ORDER] |= (told["clicked_last"] > pd.to_datetime(pairs["converted_at"], utc=True)).to_numpy(dtype=bool)
    return _said(marks, pairs.index)


def touch_suspicions(touches: Touches, settings: Fraud) -> pd.Series:
    """Why each touch looks like fraud by itself, as in `suspicions`, by touch_id: who clicks too much, hubs, times that cannot be.

    A ghost is never suspect: nobody was shown anything.
    """
    told = _looked_up(touches, settings)
    return _said(_own(told), told.index)


def _looked_up(touches: Touches, settings: Fraud, asked: npt.ArrayLike | None = None) -> pd.DataFrame:
    """What all touches say of each of those that are asked for, of each one when none are; by touch_id, in its order.

    click_flood, hub and impossible_order of the touch by itself; `source`, a number for where a click came from, and
    `source_clicks`, how many came from there; `clicked_last`, when its click_id was last clicked, if more than once.
    """
    con, name = touches.con, touches.name
    if asked is not None:
        con.register("asked_ids", pa.table({"touch_id": pa.array(asked, pa.string())}))
    mine = "" if asked is None else "SEMI JOIN asked_ids USING (touch_id)"
    bounds = {bound: getattr(settings, bound) for bound in BOUNDS}
    found: pd.DataFrame = con.sql(_LOOK_UP.format(touches=name, mine=mine), params=bounds).df().set_index("touch_id")
    if asked is not None:
        con.unregister("asked_ids")
    return found


def _per_day(key: str) -> str:
    return (
        f"SELECT {key}, on_day, count(*) FILTER (is_click) AS clicks, count(DISTINCT person_id) AS persons "
        f"FROM told SEMI JOIN asked USING ({key}, on_day) GROUP BY ALL"
    )


def _ever(key: str) -> str:
    return f"SELECT {key}, count(DISTINCT person_id) AS persons FROM told SEMI JOIN asked USING ({key}) GROUP BY ALL"


_LOOK_UP = f"""
    WITH told AS (
        SELECT *, epoch_us(happened_at) // 86400000000 AS on_day, kind = '{places.CLICK}' AS is_click FROM {{touches}}
    ), asked AS MATERIALIZED (FROM told {{mine}}),
    sources AS (
        SELECT *, row_number() OVER (ORDER BY campaign_id, placement) AS number
        FROM (SELECT campaign_id, placement, count(*) AS clicks FROM told WHERE is_click GROUP BY ALL)
    ), again AS (
        SELECT click_id, max(happened_at) AS at FROM told SEMI JOIN asked USING (click_id) GROUP BY ALL HAVING count(*) > 1
    )
    SELECT a.touch_id,
        a.kind <> 'eligible' AND (
            greatest(person.clicks, cookie.clicks, device.clicks) > $clicks_a_day OR network.clicks > $network_clicks_a_day
            AND network.clicks > $network_clicks_per_person::DOUBLE * greatest(network.persons, 1)
        ) IS TRUE AS {CLICK_FLOOD},
        a.kind <> 'eligible' AND (
            network.persons > $persons_per_network
            OR greatest(cookie_ever.persons, device_ever.persons) > $persons_per_identifier
        ) IS TRUE AS {HUB},
        a.kind <> 'eligible' AND epoch_us(a.happened_at) - epoch_us(a.seen_at) > $clock_seconds * 1e6 AS {IMPOSSIBLE_ORDER},
        again.at AS clicked_last, s.number AS source, s.clicks AS source_clicks
    FROM asked a
    LEFT JOIN ({_per_day("person_id")}) person USING (person_id, on_day)
    LEFT JOIN ({_per_day("cookie_id")}) cookie USING (cookie_id, on_day)
    LEFT JOIN ({_per_day("device_id")}) device USING (device_id, on_day)
    LEFT JOIN ({_per_day("ip_key")}) network USING (ip_key, on_day)
    LEFT JOIN ({_ever("cookie_id")}) cookie_ever USING (cookie_id)
    LEFT JOIN ({_ever("device_id")}) device_ever USING (device_id)
    LEFT JOIN again USING (click_id)
    LEFT JOIN sources s ON a.is_click AND s.campaign_id IS NOT DISTINCT FROM a.campaign_id
        AND s.placement IS NOT DISTINCT FROM a.placement
    ORDER BY a.touch_id
"""
"""A key's clicks and persons are counted where an asked touch has it, and nowhere else."""


def _own(told: pd.DataFrame) -> dict[str, Marks]:
    """What is wrong with each touch by itself."""
    return {reason: told[reason].eq(True).to_numpy(dtype=bool) for reason in (CLICK_FLOOD, HUB, IMPOSSIBLE_ORDER)}


def _is_too_soon(pairs: pd.DataFrame, settings: Fraud) -> Marks:
    least = np.where(pairs["conversion_kind"] == INSTALL, settings.install_seconds, settings.other_seconds)
    return np.asarray(pairs["hours_before"].to_numpy(dtype=np.float64) * 3600 < least)


def _is_of_flat_source(pairs: pd.DataFrame, told: pd.DataFrame, settings: Fraud) -> Marks:
    """True for the pairs of a source whose last clicks lie before their conversions as if by chance."""
    of = told["source"]
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
    clicked = told.drop_duplicates("source").set_index("source")["source_clicks"].reindex(judged.index)
    is_flat = (judged["n"] >= settings.flat_conversions) & (judged["distance"] < settings.flat_distance)
    is_flat &= clicked >= settings.flat_clicks_per_conversion * judged["n"]
    return np.asarray(of.isin(judged.index[is_flat]).to_numpy())


def _said(marks: dict[str, Marks], index: pd.Index) -> pd.Series:
    bits = np.zeros(len(index), dtype=np.int64)
    for reason, holds in marks.items():
        bits |= holds.astype(np.int64) << REASONS.index(reason)
    texts = [",".join(reason for place, reason in enumerate(REASONS) if n >> place & 1) for n in range(1 << len(REASONS))]
    return pd.Series(np.array(texts, dtype=object)[bits], index=index, dtype=object)
