"""A measure computed once more for a mixture of two days: rows of one, who is who of the other, and so on. Nothing is written.

Rows are always a whole day's own. What is said of them is computed by the steps that the day's runs take, handed in by whoever
may import them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from monitoring.moved import people, versions
from monitoring.moved.inputs import Freshness, History, Shelf
from monitoring.moved.metric import (
    ALGORITHM_OF,
    CAMPAIGN,
    CREDIT,
    LEARNED,
    LOG_LOSS,
    MEAN,
    NO_AD,
    RATIO,
    UNATTRIBUTED,
    Metric,
    MovedError,
)
from monitoring.moved.shares import CALIBRATOR, DATA, FACTORS, FEATURES, IDENTITY, MODEL, POLICY, Mixture, Sums
from monitoring.quality import labels
from monitoring.quality.labels import Known
from whence.bundle import CrossedScorer, Scorer
from whence.contracts.events import EVENTS, IDENTIFIERS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, IDENTITY_RANKER
from whence.contracts.times import Window
from whence.identity import evidence, exact
from whence.identity.signals import carried, strongest
from whence.lake import Lake
from whence.measures.levels import log_losses

if TYPE_CHECKING:
    from whence.attribution.policy import Policy
    from whence.contracts.settings import Settings

SAMPLE = 5000
"""Logged decisions of a day that are looked at, the same that the day's checks look at."""
SIGNAL = ", ".join(("event_id", "happened_at", "seen_at", *(field.name for field in IDENTIFIERS)))
EVERY: Mixture = frozenset(FACTORS)
"""All as on the second day."""
Kept = TypeVar("Kept")


class Daily(Protocol):
    """The steps of a day's run that a mixture asks for."""

    def journeys(self, lake: Lake, day: date, policy: Policy, persons: pd.DataFrame) -> Any:
        """The day's journeys, had this been the policy and `persons` (people.COLUMNS) who is who."""

    def credit(
        self, journeys: Any, scorers: Mapping[str, Scorer], history: History
    ) -> tuple[pd.DataFrame, Mapping[str, pd.DataFrame]]:
        """Rows of credit of the day's conversions; and of what each model said: subject, option, its inputs, probability."""

    def value(self, touches: pd.DataFrame, scorer: Scorer, history: History) -> pd.DataFrame:
        """What conversion-value says of the touches of one day: subject, its inputs, probability."""


@dataclass
class Days:
    """Two days, and what was in force on each; what was computed for a mixture is kept."""

    settings: Settings
    days: tuple[date, date]
    shelf: Shelf
    lakes: tuple[Lake, Lake]
    """As each day's statements saw the tables."""
    rulings: tuple[versions.Ruling, versions.Ruling]
    fresh: tuple[Freshness, Freshness] = ({}, {})
    """How fresh the features of each day were."""
    _kept: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, days: tuple[date, date], credits: tuple[pd.DataFrame, pd.DataFrame]) -> Days:
        """The two days by their statements of credit."""
        import features

        lake, shelf = Lake.of(settings), Shelf(lambda rows, views: features.historical(settings, rows, views))
        lakes = versions.pinned(lake, credits[0]), versions.pinned(lake, credits[1])
        rulings = versions.ruling(settings, credits[0]), versions.ruling(settings, credits[1])
        return cls(settings, days, shelf, lakes, rulings)

    def once(self, key: Any, make: Callable[[], Kept]) -> Kept:
        """What `make` gives, made once for a key."""
        if key not in self._kept:
            self._kept[key] = make()
        found: Kept = self._kept[key]
        return found

    def lake(self, mixture: Mixture) -> Lake:
        """The tables of the rows' day."""
        return self.lakes[DATA in mixture]

    def day(self, mixture: Mixture) -> date:
        """The rows' day."""
        return self.days[DATA in mixture]

    def apart(self, mixture: Mixture, factor: str) -> timedelta:
        """How far the day of a factor is from the rows' day."""
        return self.days[factor in mixture] - self.day(mixture)

    def known(self, side: bool, *, exactly: bool = False) -> pd.DataFrame:
        """Who was who at the end of a day."""
        return self.once(("known", side, exactly), lambda: people.known(self.lakes[side], self.days[side], exactly=exactly))

    def people(self, mixture: Mixture, rows: pd.DataFrame | None = None, *, exactly: bool = False) -> pd.DataFrame:
        """Who is who for the rows' day, as known on the day of identity; `rows` carry what comes with the rows, all by default."""
        told = self.known(IDENTITY in mixture, exactly=exactly)
        if DATA not in mixture or IDENTITY in mixture:
            return told
        return people.mixed(told, self.known(True, exactly=exactly), None if rows is None else carried(rows)["identifier"])

    def history(self, mixture: Mixture, *, by_person: bool = False) -> History:
        """The features of the rows at their own hour, as fresh as on the day of features; `by_person` where who is who names the rows' persons."""
        return self.shelf.history(self.fresh[FEATURES in mixture], self.apart(mixture, IDENTITY) if by_person else timedelta(0))

    def scorer(self, mixture: Mixture, bundles: tuple[str, str]) -> Scorer:
        """The trees of one day with the calibrator of the other, or a bundle as it is."""
        trees, level = (self._bundle(bundles[factor in mixture]) for factor in (MODEL, CALIBRATOR))
        return trees if trees.digest == level.digest else CrossedScorer.of(trees, level)

    def owners(self, rows: pd.DataFrame) -> np.ndarray:
        """Who each row counts for when people are drawn anew: the same for every mixture."""
        person = exact.who(rows, self.known(True))
        return np.asarray(person.fillna(strongest(rows)).fillna(rows["event_id"]).astype(str))

    def _bundle(self, digest: str) -> Scorer:
        from whence import bundle_store

        return self.once(("bundle", digest), lambda: bundle_store.load(self.settings, digest))


