"""What speaks for and against a signal being a person's: the inputs of identity-ranker, the same everywhere."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import chain, repeat
from operator import eq
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from whence import columns
from whence.columns import MINUTE, NOT_A_TIME, Columns, Ints, Numbers, Texts

if TYPE_CHECKING:
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
SOURCES = {name: source.split("__")[0] for name, source in COPIED.items()} | {
    "network_place": "network_features",
    "hours_since_together": "pair_features",
    "identifier_agrees": "identifier_features",
    **dict.fromkeys(
        ("hours_since_person", "agent_place", "agent_overlap", "same_locale", "same_country", "hour_gap"), "person_features"
    ),
}
"""The view that each input rests on."""
SCHEMA_CATEGORIES: tuple[str, ...] = ()


SIGNAL_TIMES = ("happened_at", "seen_at")
SIGNAL_TEXTS = ("person_id", "user_agent", "locale", "country")
FACT_TEXTS = (
    "identifier_features__person_id",
    "network_features__people",
    "person_features__user_agents",
    "person_features__locale",
    "person_features__country",
)
FACT_TIMES = ("pair_features__last_together_at", "person_features__last_seen_at")
FACT_NUMBERS = (*COPIED.values(), "identifier_features__person_probability", "person_features__mean_hour")
OF_THE_MOMENT = ("network_age_hours", "hours_since_together", "hours_since_person", "hour_gap", "identifier_agrees")
FACTS_OF_THE_MOMENT = (
    *FACT_TIMES,
    "network_features__age_hours",
    "person_features__mean_hour",
    "identifier_features__person_id",
    "identifier_features__person_probability",
)

HOURS = np.array([hour + minute / 60 for hour in range(24) for minute in range(60)])
"""The hour of day of each of its minutes."""
MOST_LISTS = 4096
"""Lists of user agents whose likeness to another is remembered."""


def pair_columns(signals: Columns, facts: Columns) -> dict[str, Numbers]:
    """The model's inputs by name, a row for each pair: SCHEMA_NUMBERS; those that stand, and those of the moment.

    `signals` has, row by row with `facts`, SIGNAL_TIMES of the signal and SIGNAL_TEXTS (person_id is the candidate); `facts`
    has FACT_NUMBERS, FACT_TIMES and FACT_TEXTS, as known at the signal's seen_at. What all rows share may be one time or
    text: all of `signals` but person_id, and the people and the person that the network and the identifier are known by.
    Missing is as in whence.columns.
    """
    return standing_columns(signals, facts) | columns_of_the_moment(signals, facts)


def standing_columns(signals: Columns, facts: Columns) -> dict[str, Numbers]:
    """Those inputs that are the same whenever the same signal comes, as long as the facts are the same."""
    person = signals["person_id"]
    place, overlap = columns.once("agents", signals["user_agent"], facts["person_features__user_agents"], _agents)
    return {name: facts[source] for name, source in COPIED.items() if name not in OF_THE_MOMENT} | {
        "network_place": columns.once("places", facts["network_features__people"], person, _places),
        "agent_place": place,
        "agent_overlap": overlap,
        "same_locale": columns.once("same", signals["locale"], facts["person_features__locale"], same),
        "same_country": columns.once("same", signals["country"], facts["person_features__country"], same),
    }


def columns_of_the_moment(signals: Columns, facts: Columns) -> dict[str, Numbers]:
    """The others, OF_THE_MOMENT: by the signal's times and its identifiers; of `facts` they read FACTS_OF_THE_MOMENT."""
    seen_at = signals["seen_at"]
    return {
        "network_age_hours": facts["network_features__age_hours"],
        "hours_since_together": columns.hours_between(facts["pair_features__last_together_at"], seen_at),
        "hours_since_person": columns.hours_between(facts["person_features__last_seen_at"], seen_at),
        "hour_gap": _hour_gap(signals["happened_at"], facts["person_features__mean_hour"]),
        "identifier_agrees": identifier_agrees(signals["person_id"], facts),
    }


