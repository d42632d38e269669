"""From tables to examples, for each of the four models: inputs as known at each row's time, labels as known at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from features import historical
from training import known
from training.errors import TooFewLabels
from training.examples import Examples, made
from training.exposures import exposure_examples
from training.split import buckets
from whence.attribution import evidence as journey_evidence
from whence.attribution import journeys, orders, response, value
from whence.attribution import policy as policies
from whence.attribution.policy import Policy
from whence.contracts.events import EVENTS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.identity import evidence as identity_evidence
from whence.identity import exact, retrieve, signals, weak_labels
from whence.lake import Lake

READS = {
    IDENTITY_RANKER: ("touches", "conversions", "sightings", "persons", *identity_evidence.VIEWS),
    ATTRIBUTION_RANKER: ("touches", "conversions", "persons", *journey_evidence.VIEWS),
    CONVERSION_VALUE: ("touches", "conversions", "persons", *value.VIEWS),
    EXPOSURE_RESPONSE: ("touches", "conversions", "persons", *response.VIEWS),
}
"""The tables that each model's examples are made from."""

MOST_LISTED = 1_000
"""Places of a candidate list that are looked at to measure what its cut costs."""
SIGNALS_SHARE = 0.2
"""Signals are cut to this share of the rows before their candidates are looked up; a signal has several."""


def build(settings: Settings, model: str, as_of: date) -> Examples:
    """The examples of a model from the days up to `as_of`; at most training.max_rows, cut by whole persons."""
    builders: dict[str, Callable[[Settings, Lake, Window], Examples]] = {
        IDENTITY_RANKER: identity_examples,
        ATTRIBUTION_RANKER: attribution_examples,
        CONVERSION_VALUE: value_examples,
        EXPOSURE_RESPONSE: exposure_examples,
    }
    lake = Lake.of(settings)
    if not any(day <= str(as_of) for name in EVENTS for day in lake.days(name)):
        raise TooFewLabels(f"There is not one event up to {as_of}. Ingest the days before it first: `whence ingest DAYS`.")
    return builders[model](settings, lake, known.history(lake, as_of, settings.training.window_days))


def value_examples(settings: Settings, lake: Lake, window: Window) -> Examples:
    """A row for each touch that somebody could see; the label is a conversion within training.conversion_days.

    A person's features go by the person that the touch's identifier led to then, not by what is known of it now.
    """
    everything = known.events(lake, "touches", window)
    conversions = known.events(lake, "conversions", window)
    people = known.persons(lake, window.last)
    touches = everything[everything["kind"] != "eligible"].reset_index(drop=True)
    touches["owner"] = known.owners(exact.who(touches, people), touches)
    touches = _at_most(touches, "owner", settings)
    touches["person_id"] = exact.who(touches, people)
    conversions["person_id"] = exact.who(conversions, people)
    days = settings.training.conversion_days
    told = value.labels(touches, conversions, days)
    delay = (told["converted_seen_at"] - touches["happened_at"]).dt.total_seconds() / 86_400
    counted = touches.join(value.running_counts(touches, everything))
    inputs = value.touch_frame(counted, _touch_features(settings, touches))
    facts = touches[["happened_at", "seen_at"]].assign(
        row_id=touches["event_id"],
        label=told["label"],
        delay_days=delay,
        person=touches["owner"],
        group="",
        segment=touches["channel"],
        baseline_group="all",
    )
    return made(inputs, facts, value.SCHEMA_CATEGORIES, window.end, days, value.LEARNING)


def identity_examples(settings: Settings, lake: Lake, window: Window) -> Examples:
    """A row for each signal that carried a log-in, which is hidden, and each known person who could be meant.

    Candidates come from what was known of the signal's network and identifier at its time. A person who has since
    been merged into another counts as that other; persons without any log-in are no candidates, as in serving.
    """
    people = known.persons(lake, window.last)
    went, accounts = known.successors(lake, window.last), exact.with_account(people)
    events = signals.stack(*(known.events(lake, name, window) for name in ("touches", "conversions", "sightings")))
    hidden = weak_labels.masked(events, people, settings.training.seed).reset_index(drop=True)
    hidden = _at_most(hidden, "person_id", settings, SIGNALS_SHARE)
    asked = hidden.drop(columns="person_id").assign(row_id=np.arange(len(hidden)), identifier=signals.strongest(hidden))
    then = historical(settings, asked, ("network_features", "identifier_features"))
    listed, named = then["network_features__people"], then["identifier_features__person_id"]
    everybody = retrieve.candidates(asked, listed, named, max_candidates=MOST_LISTED).drop(columns="via")
    everybody = everybody.assign(
        successor=[went.get(person, person) for person in everybody["person_id"]],
        place=everybody.groupby("event_id", sort=False).cumcount(),
    )
    retrieval = _places(hidden, everybody)
    pairs = everybody[everybody["place"] < settings.identity.max_candidates].drop(columns="place")
    pairs = pairs[pairs["successor"].isin(accounts)].drop_duplicates(["event_id", "successor"])
    pairs = pairs.merge(asked, on="event_id", how="left").assign(row_id=lambda rows: rows["event_id"] + "|" + rows["person_id"])
    owner = pairs["event_id"].map(hidden.set_index("event_id")["person_id"])
    pairs = _at_most(pairs.assign(owner=owner).reset_index(drop=True), "owner", settings)
    inputs = identity_evidence.pair_frame(pairs, historical(settings, pairs, identity_evidence.VIEWS))
    facts = pairs[["row_id", "seen_at", "happened_at", "owner", "event_id", "table"]].rename(
        columns={"owner": "person", "event_id": "group", "table": "segment"}
    )
    facts["label"] = (pairs["successor"] == pairs["owner"]).astype("int64")
    facts["delay_days"] = np.where(facts["label"] > 0, 0.0, np.nan)
    facts["baseline_group"] = identity_evidence.baseline_group(inputs).to_numpy()
    return replace(made(inputs, facts, identity_evidence.SCHEMA_CATEGORIES, window.end), retrieval=retrieval)


