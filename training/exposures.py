"""Examples of exposure-response: moments of persons' lives, those at which they converted and others drawn by lot.

To compare the moments of conversions with moments by lot is to learn the rate of converting: the odds of a moment being
one of a conversion are in proportion to it, whatever number of other moments is drawn.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd

from features import historical
from training import known
from training.audit import Audited, Trained
from training.examples import Examples, made
from whence.attribution import levels, lift, orders, response
from whence.attribution import policy as policies
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.identity import exact
from whence.lake import Lake

MOMENTS_A_CONVERSION = 8
"""Moments by lot for each conversion; more would say little more."""
LEAST_MOMENTS = 4_000
WARM_UP_DAYS = 2.0
"""Moments begin so long after the first day, or after a quarter of the days: earlier exposures are not known."""
LEAVES = 16
"""More than other models have: who is shown what, and what it does, hang together, and few leaves credit too little."""
READ = ("touch_id", "person_id", "happened_at", "seen_at", "kind", "campaign_id", "channel", "holdout", "experiment")
"""What is read of touches."""
NOTHING = "nothing"
"""The last channel of a person who met no ad."""


def exposure_examples(settings: Settings, lake: Lake, window: Window) -> Examples:
    """A row for each conversion of a known person, and for moments of persons that are drawn by lot."""
    people, policy = known.persons(lake, window.last), policies.of(settings)
    touches = known.events(lake, "touches", window)
    touches["person_id"] = exact.who(touches, people)
    touches = touches[list(READ)]  # the rest is wide, and would be carried along
    told = orders.fill_identifiers(known.events(lake, "conversions", window))
    told["person_id"] = exact.who(told, people)
    bought = orders.sort_out(told, told.head(0), policy).counted.dropna(subset="person_id")
    moments = _moments(bought, touches, window, settings)
    columns = response.columns_of(touches.dropna(subset="person_id"))
    before = historical(settings, response.before(moments), response.VIEWS)
    inputs = response.frame(moments, touches, columns, response.covariates_of(before))
    channel = response.last_channel(moments, touches).fillna(NOTHING)
    facts = moments.rename(columns={"person_id": "person"}).assign(group="", segment=channel, baseline_group=channel)
    facts["delay_days"] = np.where(facts["label"] > 0, (facts["seen_at"] - facts["happened_at"]) / pd.Timedelta(days=1), np.nan)
    learning = {"num_leaves": LEAVES, "monotone_constraints": response.directions(list(inputs.columns))}
    audit = partial(against_lift, moments, inputs, bought, lift.arms(touches, columns.by))
    return made(inputs, facts, (), window.end, learning=learning, audit=audit)


def against_lift(
    moments: pd.DataFrame, inputs: pd.DataFrame, bought: pd.DataFrame, arms: pd.DataFrame, model: Trained, persons: set[str]
) -> Audited:
    """What the model says that tested streams lift, over what their experiments measured, among persons it has not met.

    Both sides count the conversions of treated persons from their first opportunity on. The bundle gets the factors by
    which credit is brought to the level of levels.Regression, which learns from the other persons, and from there moved
    towards lift. Nothing where there is no experiment.
    """
    is_stranger = moments["person_id"].isin(persons)
    is_case = (moments["label"] > 0) & is_stranger
    people, told = arms[arms["person_id"].isin(persons)], moments[is_case]
    lifts = lift.measured(people, bought[bought["conversion_id"].isin(told["row_id"])])
    if lifts.empty:
        return Audited()
    taught = inputs[~is_stranger], moments.loc[~is_stranger, "label"].to_numpy(dtype=np.float64)
    regression = levels.fit(*taught)
    said = _claims(response.losses(inputs[is_case], model), told, people)
    meant = _claims(response.losses(inputs[is_case], regression), told, people) if regression else said
    factors = lift.shrunk(meant, lifts)["factor"]
    scale = levels.factors(inputs[is_case], model, regression)
    streams = factors.index.union(scale.index)
    factors = factors.reindex(streams, fill_value=1.0) * scale.reindex(streams, fill_value=1.0)
    return Audited({"lift_agreement": lift.agreement(said, lifts)}, {"factors": factors.round(6).to_dict()})


def _claims(lost: pd.DataFrame, told: pd.DataFrame, people: pd.DataFrame) -> pd.Series:
    """What losses (response.losses of the conversions `told`) say that each stream lifts among those treated in its experiment."""
    said = {}
    for stream, each in people[~people["is_held_out"]].groupby("stream"):
        since = told["person_id"].map(each.set_index("person_id")["since"])
        said[str(stream)] = float(lost.loc[told["happened_at"] > since, str(stream)].sum()) if str(stream) in lost else 0.0
    return pd.Series(said, dtype="float64")


def _moments(bought: pd.DataFrame, touches: pd.DataFrame, window: Window, settings: Settings) -> pd.DataFrame:
    """Moments of conversions and by lot: row_id, person_id, happened_at, seen_at, known_by, label."""
    start = pd.Timestamp(window.start) + min(timedelta(days=WARM_UP_DAYS), (window.end - window.start) / 4)
    cases = bought.loc[bought["happened_at"] >= start, ["conversion_id", "person_id", "happened_at", "seen_at"]]
    cases = cases.rename(columns={"conversion_id": "row_id"}).assign(label=1)
    lives = pd.concat([bought[["person_id", "happened_at"]], touches[["person_id", "happened_at"]]]).dropna()
    persons = np.sort(lives["person_id"].unique())
    wanted = min(max(MOMENTS_A_CONVERSION * len(cases), LEAST_MOMENTS), settings.training.max_rows - len(cases))
    others = _by_lot(persons, start, pd.Timestamp(window.end), wanted, settings.training.seed)
    every = pd.concat([cases, others.assign(seen_at=others["happened_at"], label=0)], ignore_index=True)
    for name in ("happened_at", "seen_at"):
        every[name] = pd.to_datetime(every[name], utc=True).astype("datetime64[us, UTC]")
    return every.assign(known_by=every["seen_at"].dt.floor("D") + pd.Timedelta(days=1))


def _by_lot(persons: np.ndarray, start: pd.Timestamp, end: pd.Timestamp, wanted: int, seed: int) -> pd.DataFrame:
    """So many moments of these persons' lives, the same ones in every training."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(persons), wanted) if len(persons) else np.arange(0)
    at = rng.random(len(drawn)) * (end - start).total_seconds() * 1e6
    return pd.DataFrame(
        {
            "row_id": pd.Series(np.arange(len(drawn))).astype(str).radd("moment-"),
            "person_id": persons[drawn],
            "happened_at": start + pd.to_timedelta(at.astype("int64"), unit="us"),
        }
    )
