"""How a day's features reached its models, view by view: fresh, a day late, or not at all; and the same for another day's rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pandas as pd

from features.packing import JOIN_KEYS
from whence.attribution import evidence as journey_evidence
from whence.attribution import response, value
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.identity import evidence as identity_evidence

History = Callable[[pd.DataFrame, tuple[str, ...]], pd.DataFrame]
"""features.historical for some settings: rows and views in, the same rows with feature columns out."""
Freshness = Mapping[str, int | None]
"""By view: how many days late its rows were, None for not there. What is not named was fresh: the rows of the day before."""

ENOUGH = 0.99
"""The share of a view's logged inputs that must be explained."""
LATE, ABSENT = 1, None
DAY = timedelta(days=1)


def _views(copied: Mapping[str, str]) -> dict[str, str]:
    return {name: source.split("__")[0] for name, source in copied.items()}


VIEWS: Mapping[str, Mapping[str, str]] = {
    IDENTITY_RANKER: identity_evidence.SOURCES,
    ATTRIBUTION_RANKER: journey_evidence.SOURCES,
    CONVERSION_VALUE: _views(value.COPIED),
    EXPOSURE_RESPONSE: _views(response.COPIED),
}
"""By model and input: the view that the input rests on."""


@dataclass(frozen=True)
class Shelf:
    """Feature tables as of any hour; each question is asked once."""

    ask: History
    _told: dict[str, pd.DataFrame] = field(default_factory=dict)

    def history(self, fresh: Freshness, people: timedelta) -> History:
        """What each view told of the rows at their own hour, had it been so fresh.

        `people` is how far the day of who is who is from the rows' day: a person by a name that only that day knew is told of
        as it was known then.
        """

        def ask(rows: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
            found = rows
            for view in views:
                late = fresh.get(view, 0)
                told, age = self._view(rows, view, -DAY * (late or 0)), f"{view}__age_hours"
                told = told.assign(**{age: told[age] + 24.0 * (late or 0)})
                if people and "person_id" in JOIN_KEYS[view]:
                    there = self._view(rows, view, people)
                    told = told.where(told[age].notna(), there)
                found = pd.concat([found, told if late is not None else told.iloc[:0].reindex(told.index)], axis=1)
            return found

        return ask

    def _view(self, rows: pd.DataFrame, view: str, shift: timedelta) -> pd.DataFrame:
        """The view's columns for the rows, as known `shift` after each row's hour."""
        keys = ["row_id", "seen_at", *JOIN_KEYS[view]]
        moved = rows[keys].assign(seen_at=rows["seen_at"] + shift)
        plain = moved.astype(dict.fromkeys(JOIN_KEYS[view], object))
        content = pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes()
        name = f"{view} {hashlib.sha256(content).hexdigest()}"
        if name not in self._told:
            self._told[name] = self.ask(moved, (view,)).drop(columns=keys).reset_index(drop=True)
        return self._told[name].set_axis(rows.index)


def freshness(
    model: str, logged: pd.DataFrame, seen: Callable[[Freshness], pd.DataFrame]
) -> tuple[Freshness, Mapping[str, float]]:
    """How fresh each view was when the logged decisions were made, and the share of its logged inputs that this explains.

    `logged` has subject, option and features (JSON); `seen` gives subject, option and the inputs as they would have been.
    """
    found: dict[str, int | None] = {}
    share = _agreement(model, logged, seen(found))
    for late in (LATE, ABSENT):
        off = [view for view, each in share.items() if each < ENOUGH]
        if not off:
            break
        again = _agreement(model, logged, seen({**found, **dict.fromkeys(off, late)}))
        better = [view for view in off if again[view] > share[view]]
        found |= dict.fromkeys(better, late)
        share |= {view: again[view] for view in better}
    return found, share


def _agreement(model: str, logged: pd.DataFrame, seen: pd.DataFrame) -> dict[str, float]:
    """By view the share of inputs that are as they were logged, over the decisions that both have."""
    told = pd.DataFrame.from_records([json.loads(text) for text in logged["features"]], index=logged.index)
    names = {name: view for name, view in VIEWS[model].items() if name in told and name in seen}
    columns = ["subject", "option", *names]
    then = pd.concat([_keys(logged), told[list(names)]], axis=1).drop_duplicates(["subject", "option"])
    now = pd.concat([_keys(seen), seen[list(names)]], axis=1).drop_duplicates(["subject", "option"])
    both = then.merge(now[columns], on=["subject", "option"], suffixes=("_then", "_now"))
    equal: dict[str, list[np.ndarray]] = {}
    for name, view in names.items():
        was, came = (pd.to_numeric(both[f"{name}{side}"], errors="coerce").to_numpy("float64") for side in ("_then", "_now"))
        equal.setdefault(view, []).append((was == came) | (np.isnan(was) & ~np.isfinite(came)))
    return {view: float(np.mean(each)) if len(both) else 1.0 for view, each in equal.items()}


def _keys(rows: pd.DataFrame) -> pd.DataFrame:
    option = rows["option"].fillna("") if "option" in rows else pd.Series("", index=rows.index)
    return pd.DataFrame({"subject": rows["subject"].astype(str), "option": option.astype(str)})
