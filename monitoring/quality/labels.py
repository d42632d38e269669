"""What came of a model's decisions: its labels as they are known by now, never the simulated truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

from whence.attribution import value
from whence.contracts.events import LINK_KEYS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.identity import exact


@dataclass(frozen=True)
class Ripening:
    """When a model's decisions are judged: days until labels are ripe, and how many days go together."""

    wait_days: int
    span_days: int


def ripening(model: str, conversion_days: float) -> Ripening:
    """How a model's labels ripen: a click id tells at once, a log-in when it comes, a conversion after its window.

    >>> ripening("conversion-value", 3.0)
    Ripening(wait_days=4, span_days=1)
    """
    if model == CONVERSION_VALUE:
        return Ripening(math.ceil(conversion_days) + 1, 1)
    return Ripening(0, 7 if model == IDENTITY_RANKER else 1)


@dataclass(frozen=True)
class Known:
    """What is known at the end of the day that judges; frames with columns of the contracts' tables, empty where the model's labels do not look."""

    touches: pd.DataFrame = field(default_factory=pd.DataFrame)
    conversions: pd.DataFrame = field(default_factory=pd.DataFrame)
    signals: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Events that were decided about, with their identifiers."""
    persons: pd.DataFrame = field(default_factory=pd.DataFrame)
    """For each identifier its latest answer."""
    exact_before: pd.DataFrame = field(default_factory=pd.DataFrame)
    """For each identifier its exact person when the decisions were made."""
    exact_now: pd.DataFrame = field(default_factory=pd.DataFrame)
    """For each identifier its exact person today."""


def labelled(model: str, decisions: pd.DataFrame, known: Known, conversion_days: float) -> pd.DataFrame:
    """Decisions with what came of them: columns probability, label (0 or 1), cluster; those nobody can judge are left out.

    `decisions` has subject, option, probability. The labels are those of training, taken from what
    is known by now: never from the simulated truth.
    """
    if decisions.empty:
        return pd.DataFrame({"probability": [], "label": [], "cluster": []})
    return _LABELS[model](decisions.reset_index(drop=True), known, conversion_days)


def watched(known: Known, conversion_days: float, now: datetime) -> pd.DataFrame:
    """The touches with what has come of them by now: their columns, person_id, label, and in days age and delay (NaN for none)."""
    touches = known.touches.assign(person_id=exact.who(known.touches, known.persons))
    conversions = known.conversions.assign(person_id=exact.who(known.conversions, known.persons))
    told, day = value.labels(touches, conversions, conversion_days), pd.Timedelta(days=1)
    return touches.assign(
        label=told["label"],
        age=(pd.Timestamp(now) - touches["happened_at"]) / day,
        delay=(told["converted_seen_at"] - touches["happened_at"]) / day,
    )


def of_touches(decisions: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Decisions about touches with label, age and cluster of the touch; those about a touch that is not told are left out."""
    return _joined(decisions, told, ("event_id", "touch_id"), ("label", "age"))


def _value_labels(decisions: pd.DataFrame, known: Known, conversion_days: float) -> pd.DataFrame:
    touches = known.touches.assign(person_id=exact.who(known.touches, known.persons))
    conversions = known.conversions.assign(person_id=exact.who(known.conversions, known.persons))
    told = touches.assign(label=value.labels(touches, conversions, conversion_days)["label"])
    return _joined(decisions, told, ("event_id", "touch_id"), ("label",))