class Measured(Protocol):
    """A measure of two days."""

    def sums(self, mixture: Mixture) -> Sums:
        """The measure for a mixture, row by row."""

    def seen(self, mixture: Mixture) -> pd.DataFrame:
        """Subject, option and inputs of what its model is asked in a mixture."""


@dataclass(frozen=True)
class Matches:
    """The share of a table's events of a day whose person a log-in names."""

    of: Days
    table: str

    def sums(self, mixture: Mixture) -> Sums:
        """See Measured."""
        rows = self.of.once(("events", DATA in mixture), lambda: self._rows(mixture))
        told = self.of.people(mixture, rows)
        is_named = exact.who(rows, told).isin(exact.with_account(told)).to_numpy(dtype="float64")
        return Sums(self.of.owners(rows), is_named, np.ones(len(rows)))

    def seen(self, mixture: Mixture) -> pd.DataFrame:
        """Nothing: no model is asked."""
        return pd.DataFrame()

    def _rows(self, mixture: Mixture) -> pd.DataFrame:
        day = self.of.day(mixture)
        with self.of.lake(mixture).connect(Window(day, day), self.table) as con:
            found: pd.DataFrame = con.sql(f"SELECT {SIGNAL} FROM {self.table} ORDER BY event_id").df()
        return found


@dataclass(frozen=True)
class Credits:
    """What went to whom, or to no ad, of a day's conversions; refunds are left out."""

    of: Days
    daily: Daily
    metric: Metric
    bundles: Mapping[str, tuple[str, str]]
    """The bundles of the two days by model, where an algorithm asks one."""

    def sums(self, mixture: Mixture) -> Sums:
        """See Measured."""
        policy = self.policy(mixture)
        rows, _ = self._credit(mixture, policy)
        return credit_sums(self.metric, rows, self.owners(mixture))

    def policy(self, mixture: Mixture, algorithm: str = "") -> Policy:
        """The policy in force, with the one algorithm that is asked for."""
        policy = self.of.rulings[POLICY in mixture].policy
        assert policy is not None  # whoever asks for a policy that is gone was told so
        algorithm = algorithm or self.metric.algorithm or policy.algorithm
        return replace(policy, algorithm=algorithm, algorithms=(algorithm,))

    def owners(self, mixture: Mixture) -> Mapping[str, str]:
        """Who each conversion of the rows' day counts for."""
        return self.of.once(("owners", DATA in mixture), lambda: conversion_owners(self.of, DATA in mixture))

    def seen(self, mixture: Mixture) -> pd.DataFrame:
        """See Measured."""
        model = next(iter(self.bundles))
        _, said = self._credit(mixture, self.policy(mixture, self.metric.algorithm or ALGORITHM_OF[model]))
        if model not in said:
            raise MovedError(f"{model} has nothing to say of {self.of.day(mixture)}: no conversion has a candidate touch.")
        return said[model]

    def _credit(self, mixture: Mixture, policy: Policy) -> tuple[pd.DataFrame, Mapping[str, pd.DataFrame]]:
        learned = mixture & {FEATURES, MODEL, CALIBRATOR} if policy.algorithm in LEARNED else frozenset()
        return self.of.once(("credit", *self._journey(mixture, policy), learned), lambda: self._shared(mixture, policy))

    def _shared(self, mixture: Mixture, policy: Policy) -> tuple[pd.DataFrame, Mapping[str, pd.DataFrame]]:
        model = LEARNED.get(policy.algorithm)
        scorers = {model: self.of.scorer(mixture, self.bundles[model])} if model else {}
        journeys = self.of.once(self._journey(mixture, policy), lambda: self._journeys(mixture, policy))
        return self.daily.credit(journeys, scorers, self.of.history(mixture, by_person=True))

    def _journeys(self, mixture: Mixture, policy: Policy) -> Any:
        return self.daily.journeys(self.of.lake(mixture), self.of.day(mixture), policy, self.of.people(mixture))

    def _journey(self, mixture: Mixture, policy: Policy) -> tuple[Any, ...]:
        return ("journeys", policy.algorithm, DATA in mixture, IDENTITY in mixture, POLICY in mixture)


