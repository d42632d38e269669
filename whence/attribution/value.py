"""What a touch is worth: the inputs and labels of conversion-value, the same everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from whence.normalise import agents as agent_texts

VIEWS = ("campaign_features", "identifier_features", "network_features", "person_features")
"""The feature views whose columns `touch_frame` reads."""

COPIED = {
    "campaign_clicks_7d": "campaign_features__clicks_7d",
    "campaign_conversions_7d": "campaign_features__conversions_7d",
    "campaign_click_rate_7d": "campaign_features__click_rate_7d",
    "campaign_conversion_rate_7d": "campaign_features__conversion_rate_7d",
    "identifier_events_7d": "identifier_features__events_7d",
    "identifier_networks_7d": "identifier_features__networks_7d",
    "network_events_7d": "network_features__events_7d",
    "network_persons_7d": "network_features__persons_7d",
    "person_touches_7d": "person_features__touches_7d",
    "person_clicks_7d": "person_features__clicks_7d",
    "person_conversions_14d": "person_features__conversions_14d",
    "person_logins_7d": "person_features__logins_7d",
}
KEYS = {
    "ip": ["ip_key"],
    "ip_campaign": ["ip_key", "campaign_id"],
    "ip_channel": ["ip_key", "channel"],
    "ip_agent": ["ip_key", "user_agent"],
    "ip_campaign_agent": ["ip_key", "campaign_id", "user_agent"],
}
"""What the touches of a network and day are counted by."""
RUNNING = tuple(f"{name}_before_1d" for name in KEYS)
SINCE = tuple(f"seconds_since_{name}" for name in ("ip", "ip_campaign", "ip_agent"))
COUNTS = (*RUNNING, *SINCE)
TOLD = (
    "happened_at",
    "seen_at",
    "kind",
    "ip_key",
    "campaign_id",
    "channel",
    "user_agent",
    "placement",
    "country",
    "price_micros",
)
"""What a touch itself says of its inputs."""
SCHEMA_NUMBERS = (*COPIED, *COUNTS, "ip_before_7d", "hour_of_day", "is_click", "price_micros")
SCHEMA_CATEGORIES = ("campaign_id", "channel", "user_agent", "device", "system", "placement", "kind", "country")
LEARNING = {"num_leaves": 6, "min_data_in_leaf": 100, "cat_smooth": 10.0, "cat_l2": 10.0}
"""How a model of these inputs learns best: many campaigns and devices, few conversions of each."""


def touch_frame(touches: pd.DataFrame, features: pd.DataFrame | None = None) -> pd.DataFrame:
    """The model's inputs, a row for each touch: SCHEMA_NUMBERS (float64), SCHEMA_CATEGORIES (text), index as in `touches`.

    `touches` have TOLD, and COUNTS where these were taken over more touches than they are (by default they are taken over
    `touches` themselves); `features` row by row the columns `{view}__{feature}` of VIEWS as known at the touch's seen_at
    (none: all missing). Given the same counts, a touch gets the same inputs offline and online.
    """
    told = touches.reset_index(drop=True)
    facts = pd.DataFrame(index=told.index) if features is None else features.reset_index(drop=True)
    inputs = {name: _number(facts, source) for name, source in COPIED.items()}
    counts = told if set(COUNTS) <= set(told) else running_counts(told, told)
    inputs |= {name: counts[name] for name in COUNTS}
    inputs["ip_before_7d"] = inputs["network_events_7d"].fillna(0) + counts["ip_before_1d"]
    inputs |= agent_parts(_text(told, "user_agent"))
    inputs["hour_of_day"] = pd.to_datetime(told["happened_at"], utc=True).dt.hour.astype("float64")
    inputs["is_click"] = (told["kind"] == "click").astype("float64")
    inputs["price_micros"] = _number(told, "price_micros")
    inputs |= {name: _text(told, name) for name in SCHEMA_CATEGORIES if name not in inputs}
    return pd.DataFrame(inputs, columns=[*SCHEMA_NUMBERS, *SCHEMA_CATEGORIES]).set_axis(touches.index)


def running_counts(touches: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """What of the same UTC day and network was seen strictly before each touch, ghosts left out.

    Columns RUNNING: how many touches by each of KEYS; SINCE: seconds since the last of them, NaN when it is the first.
    All are NaN without an ip_key.
    """
    past = history[history["kind"] != "eligible"]
    is_there = touches["ip_key"].notna().to_numpy()
    columns: dict[str, np.ndarray] = {}
    for name, by in KEYS.items():
        count, seconds = _seen_before(touches, past, by)
        columns |= {f"{name}_before_1d": count, f"seconds_since_{name}": seconds}
    kept = {name: np.where(is_there, columns[name], np.nan) for name in COUNTS}
    return pd.DataFrame(kept, index=touches.index)


def counted(touches: str) -> str:
    """SQL of DuckDB for the rows of a query with TOLD, in which there are no ghosts, and COUNTS as running_counts takes them over all."""
    columns = []
    for name, by in KEYS.items():
        window = f"PARTITION BY epoch_us(seen_at) // 86400000000, {', '.join(by)} ORDER BY epoch_us(seen_at)"
        columns.append(f"(rank() OVER ({window}) - 1)::DOUBLE AS {name}_before_1d")
        if f"seconds_since_{name}" in SINCE:
            last = f"max(epoch_us(seen_at)) OVER ({window} RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
            columns.append(f"(epoch_us(seen_at) - {last}) / 1e6 AS seconds_since_{name}")
    there = ", ".join(f"CASE WHEN ip_key IS NOT NULL THEN {name} END AS {name}" for name in COUNTS)
    return f"SELECT * REPLACE ({there}) FROM (SELECT *, {', '.join(columns)} FROM ({touches}))"


def agent_parts(agents: pd.Series) -> dict[str, pd.Series]:
    """Columns device and system, from what a user agent says first and last; None where it says nothing.

    A browser's long line is read as whence.normalise.agents does; a short one, as trackers tell it, is taken apart.

    >>> parts = agent_parts(pd.Series(["2/13", "Chrome 124 Android", None]))
    >>> parts["device"].tolist(), parts["system"].tolist()
    (['2', 'Chrome', None], ['13', 'Android', None])
    """
    known = {agent: _parts(agent) for agent in agents.dropna().unique()}
    told = [known.get(agent, (None, None)) for agent in agents]
    return {
        name: pd.Series([each[place] for each in told], index=agents.index, dtype=object)
        for place, name in enumerate(("device", "system"))
    }


def _parts(agent: str) -> tuple[str | None, str | None]:
    lasting = agent_texts.text(agent) if "|" in agent or "(" in agent else None
    if lasting:
        _, _, system, device = lasting.split("|")
        return device or None, system or None
    words = agent.replace("/", " ").split()
    return (words[0], words[-1]) if words else (None, None)


def labels(touches: pd.DataFrame, conversions: pd.DataFrame, conversion_days: float) -> pd.DataFrame:
    """Whether each touch was followed by a conversion within its window, as far as these conversions tell.

    `touches` and `conversions` carry person_id (None when unknown). A conversion with the click_id of one of
    these touches counts for that touch alone; one without counts for every touch of its person before it.
    Refunds count for nothing. Columns, index as in `touches`: label (0 or 1), converted_at and
    converted_seen_at of the conversion first seen (NaT without one).
    """
    bought = conversions[
        (conversions["kind"] != "refund") & conversions.get("refund_of", pd.Series(index=conversions.index)).isna()
    ]
    bought = bought[["person_id", "click_id", "happened_at", "seen_at"]].rename(
        columns={"happened_at": "at", "seen_at": "converted_seen_at"}
    )
    bought = bought.astype({"person_id": object, "click_id": object})  # a column without any value may have any type
    asked = touches[["person_id", "click_id", "happened_at", "kind"]].astype({"person_id": object, "click_id": object})
    asked = asked.reset_index(drop=True).rename_axis("touch").reset_index()
    is_click = asked["kind"].eq("click") & asked["click_id"].notna()
    by_click = asked[is_click].merge(bought.drop(columns="person_id").dropna(subset="click_id"), on="click_id")
    orphan = bought[~bought["click_id"].isin(asked.loc[is_click, "click_id"])]
    by_person = asked.merge(orphan.drop(columns="click_id").dropna(subset="person_id"), on="person_id")
    met = pd.concat([by_click[_MET], by_person[_MET]]) if len(by_person) else by_click[_MET]
    gap = met["at"] - met["happened_at"]
    met = met[(gap > pd.Timedelta(0)) & (gap <= pd.Timedelta(days=conversion_days))]
    first = met.sort_values(["converted_seen_at", "at"]).drop_duplicates("touch").set_index("touch").reindex(range(len(touches)))
    return pd.DataFrame(
        {
            "label": first["at"].notna().astype("int64").to_numpy(),
            "converted_at": pd.to_datetime(first["at"], utc=True).array,
            "converted_seen_at": pd.to_datetime(first["converted_seen_at"], utc=True).array,
        },
        index=touches.index,
    )


_MET = ["touch", "happened_at", "at", "converted_seen_at"]


def _seen_before(touches: pd.DataFrame, past: pd.DataFrame, by: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each touch, the rows of `past` of the same day and key with a smaller seen_at, and seconds since the last, by one sort."""
    asked = touches[[*by, "seen_at"]].assign(weight=0)
    told = past[[*by, "seen_at"]].assign(weight=1)
    both = pd.concat([asked, told], ignore_index=True) if len(told) else asked
    seen_at = pd.to_datetime(both["seen_at"], utc=True, cache=False).astype("datetime64[us, UTC]")
    group = both.assign(day=seen_at.dt.floor("D")).groupby([*by, "day"], sort=False, dropna=False).ngroup().to_numpy()
    # at the same instant the asking rows come first: what is seen at once is not known before
    micros = seen_at.astype("int64").to_numpy()
    order = np.lexsort((both["weight"].to_numpy(), micros, group))
    weight, at = both["weight"].to_numpy()[order], micros[order]
    starts = np.r_[True, group[order][1:] != group[order][:-1]][: len(order)]
    running = np.cumsum(weight) - weight
    running = running - np.maximum.accumulate(np.where(starts, running, 0))
    place = np.arange(len(order))
    last = np.r_[-1, np.maximum.accumulate(np.where(weight > 0, place, -1))[:-1]][: len(order)]
    is_first = last < np.maximum.accumulate(np.where(starts, place, 0))
    counts, seconds = np.zeros(len(both)), np.full(len(both), np.nan)
    counts[order] = running
    seconds[order] = np.where(is_first, np.nan, (at - at[np.maximum(last, 0)]) / 1e6)
    return counts[: len(touches)], seconds[: len(touches)]


def _number(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame:
        return pd.Series(np.nan, index=frame.index)
    return pd.to_numeric(frame[name], errors="coerce").astype("float64")


def _text(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name].astype(object) if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