def _ranker_labels(decisions: pd.DataFrame, known: Known, conversion_days: float) -> pd.DataFrame:
    """1 for the touch whose click id the conversion carries, for conversions that carry one of a candidate."""
    sides = {}
    for name, key, frame in (("subject", "conversion_id", known.conversions), ("option", "touch_id", known.touches)):
        side = frame.drop_duplicates(key)
        sides[name] = side.assign(person=exact.who(side, known.persons)).set_index(key)[["person", "click_id"]]
    ids = _event_to_id(decisions["subject"], known.conversions, "conversion_id")
    conversion, touch = sides["subject"].reindex(ids), sides["option"].reindex(decisions["option"])
    click = conversion["click_id"].to_numpy(dtype=object)
    same = pd.Series([c is not None and c == t and c == c for c, t in zip(click, touch["click_id"], strict=True)])
    by_person = pd.Series(conversion["person"].to_numpy(dtype=object) == touch["person"].to_numpy(dtype=object))
    told = (same & by_person).groupby(ids.to_numpy()).transform("max") & by_person
    person = conversion["person"].to_numpy(dtype=object)
    rows = pd.DataFrame({"probability": decisions["probability"], "label": same.astype("int64"), "cluster": person})
    return rows[told.to_numpy()].reset_index(drop=True)


def _no_labels(decisions: pd.DataFrame, known: Known, conversion_days: float) -> pd.DataFrame:
    """It is asked about conversions alone, which all happened: its calibration shows in training, and in lift."""
    return pd.DataFrame({"probability": [], "label": [], "cluster": []})


def _identity_labels(decisions: pd.DataFrame, known: Known, conversion_days: float) -> pd.DataFrame:
    """Where a later log-in has told whose the signal was: is the candidate that person?"""
    accounts = exact.with_account(known.exact_now)
    signals = known.signals.drop_duplicates("event_id")
    owner = pd.Series(exact.who(signals, known.exact_now).to_numpy(), index=signals["event_id"].to_numpy(), dtype=object)
    true = decisions["subject"].map(owner)
    moved = _moved(known)
    option = decisions["option"].map(lambda person: moved.get(person, person))
    rows = pd.DataFrame({"probability": decisions["probability"], "label": (true == option).astype("int64"), "cluster": true})
    return rows[true.isin(accounts).to_numpy()].reset_index(drop=True)


def _moved(known: Known) -> dict[str, str]:
    """Where persons went in merges since the decisions: old person id to today's."""
    both = known.exact_before[["identifier", "person_id"]].merge(
        known.exact_now[["identifier", "person_id"]], on="identifier", suffixes=("_then", "_now")
    )
    both = both[both["person_id_then"] != both["person_id_now"]]
    return dict(zip(both["person_id_then"], both["person_id_now"], strict=True))


def _joined(decisions: pd.DataFrame, told: pd.DataFrame, keys: tuple[str, ...], columns: tuple[str, ...]) -> pd.DataFrame:
    """Decisions with what is told of their subject, which is an event or the touch's own id."""
    parts = []
    for key in keys:
        known = told.drop_duplicates(key).set_index(key)
        here = decisions[decisions["subject"].isin(known.index)]
        found = known.loc[here["subject"]]
        cluster = found["person_id"].where(found["person_id"].notna(), found["ip_key"]).fillna("nobody")
        taken = {name: found[name].to_numpy() for name in columns}
        parts.append(
            pd.DataFrame(
                {"probability": here["probability"].to_numpy(), **taken, "cluster": cluster.astype(str).to_numpy()},
                index=here.index,
            )
        )
    rows = pd.concat(parts)
    return rows[~rows.index.duplicated()].sort_index().reset_index(drop=True)


def _event_to_id(subjects: pd.Series, frame: pd.DataFrame, key: str) -> pd.Series:
    """Subjects as ids, where some are named by their event."""
    ids = frame.drop_duplicates("event_id").set_index("event_id")[key]
    return subjects.map(ids).fillna(subjects)


_LABELS: dict[str, Callable[[pd.DataFrame, Known, float], pd.DataFrame]] = {
    CONVERSION_VALUE: _value_labels,
    ATTRIBUTION_RANKER: _ranker_labels,
    IDENTITY_RANKER: _identity_labels,
    EXPOSURE_RESPONSE: _no_labels,
}
NEEDED = ("event_id", "happened_at", "seen_at", "click_id", "ip_key", *LINK_KEYS)
"""Columns that every event frame in `Known` must have."""