@dataclass(frozen=True)
class Scores:
    """What a model says of a day's decisions, and how that compares with what came."""

    of: Days
    daily: Daily
    metric: Metric
    bundles: tuple[Mapping[str, str], Mapping[str, str]]
    """For each of the two days: the bundle by the day of the decision."""

    def sums(self, mixture: Mixture) -> Sums:
        """See Measured."""
        rows = self._rows(mixture)
        return scored_sums(self.metric.name, rows)

    def seen(self, mixture: Mixture) -> pd.DataFrame:
        """See Measured."""
        return self._said(mixture)

    def recorded(self, side: bool) -> float:
        """Of attribution-ranker: the measure by what the day's run wrote down; what the service answered is left out. NaN for nothing."""
        mixture = EVERY if side else frozenset()
        query = "SELECT day, subject, option, probability FROM decisions WHERE model = ? AND route = 'batch' ORDER BY decision_id"
        with Lake.of(self.of.settings).connect(self.spans[side], "decisions") as con:
            logged = con.execute(query, [self.metric.about]).df()
        rows = logged.assign(owner=logged["subject"], label=0.0)
        if self.metric.name != MEAN and len(rows):
            came = self._labels(mixture, rows)
            rows = rows.loc[came.index].assign(label=came)
        return scored_sums(self.metric.name, rows).value

    @cached_property
    def spans(self) -> tuple[Window, Window]:
        """The days of the decisions that each of the two days judges."""
        first, second = self.of.days
        return span(self.metric, first, self.of.settings), span(self.metric, second, self.of.settings)

    def _rows(self, mixture: Mixture) -> pd.DataFrame:
        """probability, owner and, where it is asked for, label of each decision."""
        said = self._said(mixture)
        if self.metric.name == MEAN:
            return said.assign(label=0.0)
        key = ("labels", DATA in mixture, IDENTITY in mixture, POLICY in mixture and self.metric.about == ATTRIBUTION_RANKER)
        came = self.of.once(key, lambda: self._labels(mixture, said))
        return said.loc[came.index].assign(label=came)

    def _said(self, mixture: Mixture) -> pd.DataFrame:
        if self.metric.about == ATTRIBUTION_RANKER:
            return self._of_pairs(mixture)
        logged = self.of.once(("log", DATA in mixture), lambda: self._logged(mixture))
        said = {CONVERSION_VALUE: self._of_touches, IDENTITY_RANKER: self._of_signals}[self.metric.about]

        def parts() -> pd.DataFrame:
            by_day = logged.groupby("day", sort=True)
            return pd.concat([said(mixture, str(day), rows.reset_index(drop=True)) for day, rows in by_day], ignore_index=True)

        return self.of.once(("said", mixture & {DATA, FEATURES, MODEL, CALIBRATOR}), parts)

    def _bundles(self, mixture: Mixture, day: str) -> tuple[str, str]:
        """The bundles of the two days that stand where that of `day` stands among its own: so many days before."""
        mine = DATA in mixture
        found = []
        for side, known in enumerate(self.bundles):
            at = date.fromisoformat(day) + (self.of.days[side] - self.of.days[mine])
            found.append(known[min(known, key=lambda each: (abs(date.fromisoformat(each) - at), each))])
        return found[0], found[1]

    def _of_pairs(self, mixture: Mixture) -> pd.DataFrame:
        day = str(self.of.day(mixture))
        asked = Metric("credits", UNATTRIBUTED, algorithm="ranker")
        credits = Credits(self.of, self.daily, asked, {ATTRIBUTION_RANKER: self._bundles(mixture, day)})
        said = credits.seen(mixture)
        return said.assign(day=day, owner=said["subject"].map(credits.owners(mixture)).fillna(said["subject"]))

    def _of_touches(self, mixture: Mixture, day: str, logged: pd.DataFrame) -> pd.DataFrame:
        touches = self.of.once(("touches", DATA in mixture, day), lambda: self._events(mixture, Window.parse(day), "touches"))
        scorer = self.of.scorer(mixture, self._bundles(mixture, day))
        said = self.daily.value(touches, scorer, self.of.history(mixture))
        rows = touches.drop_duplicates("touch_id")
        owner = pd.Series(self.of.owners(rows), index=rows["touch_id"])
        ids = logged["subject"].map(rows.set_index("event_id")["touch_id"]).fillna(logged["subject"])
        there = said.drop_duplicates("subject").set_index("subject").drop(columns="made_at").reindex(ids).set_axis(logged.index)
        found = pd.concat([logged, there], axis=1).assign(owner=ids.map(owner))
        return found[found["probability"].notna()]

    def _of_signals(self, mixture: Mixture, day: str, logged: pd.DataFrame) -> pd.DataFrame:
        signals = self.of.once(("signals", DATA in mixture), lambda: self._signals(mixture)).set_index("event_id")
        found = logged[logged["subject"].isin(signals.index)].reset_index(drop=True)
        asked = signals.loc[found["subject"]].reset_index()
        asked = asked.assign(seen_at=found["made_at"], person_id=found["option"], row_id=range(len(found)))
        asked = asked.assign(identifier=strongest(asked))
        facts = self.of.history(mixture)(asked, evidence.VIEWS)
        scorer = self.of.scorer(mixture, self._bundles(mixture, day))
        inputs = evidence.pair_frame(asked, facts)
        said = {"probability": scorer.score(inputs)[1], "owner": self.of.owners(asked)}
        return pd.concat([found, inputs.set_axis(found.index)], axis=1).assign(**said)

    def _logged(self, mixture: Mixture) -> pd.DataFrame:
        """The decisions that the day's checks look at."""
        query = """
            SELECT day, made_at, subject, option FROM decisions
            WHERE model = ? ORDER BY md5(subject), decision_id LIMIT ?
        """
        with Lake.of(self.of.settings).connect(self.spans[DATA in mixture], "decisions") as con:
            found: pd.DataFrame = con.execute(query, [self.metric.about, SAMPLE]).df()
        if found.empty:
            raise MovedError(f"{self.metric.about} decided nothing on {self.spans[DATA in mixture]}, so nothing of it moved.")
        return found

    def _labels(self, mixture: Mixture, said: pd.DataFrame) -> pd.Series:
        """The label of each decision that somebody can judge, by its place in `said`."""
        placed = said.assign(probability=np.arange(len(said), dtype="float64"))
        told = labels.labelled(self.metric.about, placed, self._known(mixture), self.of.settings.training.conversion_days)
        return pd.Series(told["label"].to_numpy(dtype="float64"), index=said.index[told["probability"].astype("int64")])

    def _known(self, mixture: Mixture) -> Known:
        """What the rows' day knows of what came, by who is who of the day of identity."""
        own = self.of.once(("came", DATA in mixture), lambda: self._came(mixture))
        return replace(own, persons=self.of.people(mixture), exact_now=self.of.people(mixture, own.signals, exactly=True))

    def _came(self, mixture: Mixture) -> Known:
        window = self.spans[DATA in mixture]
        reach = self._reach() if self.metric.about == ATTRIBUTION_RANKER else 1.0
        wide = Window(window.first - timedelta(days=math.ceil(reach) + 1), self.of.day(mixture))
        nobody = pd.DataFrame(columns=people.COLUMNS)
        before = people.known(self.of.lake(mixture), window.first - timedelta(days=1), exactly=True)
        signals = self._signals(mixture) if self.metric.about == IDENTITY_RANKER else nobody
        touches, conversions = (self._events(mixture, wide, name) for name in ("touches", "conversions"))
        return Known(touches, conversions, signals, nobody, before, nobody)

    def _reach(self) -> float:
        return max(each.policy.reach_days for each in self.of.rulings if each.policy)

    def _events(self, mixture: Mixture, window: Window, name: str) -> pd.DataFrame:
        with self.of.lake(mixture).connect(window, name) as con:
            found: pd.DataFrame = con.sql(f"SELECT * FROM {name} ORDER BY seen_at, event_id").df()
        return found

    def _signals(self, mixture: Mixture) -> pd.DataFrame:
        """The events that were decided about, each once."""
        asked = self.of.once(("log", DATA in mixture), lambda: self._logged(mixture))[["subject"]].drop_duplicates()
        union = " UNION ALL ".join(
            f"SELECT {SIGNAL} FROM {name} WHERE event_id IN (SELECT subject FROM asked)" for name in EVENTS
        )
        with self.of.lake(mixture).connect(self.spans[DATA in mixture], *EVENTS) as con:
            con.register("asked", asked.astype("string"))
            found: pd.DataFrame = con.sql(f"{union} ORDER BY event_id").df()
        return found.drop_duplicates("event_id", ignore_index=True)


