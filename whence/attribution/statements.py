"""Statements of credit: what was said of a conversion is never changed, only superseded, and every statement says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from whence.attribution.credit import NO_AD, ROW

OF = ["conversion_id", "algorithm"]
"""What a statement is of."""
ORDER = ["stated_on", "version"]
"""The later one counts."""
SAID = ("touch_id", "credit_micros", "clean_micros", "currency", "suspect", "new_to_brand")
"""A statement that says the same in these is the same statement …"""
SHARE = "share"
"""… together with the share, to within ROUNDING."""
ROUNDING = 1e-9

FIRST, LATE, IDENTITY, POLICY, MODEL, CORRECTION = "first", "late_events", "identity", "policy", "model", "correction"
CAUSES = (FIRST, LATE, IDENTITY, POLICY, MODEL, CORRECTION)

CURRENT = (
    "SELECT * FROM credits QUALIFY rank() OVER (PARTITION BY conversion_id, algorithm ORDER BY stated_on DESC, version DESC) = 1"
)
"""The rows of `credits` that hold now, for SQL."""


@dataclass(frozen=True)
class Occasion:
    """When and on what ground something is stated."""

    stated_on: date
    """The day of the run."""
    known_at: datetime
    policy: str
    """SHA-256 of the policy."""
    data: str
    """The versions of the tables that it is made from."""


def current(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the statements that hold: for each conversion and algorithm those of the last (stated_on, version).

    >>> told = pd.DataFrame({"conversion_id": "a", "algorithm": "linear", "stated_on": ["2026-05-01", "2026-05-02"],
    ...     "version": [2, 1], "touch_id": ["t", "u"]})
    >>> current(told)["touch_id"].tolist()
    ['u']
    """
    if rows.empty:
        return rows
    last = rows[[*OF, *ORDER]].drop_duplicates().sort_values(ORDER).drop_duplicates(OF, keep="last")
    kept: pd.DataFrame = rows.reset_index(drop=True).merge(last, on=[*OF, *ORDER])
    return kept


def news(known: pd.DataFrame, computed: pd.DataFrame, occasion: Occasion) -> pd.DataFrame:
    """The rows to be added so that `computed` holds: whole statements, of those conversions alone that it says anew.

    `known` are all rows of `credits` of these conversions that were stated until `occasion.stated_on`; `computed`
    has the columns of credit.ROW. What is computed as it was stated needs no new statement.
    """
    if computed.empty:
        return computed.assign(stated_on="", version=0, cause="", known_at=occasion.known_at, policy="", data="")
    held = current(known) if len(known) else known
    changed = _changed(held, computed)
    told = computed.merge(_reasons(held, computed, changed, occasion), on=OF)
    version = _next_versions(known, changed, str(occasion.stated_on))
    return told.merge(version, on=OF).assign(
        stated_on=str(occasion.stated_on), known_at=occasion.known_at, policy=occasion.policy, data=occasion.data
    )


def withdrawn(known: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """Rows that take back what is stated in `known` and computed no more: nothing to anybody, and the value to nobody.

    As when a day is delivered again and an order turns out to have been told before.
    """
    held = current(known)
    held = held[held["share"].ne(0) | held["credit_micros"].ne(0)]
    gone = held[~held.set_index(OF).index.isin(computed.set_index(OF).index)].drop_duplicates(OF)
    nothing = {"share": 0.0, "credit_micros": 0, "clean_micros": 0, "touched_at": pd.NaT}
    nobody = dict.fromkeys(("touch_id", "campaign_id", "channel", "suspect"), NO_AD)
    rows: pd.DataFrame = gone.assign(**nothing, **nobody)[list(ROW)]
    return rows


def _changed(held: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """The conversions and algorithms of `computed` whose rows are not those of `held`."""
    if not len(held):
        return computed[OF].drop_duplicates()
    names = [name for name in SAID if name != "touch_id"]
    both = computed.merge(held, on=[*OF, "touch_id"], how="outer", suffixes=("", "_held"), indicator=True)
    both = both[both.set_index(OF).index.isin(computed.set_index(OF).index)]
    differs = (both["_merge"] != "both").to_numpy()
    for name in names:
        differs |= ~_same(both[name], both[f"{name}_held"])
    differs |= ~(np.abs(both[SHARE].to_numpy("float64") - both[f"{SHARE}_held"].to_numpy("float64")) <= ROUNDING)
    changed: pd.DataFrame = both.loc[differs, OF].drop_duplicates()
    return changed


def _same(one: pd.Series, other: pd.Series) -> np.ndarray:
    left, right = (each.astype(object).where(each.notna(), None).to_numpy(dtype=object) for each in (one, other))
    return np.asarray(left == right, dtype=bool)


def _reasons(held: pd.DataFrame, computed: pd.DataFrame, changed: pd.DataFrame, occasion: Occasion) -> pd.DataFrame:
    """Why each changed statement differs from the one before it, the most telling reason first."""
    if not len(held):
        return changed.assign(cause=FIRST)
    now, was = _grounds(computed), _grounds(held)
    facts = changed.merge(now, on=OF, how="left").merge(was, on=OF, how="left", suffixes=("", "_held"))
    is_known = facts["stated_on"].notna()
    is_other_person = ~_same(facts["person_id"], facts["person_id_held"]) | ~_close(facts["certainty"], facts["certainty_held"])
    reasons = {
        FIRST: ~is_known,
        POLICY: facts["policy"].ne(occasion.policy),
        MODEL: ~_same(facts["bundle"], facts["bundle_held"]),
        CORRECTION: facts["stated_on"].eq(str(occasion.stated_on)),
        IDENTITY: is_other_person,
    }
    cause = np.select([np.asarray(each, dtype=bool) for each in reasons.values()], list(reasons), LATE)
    return changed.reset_index(drop=True).assign(cause=cause)


def _grounds(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a statement: on whose behalf, how surely, by which model and policy, and when it was made."""
    how = {"person_id": "first", "bundle": "first", "certainty": "min", "policy": "first", "stated_on": "first"}
    return rows.groupby(OF, as_index=False, sort=False).agg({name: each for name, each in how.items() if name in rows})


def _close(one: pd.Series, other: pd.Series) -> np.ndarray:
    left, right = one.to_numpy("float64"), other.to_numpy("float64")
    return np.asarray((np.isnan(left) & np.isnan(right)) | (np.abs(left - right) <= ROUNDING))


def _next_versions(known: pd.DataFrame, changed: pd.DataFrame, stated_on: str) -> pd.DataFrame:
    """The number of each new statement among those of its day of stating."""
    if not len(known):
        return changed.assign(version=1)
    last = known[known["stated_on"] == stated_on].groupby(OF)["version"].max().rename("last").reset_index()
    numbered = changed.merge(last, on=OF, how="left")
    return changed.reset_index(drop=True).assign(version=numbered["last"].fillna(0).astype("int64").to_numpy() + 1)
