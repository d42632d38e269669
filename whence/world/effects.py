"""A world whose ads have known effects, to judge credit by: who was shown what, who was held out, who bought, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import expit

from whence.world.ids import Floats, Ints, Marks

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 14
"""Touches fall into these days; whoever converts does so on the day after."""
EXACT = 10
"""Up to so many channels the truth is summed over every coalition; beyond, over random orders."""
ORDERS = 16
MOST_OPPORTUNITIES = 12
FIVE = ("social", "video", "display", "search", "retargeting")
AT, EFFECTS = (0.0, 0.25, 0.5, 0.75, 1.0), (1.2, 0.6, 0.95, 0.8, 0.3)
COVARIATES = ("visits_before", "purchases_before", "days_since_visit", "searches_before", "age", "is_mobile")
"""What was known of a person before any exposure: four proxies of intent, each a noisy one, and two that say nothing."""


@dataclass(frozen=True)
class Known:
    """A world to judge credit by."""

    people: int = 50_000
    channels: int = 5
    """The first is social, which finds people whatever they want; the last is retargeting, which follows intent."""
    confounding: float = 1.0
    """How much intent drives exposure; 0 makes exposure random."""
    effect: float = 1.0
    """How much ads do; 0 is the null world."""
    base: float = -3.2
    """The log-odds of converting without any ad, for a person of mean intent."""
    held_out: float = 0.1
    """The share of people whom each channel holds out, channel by channel; 0 for no experiment."""
    seed: int = 0


@dataclass(frozen=True)
class Channels:
    """What each channel is like, channel by channel."""

    names: tuple[str, ...]
    rate: Floats
    """Mean opportunities a person."""
    chases: Floats
    """How much log-exposure moves with intent."""
    lateness: Floats
    """How late in a journey it comes."""
    effect: Floats
    """What it adds to the log-odds of converting at most."""
    half: Floats
    """The exposures that bring half of that."""


@dataclass(frozen=True)
class Lived:
    """What happened, a row a person and a column a channel, with the truth beside it."""

    world: Known
    channels: Channels
    opportunities: Ints
    shown: Ints
    covariates: pd.DataFrame
    converted: Marks
    chance: Floats
    """The true probability of converting, as exposed."""
    without: Floats
    """The same without any ad."""
    caused: Floats
    """The true Shapley value of each channel in that probability; sums to chance − without."""

    @property
    def incremental(self) -> pd.Series:
        """The true incremental conversions by channel, in expectation."""
        return pd.Series(self.caused.sum(axis=0), index=list(self.channels.names))

    @property
    def share(self) -> pd.DataFrame:
        """For each converter the probability that each channel made the difference."""
        rows = np.flatnonzero(self.converted)
        return pd.DataFrame(self.caused[rows] / self.chance[rows, None], index=_names(rows), columns=list(self.channels.names))


def channels(world: Known) -> Channels:
    """The channels of a world; effects, reach and chasing do not go hand in hand."""
    k = world.channels
    at = np.linspace(0.0, 1.0, k)
    turn = np.argsort((np.arange(k) * 0.6180339887) % 1.0)  # an order that has nothing to do with who chases
    return Channels(
        names=FIVE if k == len(FIVE) else tuple(f"channel-{i:02d}" for i in range(k)),
        rate=np.linspace(1.2, 1.8, k)[turn] * 5 / k,
        chases=0.05 + 0.7 * at,
        lateness=1.0 + 3.0 * at,
        effect=world.effect * np.interp(at, AT, EFFECTS) if k <= len(FIVE) else world.effect * np.linspace(1.2, 0.2, k)[turn],
        half=np.linspace(1.0, 2.0, k)[turn],
    )


def live(world: Known) -> Lived:
    """Live the whole period at once."""
    rng = np.random.default_rng(world.seed)
    ways, n = channels(world), world.people
    intent, activity = rng.normal(size=n), rng.normal(size=n)
    drive = world.confounding * ways.chases * intent[:, None] + 0.4 * activity[:, None]
    mean = ways.rate * np.exp(drive - ((world.confounding * ways.chases) ** 2 + 0.16) / 2)
    opportunities = np.minimum(rng.poisson(mean), MOST_OPPORTUNITIES)
    shown = np.where(rng.random((n, world.channels)) < world.held_out, 0, opportunities)
    base = world.base + 1.2 * intent
    chance = _response(ways, base, shown)
    return Lived(
        world=world,
        channels=ways,
        opportunities=opportunities,
        shown=shown,
        covariates=_covariates(rng, intent, activity),
        converted=rng.random(n) < chance,
        chance=chance,
        without=expit(base),
        caused=shapley(ways, base, shown),
    )


def touches(lived: Lived) -> pd.DataFrame:
    """Every opportunity as a touch: a view, or `eligible` where the person was held out. Columns as the contract has them."""
    rng = np.random.default_rng((lived.world.seed, 1))
    person, channel = (np.repeat(each.ravel(), lived.opportunities.ravel()) for each in np.indices(lived.opportunities.shape))
    at = rng.beta(lived.channels.lateness[channel], 1.5) * DAYS * 86_400e6
    is_ghost = (lived.shown == 0)[person, channel]
    times = pd.Series(pd.Timestamp(BEGIN) + pd.to_timedelta(at.astype("int64"), unit="us")).astype("datetime64[us, UTC]")
    names = pd.Categorical.from_codes(channel, list(lived.channels.names)).astype(object)
    has_test = lived.world.held_out > 0
    frame = pd.DataFrame(
        {
            "touch_id": pd.Series(np.arange(len(at))).astype(str).radd("t"),
            "person_id": _names(person),
            "happened_at": times,
            "seen_at": times,
            "kind": np.where(is_ghost, "eligible", "view"),
            "campaign_id": names,
            "channel": names,
            "holdout": is_ghost,
            "experiment": pd.Series(names).radd("ghost-") if has_test else None,
            "arm": np.where(is_ghost, "control", "treatment") if has_test else None,
        }
    )
    return frame.sort_values(["happened_at", "touch_id"], ignore_index=True)


def conversions(lived: Lived) -> pd.DataFrame:
    """A purchase of ten for each converter, at `asked_at`."""
    rows = np.flatnonzero(lived.converted)
    at = pd.Series([pd.Timestamp(asked_at())] * len(rows)).astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "conversion_id": pd.Series(rows).astype(str).radd("c"),
            "person_id": _names(rows),
            "happened_at": at,
            "seen_at": at,
            "kind": "purchase",
            "value_micros": 10_000_000,
            "currency": "USD",
        }
    )


def people(lived: Lived) -> pd.DataFrame:
    """Everybody at the moment that is judged by: person_id, happened_at, label (1 for who converted) and COVARIATES."""
    n = lived.world.people
    facts = pd.DataFrame({"person_id": _names(np.arange(n)), "happened_at": pd.Timestamp(asked_at())})
    facts["happened_at"] = facts["happened_at"].astype("datetime64[us, UTC]")
    return pd.concat([facts.assign(label=lived.converted.astype("int64")), lived.covariates], axis=1)


def asked_at() -> datetime:
    """When converters convert: the end of the period."""
    return BEGIN + timedelta(days=DAYS)


def shapley(ways: Channels, base: Floats, shown: Ints) -> Floats:
    """Each channel's Shapley value in each person's true probability of converting.

    Exact up to EXACT channels; beyond, the mean over ORDERS random orders and their reverses, the same for everybody.
    """
    k = shown.shape[1]
    return _over_coalitions(ways, base, shown) if k <= EXACT else _over_orders(ways, base, shown)


def _response(ways: Channels, base: Floats, shown: Ints) -> Floats:
    return np.asarray(expit(base + _gain(ways, shown).sum(axis=1) + _synergy(ways) * (shown[:, 0] > 0) * (shown[:, 1] > 0)))


def _gain(ways: Channels, shown: Ints) -> Floats:
    """What each channel adds to the log-odds: ever less for every further exposure."""
    return np.asarray(ways.effect * shown / (shown + ways.half))


def _synergy(ways: Channels) -> float:
    """What the first two channels add when a person has met both."""
    return 0.25 * float(ways.effect[:2].mean())


def _over_coalitions(ways: Channels, base: Floats, shown: Ints) -> Floats:
    k = shown.shape[1]
    worth = np.ones(k)
    for size in range(1, k):
        worth[size] = worth[size - 1] * size / (k - size)
    worth /= k  # |S|! (k − |S| − 1)! / k!
    value = {on: _response(ways, base, shown * np.array(on)) for on in product((0, 1), repeat=k)}
    found = np.zeros(shown.shape)
    for on, before in value.items():
        for c in np.flatnonzero(np.array(on) == 0):
            found[:, c] += worth[sum(on)] * (value[(*on[:c], 1, *on[c + 1 :])] - before)
    return found


def _over_orders(ways: Channels, base: Floats, shown: Ints) -> Floats:
    k = shown.shape[1]
    rng = np.random.default_rng(k)
    found = np.zeros(shown.shape)
    gain, both, start = _gain(ways, shown), _synergy(ways) * (shown[:, 0] > 0) * (shown[:, 1] > 0), np.asarray(expit(base))
    for order in (each for _ in range(ORDERS) for drawn in [rng.permutation(k)] for each in (drawn, drawn[::-1])):
        odds, before, is_half = base, start, False
        for c in order:
            odds = odds + gain[:, c] + (both if c < 2 and is_half else 0.0)
            is_half = is_half or c < 2
            after = np.asarray(expit(odds))
            found[:, c] += after - before
            before = after
    return found / (2 * ORDERS)


def _covariates(rng: np.random.Generator, intent: Floats, activity: Floats) -> pd.DataFrame:
    n = len(intent)
    return pd.DataFrame(
        {
            "visits_before": rng.poisson(np.exp(0.8 + 0.6 * intent + 0.3 * activity)).astype(float),
            "purchases_before": rng.poisson(np.exp(-0.8 + 0.9 * intent)).astype(float),
            "days_since_visit": np.round(rng.exponential(np.exp(1.5 - 0.6 * intent)), 2),
            "searches_before": rng.poisson(np.exp(0.5 + 0.9 * intent + 0.4 * rng.normal(size=n))).astype(float),
            "age": rng.integers(18, 80, n).astype(float),
            "is_mobile": (rng.random(n) < 0.6).astype(float),
        },
        columns=list(COVARIATES),
    )


def _names(rows: Ints) -> np.ndarray:
    return np.char.add("p", np.asarray(rows).astype(str)).astype(object)
