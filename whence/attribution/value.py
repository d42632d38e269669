"""What a touch is worth: the inputs and labels of conversion-value, the same everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
RUNNING = ("ip_before_1d", "ip_campaign_before_1d", "ip_agent_before_1d")
SCHEMA_NUMBERS = (*COPIED, *RUNNING, "hour_of_day", "is_click", "price_micros")
SCHEMA_CATEGORIES = ("campaign_id", "channel", "user_agent", "placement", "kind", "country")


def touch_frame(touches: pd.DataFrame, features: pd.DataFrame | None = None, history: pd.DataFrame | None = None) -> pd.DataFrame:
    """The model's inputs, a row for each touch: SCHEMA_NUMBERS (float64), SCHEMA_CATEGORIES (text), index as in `touches`.

    `touches` have the columns of contracts.events.TOUCHES; `features` row by row the columns `{view}__{feature}`
    of VIEWS as known at the touch's seen_at (none: all missing); `history` the touches of the same days that
    the running counts are taken over (by default `touches` themselves). Given the same history, a touch gets
    the same inputs offline and online.
    """
    told = touches.reset_index(drop=True)
    facts = pd.DataFrame(index=told.index) if features is None else features.reset_index(drop=True)
    inputs = {name: _number(facts, source) for name, source in COPIED.items()}
    counts = running_counts(told, told if history is None else history)
    inputs |= {name: counts[name] for name in RUNNING}
    inputs["hour_of_day"] = pd.to_datetime(told["happened_at"], utc=True).dt.hour.astype("float64")
    inputs["is_click"] = (told["kind"] == "click").astype("float64")
    inputs["price_micros"] = _number(told, "price_micros")
    inputs |= {name: _text(told, name) for name in SCHEMA_CATEGORIES}
    return pd.DataFrame(inputs, columns=[*SCHEMA_NUMBERS, *SCHEMA_CATEGORIES]).set_axis(touches.index)


def running_counts(touches: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """How many touches of the same UTC day and network were seen strictly before each touch, ghosts left out.

    Columns RUNNING: on the network, with the campaign on it, with the user agent on it. NaN without an ip_key.
    """
    past = history[history["kind"] != "eligible"]
    keys = {
        "ip_before_1d": ["ip_key"],
        "ip_campaign_before_1d": ["ip_key", "campaign_id"],
        "ip_agent_before_1d": ["ip_key", "user_agent"],
    }
    counts = {name: _seen_before(touches, past, by) for name, by in keys.items()}
    is_there = touches["ip_key"].notna().to_numpy()
    return pd.DataFrame({name: np.where(is_there, n, np.nan) for name, n in counts.items()}, index=touches.index)


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


def _seen_before(touches: pd.DataFrame, past: pd.DataFrame, by: list[str]) -> np.ndarray:
    """For each touch, the rows of `past` of the same day and key with a smaller seen_at, by one sort."""
    asked = touches[[*by, "seen_at"]].assign(weight=0, row=np.arange(len(touches)))
    told = past[[*by, "seen_at"]].assign(weight=1, row=-1)
    both = pd.concat([asked, told], ignore_index=True) if len(told) else asked
    seen_at = pd.to_datetime(both["seen_at"], utc=True).astype("datetime64[us, UTC]")
    group = both.assign(day=seen_at.dt.floor("D")).groupby([*by, "day"], sort=False, dropna=False).ngroup().to_numpy()
    # at the same instant the asking rows come first: what is seen at once is not known before
    order = np.lexsort((both["weight"].to_numpy(), seen_at.astype("int64").to_numpy(), group))
    weight = both["weight"].to_numpy()[order]
    running = np.cumsum(weight) - weight
    starts = np.r_[True, group[order][1:] != group[order][:-1]]
    running = running - np.maximum.accumulate(np.where(starts, running, 0))
    counts = np.zeros(len(both))
    counts[order] = running
    return counts[: len(touches)]


def _number(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame:
        return pd.Series(np.nan, index=frame.index)
    return pd.to_numeric(frame[name], errors="coerce").astype("float64")


def _text(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name].astype(object) if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