def attribution_examples(settings: Settings, lake: Lake, window: Window) -> Examples:
    """A row for each conversion and each touch before it, where a click_id tells which touch it was."""
    told = orders.fill_identifiers(known.events(lake, "conversions", window))
    people, policy = known.persons(lake, window.last), policies.of(settings)
    told["person_id"] = exact.who(told, people)
    conversions = orders.sort_out(told, told.head(0), policy).counted
    conversions["owner"] = known.owners(conversions["person_id"], conversions)
    touches = known.touches_near(lake, window, people, conversions, policy)
    pairs = journeys.candidate_touches(conversions, touches, policy, _activity(lake, window, people, told, policy))
    pairs = pairs.assign(label=journey_evidence.labels(pairs)).dropna(subset="label").reset_index(drop=True)
    pairs["owner"] = pairs["conversion_id"].map(conversions.drop_duplicates("conversion_id").set_index("conversion_id")["owner"])
    pairs["row_id"] = pairs["conversion_id"] + "|" + pairs["touch_id"]
    pairs = _at_most(pairs, "owner", settings)
    inputs = journey_evidence.pair_frame(pairs, historical(settings, pairs, journey_evidence.VIEWS))
    facts = pairs[["row_id", "label", "seen_at", "channel", "owner", "conversion_id", "converted_at"]].rename(
        columns={"channel": "segment", "owner": "person", "conversion_id": "group", "converted_at": "happened_at"}
    )
    facts = facts.assign(delay_days=np.where(facts["label"] > 0, 0.0, np.nan))
    facts["baseline_group"] = journey_evidence.baseline_group(pairs).to_numpy()
    return made(inputs, facts, journey_evidence.SCHEMA_CATEGORIES, window.end)


def _places(hidden: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """For each signal the first place at which its true person is listed; see Examples.retrieval."""
    truth = listed["event_id"].map(hidden.set_index("event_id")["person_id"])
    first = listed[listed["successor"] == truth].groupby("event_id")["place"].min()
    asked = hidden[["event_id", "person_id", "seen_at"]].rename(columns={"event_id": "group", "person_id": "person"})
    return asked.assign(place=asked["group"].map(first).astype("float64"))


def _activity(lake: Lake, window: Window, people: pd.DataFrame, told: pd.DataFrame, policy: Policy) -> pd.DataFrame | None:
    """What persons did, where the policy asks who was quiet."""
    if not policy.reengagement.conversions:
        return None
    sightings = known.events(lake, "sightings", window.back(len(window.days) + math.ceil(policy.reengagement.inactivity_days)))
    sightings["person_id"] = exact.who(sightings, people)
    columns = ["person_id", "happened_at", "seen_at"]
    return pd.concat([told[columns], sightings[columns]], ignore_index=True)


def _touch_features(settings: Settings, touches: pd.DataFrame) -> pd.DataFrame:
    asked = touches[["seen_at", "campaign_id", "ip_key"]].assign(
        row_id=np.arange(len(touches)), identifier=signals.strongest(touches)
    )
    first = historical(settings, asked, ("identifier_features", "campaign_features", "network_features"))
    then = asked[["row_id", "seen_at"]].assign(person_id=first["identifier_features__person_id"])
    second = historical(settings, then, ("person_features",))
    both: pd.DataFrame = pd.concat([first, second.filter(like="__")], axis=1)
    return both


def _at_most(rows: pd.DataFrame, owner: str, settings: Settings, share: float = 1.0) -> pd.DataFrame:
    """At most this share of training.max_rows rows, by leaving whole persons out, the same ones in every run."""
    most = int(settings.training.max_rows * share)
    if len(rows) <= most:
        return rows
    place = buckets(rows[owner], settings.training.seed + 1)  # not the buckets of the split, which would empty its parts
    sizes = pd.Series(place).value_counts().sort_index().cumsum()
    last = sizes[sizes <= most].index.max()
    kept: pd.DataFrame = rows[place <= last].reset_index(drop=True)
    return kept