def pair_frame(signals: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """The model's inputs, a row for each pair: columns SCHEMA_NUMBERS (float64), index as in `signals`.

    `signals` has, row by row with `features`, the signal's columns (happened_at, seen_at, user_agent,
    locale, country) and the candidate's `person_id`; `features` the columns `{view}__{feature}` and
    `{view}__age_hours` of VIEWS as known at the signal's seen_at. A column that is absent counts as missing.
    """
    import pandas as pd

    told: dict[str, Any] = {name: columns.times(signals, name) for name in SIGNAL_TIMES}
    told |= {name: columns.texts(signals, name) for name in SIGNAL_TEXTS}
    facts: dict[str, Any] = {name: columns.numbers(features, name) for name in FACT_NUMBERS}
    facts |= {name: columns.times(features, name) for name in FACT_TIMES}
    facts |= {name: columns.texts(features, name) for name in FACT_TEXTS}
    return pd.DataFrame(pair_columns(told, facts), columns=list(SCHEMA_NUMBERS), index=signals.index)


def baseline_group(frame: pd.DataFrame) -> pd.Series:
    """The exact-match baseline's group of each pair: `named` when an identifier names the candidate, else `unnamed`.

    The baseline's probability is the share of matches in the pair's group, learned where the model is.
    """
    import pandas as pd

    return pd.Series(np.where(frame["identifier_agrees"].notna(), "named", "unnamed"), index=frame.index)


def same(left: Texts, right: Texts) -> Numbers:
    """1 where both are there and equal, 0 where they differ, NaN where one is missing.

    >>> same(["a", "a", None], ["a", "b", "c"]).tolist()
    [1.0, 0.0, nan]
    """
    found = np.fromiter(map(eq, left, right), np.float64, len(left))
    if None in left or None in right:
        found[[one is None or other is None for one, other in zip(left, right, strict=True)]] = np.nan
    return found


def _places(listed: Texts, person: Texts) -> Numbers:
    """The candidate's place in the network's list, 0 first; NaN when it is not there."""
    lists = set(listed)
    if len(lists) == 1:
        ranks, missing = _ranks(lists.pop()), repeat(np.nan)
        return np.fromiter(map(ranks.get, person, missing), np.float64, len(person))
    several = {text: _ranks(text) for text in lists}
    return np.array([several[text].get(each) for each, text in zip(person, listed, strict=True)], dtype=np.float64)


@lru_cache(1024)
def _ranks(text: str | None) -> dict[str | None, float]:
    people = [] if text is None else orjson.loads(text)
    return {each: float(place) for place, each in reversed(list(enumerate(people)))}


def _agents(agent: Texts, listed: Texts) -> tuple[Numbers, Numbers]:
    """The agent's place in the person's list (its length when absent), and the best overlap of its words, 0 to 1."""
    compared = {one: _compared(one) for one in set(agent)}
    found = [compared[one][text] for one, text in zip(agent, listed, strict=True)]
    places, overlaps = np.fromiter(chain.from_iterable(found), np.float64, 2 * len(found)).reshape(-1, 2).T
    return places, overlaps


@lru_cache(512)
def _compared(agent: str | None) -> _Compared:
    return _Compared(agent)


class _Compared(dict[str | None, tuple[float, float]]):
    """Of one user agent with lists of them: its place there, and its best overlap, remembered."""

    def __init__(self, agent: str | None) -> None:
        super().__init__({None: (np.nan, np.nan)})
        self._agent = agent
        self._overlaps = _Overlaps(_words(agent or ""))

    def __missing__(self, listed: str) -> tuple[float, float]:
        if self._agent is None:
            return np.nan, np.nan
        known = orjson.loads(listed)
        overlaps = self._overlaps
        place = known.index(self._agent) if self._agent in known else len(known)
        found = place, max([overlaps[each] for each in known], default=np.nan)
        if len(self) < MOST_LISTS:
            self[listed] = found
        return found


class _Overlaps(dict[str, float]):
    """Of one user agent with others: the Jaccard overlap of their words, remembered."""

    def __init__(self, words: frozenset[str]) -> None:
        super().__init__()
        self._own = words

    def __missing__(self, other: str) -> float:
        words = _words(other)
        overlap = len(self._own & words) / len(self._own | words)
        if len(self) < MOST_LISTS:
            self[other] = overlap
        return overlap


@lru_cache(4096)
def _words(agent: str) -> frozenset[str]:
    return frozenset(re.split(r"[^0-9a-z]+", agent.lower()))


def _listed(text: str | None) -> list[str]:
    return [] if text is None else orjson.loads(text)


def hour_of_day(happened_at: int) -> float:
    """The hour of a moment, to the minute; NaN where there is none."""
    return math.nan if happened_at == NOT_A_TIME else float(HOURS[happened_at // MINUTE % len(HOURS)])


def _hour_gap(happened_at: Ints | int, mean_hour: Numbers) -> Numbers:
    """Hours between the signal's hour of day and the person's usual one, round the clock: 0 to 12."""
    gap: Numbers = np.abs(HOURS[happened_at // MINUTE % len(HOURS)] - mean_hour)
    if columns.is_lacking(happened_at):
        gap[np.equal(happened_at, NOT_A_TIME)] = np.nan
    return np.minimum(gap, 24 - gap)


def identifier_agrees(person: Texts, facts: Columns) -> Numbers:
    """How surely an identifier names the candidate; NaN when it names nobody, or somebody else.

    Somebody else is no evidence against: a new cookie belongs to a person of its own until it is matched.
    """
    named = facts["identifier_features__person_id"]
    if named is None:
        return np.full(len(person), np.nan)
    names = repeat(named) if isinstance(named, str) else named
    is_named = np.fromiter(map(eq, names, person), bool, len(person))
    return np.where(is_named, facts["identifier_features__person_probability"], np.nan)
