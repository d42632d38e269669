"""What speaks for and against a signal being a person's: the inputs of identity-ranker, the same everywhere."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd

VIEWS = ("identifier_features", "network_features", "person_features", "pair_features")
"""The feature views whose columns `pair_frame` reads."""

COPIED = {
    "network_events_7d": "network_features__events_7d",
    "network_identifiers_7d": "network_features__identifiers_7d",
    "network_persons_7d": "network_features__persons_7d",
    "network_age_hours": "network_features__age_hours",
    "days_together_14d": "pair_features__days_together_14d",
    "events_together_14d": "pair_features__events_together_14d",
    "share_of_person_14d": "pair_features__share_of_person_14d",
    "person_identifiers": "person_features__identifiers",
    "person_logins_7d": "person_features__logins_7d",
    "person_touches_7d": "person_features__touches_7d",
}
COMPUTED = (
    "network_place",
    "hours_since_together",
    "hours_since_person",
    "agent_place",
    "agent_overlap",
    "same_locale",
    "same_country",
    "hour_gap",
    "identifier_agrees",
)
SCHEMA_NUMBERS = (*COPIED, *COMPUTED)
SCHEMA_CATEGORIES: tuple[str, ...] = ()


def pair_frame(signals: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """The model's inputs, a row for each pair: columns SCHEMA_NUMBERS (float64), index as in `signals`.

    `signals` has, row by row with `features`, the signal's columns (happened_at, seen_at, user_agent,
    locale, country) and the candidate's `person_id`; `features` the columns `{view}__{feature}` and
    `{view}__age_hours` of VIEWS as known at the signal's seen_at. A column that is absent counts as missing.
    """
    facts = features.reset_index(drop=True)
    told = signals.reset_index(drop=True)
    person = told["person_id"]
    place, overlap = _agents(_column(told, "user_agent"), _column(facts, "person_features__user_agents"))
    inputs = {name: _number(facts, source) for name, source in COPIED.items()} | {
        "network_place": _places(person, _column(facts, "network_features__people")),
        "hours_since_together": _hours_since(told["seen_at"], _column(facts, "pair_features__last_together_at")),
        "hours_since_person": _hours_since(told["seen_at"], _column(facts, "person_features__last_seen_at")),
        "agent_place": place,
        "agent_overlap": overlap,
        "same_locale": same(_column(told, "locale"), _column(facts, "person_features__locale")),
        "same_country": same(_column(told, "country"), _column(facts, "person_features__country")),
        "hour_gap": _hour_gap(told["happened_at"], _number(facts, "person_features__mean_hour")),
        "identifier_agrees": _identifier_agrees(person, facts),
    }
    return pd.DataFrame(inputs, columns=list(SCHEMA_NUMBERS)).set_axis(signals.index).astype("float64")


def baseline_group(frame: pd.DataFrame) -> pd.Series:
    """The exact-match baseline's group of each pair: `named` when an identifier names the candidate, else `unnamed`.

    The baseline's probability is the share of matches in the pair's group, learned where the model is.
    """
    return pd.Series(np.where(frame["identifier_agrees"].notna(), "named", "unnamed"), index=frame.index)


def same(left: pd.Series, right: pd.Series) -> pd.Series:
    """1 where both are there and equal, 0 where they differ, NaN where one is missing.

    >>> same(pd.Series(["a", "a", None]), pd.Series(["a", "b", "c"])).tolist()
    [1.0, 0.0, nan]
    """
    both = left.notna().to_numpy() & right.notna().to_numpy()
    return pd.Series(np.where(both, (left.to_numpy() == right.to_numpy()).astype("float64"), np.nan), index=left.index)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)


def _number(frame: pd.DataFrame, name: str) -> pd.Series:
    return pd.to_numeric(_column(frame, name), errors="coerce").astype("float64")


def _hours_since(now: pd.Series, then: pd.Series) -> pd.Series:
    gap = pd.to_datetime(now, utc=True) - pd.to_datetime(then, utc=True, format="ISO8601")
    return gap.dt.total_seconds() / 3600


def _places(person: pd.Series, listed: pd.Series) -> pd.Series:
    """The candidate's place in the network's list, 0 first; NaN when it is not there."""
    parsed = _parsed(listed)
    return pd.Series(
        [_place(each, parsed.get(text) if isinstance(text, str) else None) for each, text in zip(person, listed, strict=True)]
    )


def _place(wanted: object, found: list[Any] | None) -> float:
    return float(found.index(wanted)) if found and wanted in found else np.nan


def _agents(agent: pd.Series, listed: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The agent's place in the person's list (its length when absent), and the best overlap of its words, 0 to 1."""
    parsed = _parsed(listed)
    seen: dict[tuple[str, str], tuple[float, float]] = {}
    for key in {(a, t) for a, t in zip(agent, listed, strict=True) if isinstance(a, str) and isinstance(t, str)}:
        known = parsed[key[1]]
        place = _place(key[0], known)
        seen[key] = (place if place == place else float(len(known)), max((_overlap(key[0], k) for k in known), default=np.nan))
    missing = (np.nan, np.nan)
    pairs = [
        seen.get((a, t), missing) if isinstance(a, str) and isinstance(t, str) else missing
        for a, t in zip(agent, listed, strict=True)
    ]
    return pd.Series([p for p, _ in pairs], dtype="float64"), pd.Series([o for _, o in pairs], dtype="float64")


def _parsed(listed: pd.Series) -> dict[str, list[Any]]:
    return {text: json.loads(text) for text in set(listed[listed.notna()])}


def _overlap(one: str, other: str) -> float:
    """Jaccard overlap of the words in two user agents."""
    a, b = set(re.split(r"[^0-9a-z]+", one.lower())), set(re.split(r"[^0-9a-z]+", other.lower()))
    return len(a & b) / len(a | b)


def _hour_gap(happened_at: pd.Series, mean_hour: pd.Series) -> pd.Series:
    """Hours between the signal's hour of day and the person's usual one, round the clock: 0 to 12."""
    at = pd.to_datetime(happened_at, utc=True)
    gap = (at.dt.hour + at.dt.minute / 60 - mean_hour).abs()
    return gap.where(gap <= 12, 24 - gap)


def _identifier_agrees(person: pd.Series, facts: pd.DataFrame) -> pd.Series:
    """How surely an identifier names the candidate; NaN when it names nobody, or somebody else.

    Somebody else is no evidence against: a new cookie belongs to a person of its own until it is matched.
    """
    is_named = _column(facts, "identifier_features__person_id").to_numpy() == person.to_numpy()
    return _number(facts, "identifier_features__person_probability").where(is_named)