def span(metric: Metric, day: date, settings: Settings) -> Window:
    """The days of the decisions that a model's measure of a day is about."""
    if metric.name == MEAN:
        return Window(day, day)
    ripening = labels.ripening(metric.about, settings.training.conversion_days)
    last = day - timedelta(days=ripening.wait_days)
    return Window(last - timedelta(days=ripening.span_days - 1), last)


def conversion_owners(of: Days, side: bool) -> dict[str, str]:
    """Who each conversion of one of the two days counts for."""
    day = of.days[side]
    with of.lakes[side].connect(Window(day, day), "conversions") as con:
        rows = con.sql(f"SELECT conversion_id, {SIGNAL} FROM conversions ORDER BY seen_at, event_id").df()
    return dict(zip(rows["conversion_id"], of.owners(rows), strict=True))


def credit_sums(metric: Metric, rows: pd.DataFrame, owners: Mapping[str, str]) -> Sums:
    """A measure of credit from rows of it, as monitoring takes it: refunds left out."""
    is_asked = rows["credit_micros"] >= 0
    if metric.currency:
        is_asked &= rows["currency"] == metric.currency
    kept = rows[is_asked].reset_index(drop=True)
    names = np.asarray(kept["conversion_id"].map(owners).fillna(kept["conversion_id"]), dtype=object)
    if metric.name == UNATTRIBUTED:
        none = kept["share"].where(kept["touch_id"] == "", 0.0).to_numpy(dtype="float64")
        return Sums(names, none, (~kept["conversion_id"].duplicated()).to_numpy(dtype="float64"))
    micros = kept["credit_micros"].to_numpy(dtype="float64")
    theirs = np.where(is_theirs(kept, metric.whom), micros, 0.0)
    if metric.name == CREDIT:
        return Sums(names, theirs / 1e6)
    return Sums(names, theirs, micros)


def is_theirs(rows: pd.DataFrame, whom: str) -> np.ndarray:
    """Which rows of credit are a channel's, a campaign's (campaign=ID), or of no ad."""
    if whom.startswith(CAMPAIGN):
        return np.asarray(rows["campaign_id"] == whom.removeprefix(CAMPAIGN))
    return np.asarray(rows["channel"] == ("" if whom == NO_AD else whom))


def scored_sums(name: str, rows: pd.DataFrame) -> Sums:
    """A measure of scored rows: probability, label, owner."""
    label, said = rows["label"].to_numpy(dtype="float64"), rows["probability"].to_numpy(dtype="float64")
    owners, ones = rows["owner"].to_numpy(dtype=object), np.ones(len(rows))
    if name == RATIO:
        return Sums(owners, label, said)
    if name == MEAN:
        return Sums(owners, said, ones)
    return Sums(owners, log_losses(label, said) if name == LOG_LOSS else (label - said) ** 2, ones)
