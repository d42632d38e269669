"""Crowds for judging intervals: people with several devices, some of them anonymous, whose owner is known by probability alone.

Every household has members with an account and now and then a guest without. Some of their devices never log in; what is seen
of such a device gives each member of its household a score, and Bayes' rule a probability that is calibrated exactly. Who wants
to buy is shown more ads and buys more, also without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAYS = 30
START = pd.Timestamp("2026-05-01", tz="UTC")
SIZES = (0.25, 0.4, 0.2, 0.15)
"""Of households, the share with one to four members."""
ANONYMOUS, GUESTS = 1.0, 0.1
"""Devices without a log-in and guests, for each member."""
APART = 2.0
"""How far the scores of a device's owner lie above those of others, in standard deviations."""
CUT, LEAD = 0.7, 0.2
"""Which links are taken, as in whence.identity.decide."""
SHOWN = (1.5, 1.0, 0.8, 0.6, 0.4, 0.3, 0.15, 0.08)
"""Touches by campaign for the average person."""
CHASES = (0.0, 0.3, 0.6, 1.0, 1.3, 0.0, 0.8, 1.2)
WORKS = (0.02, 0.05, 0.01, 0.01, 0.005, 0.10, 0.06, 0.08)
CLICKED = (0.3, 0.5, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6)
BUYS = 0.25


@dataclass(frozen=True)
class Crowd:
    """What is told of one crowd, and the truth beside it."""

    conversions: pd.DataFrame
    """As journeys.candidate_touches takes them, `unit` (what log-ins say) and `person` (the truth) instead of person_id."""
    touches: pd.DataFrame
    options: pd.DataFrame
    """owner (unit of an anonymous device), target (unit of a member), probability, is_linked."""


def a_crowd(households: int, seed: int) -> Crowd:
    """A crowd of so many households, about 2.2 members each."""
    rng = np.random.default_rng([seed, households])
    size = rng.choice(len(SIZES), households, p=SIZES) + 1
    members = int(size.sum())
    home = np.repeat(np.arange(households), size)
    guests = np.repeat(np.arange(households), rng.poisson(GUESTS * size))
    home = np.concatenate([home, guests])
    n = len(home)
    mind = rng.normal(0, 0.5, households)[home] + rng.normal(0, 0.8, n)
    owner = np.concatenate([np.repeat(np.arange(members), rng.poisson(ANONYMOUS, members)), np.arange(members, n)])
    devices = _Devices(members, owner, n)
    touches = _touches(rng, mind, devices)
    return Crowd(_conversions(rng, mind, devices, touches), touches, _options(rng, home, size, members, owner, n))


@dataclass(frozen=True)
class _Devices:
    """Unit 0 to members - 1 are accounts; from there on, each anonymous device is a unit of its own."""

    members: int
    owner: Ints
    people: int

    def used(self, rng: np.random.Generator, person: Ints, share: float) -> Ints:
        """The unit that each of these people was on: an anonymous device counts `share` of the account."""
        order = np.argsort(self.owner, kind="stable")
        count = np.bincount(self.owner, minlength=self.people)
        first = np.cumsum(count) - count
        account = (np.arange(self.people) < self.members).astype(np.float64)
        at = rng.random(len(person)) * (account + share * count)[person] - account[person]
        device = np.minimum((at / share).astype(np.int64), count[person] - 1)
        place = np.minimum(first[person] + np.maximum(device, 0), max(len(order) - 1, 0))
        return np.where(at < 0, person, self.members + (order[place] if len(order) else 0))


def _touches(rng: np.random.Generator, mind: Floats, devices: _Devices) -> pd.DataFrame:
    rate = np.array(SHOWN) * np.exp(mind[:, None] * np.array(CHASES) - 0.445 * np.array(CHASES) ** 2)
    times = rng.poisson(rate).ravel()
    person, campaign = (np.repeat(each, times) for each in np.indices(rate.shape).reshape(2, -1))
    at = START + pd.to_timedelta((rng.random(len(person)) * DAYS * 86_400e6).astype(np.int64), unit="us")
    return pd.DataFrame(
        {
            "touch_id": [f"t{number:07d}" for number in range(len(person))],
            "person": person,
            "unit": devices.used(rng, person, 1.0),
            "happened_at": at,
            "seen_at": at,
            "kind": np.where(rng.random(len(person)) < np.array(CLICKED)[campaign], "click", "view"),
            "campaign_id": np.array([f"campaign-{each}" for each in range(len(SHOWN))], dtype=object)[campaign],
            "channel": "any",
        }
    )


def _conversions(rng: np.random.Generator, mind: Floats, devices: _Devices, touches: pd.DataFrame) -> pd.DataFrame:
    campaign = touches["campaign_id"].str[-1].astype("int64").to_numpy()
    moved = rng.random(len(touches)) < np.array(WORKS)[campaign] * np.exp(0.3 * mind[touches["person"]])
    caused = touches[moved]
    unmoved = np.repeat(np.arange(len(mind)), rng.poisson(BUYS * np.exp(mind - 0.445)))
    late = pd.to_timedelta((rng.exponential(86_400e6, len(caused))).astype(np.int64) + 1, unit="us")
    at = START + pd.to_timedelta((rng.random(len(unmoved)) * DAYS * 86_400e6).astype(np.int64), unit="us")
    person = np.concatenate([caused["person"].to_numpy(), unmoved])
    times = pd.concat([caused["happened_at"] + late, pd.Series(at)], ignore_index=True)
    return pd.DataFrame(
        {
            "conversion_id": [f"c{number:07d}" for number in range(len(person))],
            "person": person,
            "unit": devices.used(rng, person, 0.4),
            "happened_at": times,
            "seen_at": times,
            "kind": "purchase",
            "value_micros": (rng.lognormal(3.5, 0.7, len(person)) * 1e6).astype(np.int64),
            "currency": "EUR",
        }
    )


def _options(rng: np.random.Generator, home: Ints, size: Ints, members: int, owner: Ints, people: int) -> pd.DataFrame:
    first = np.cumsum(size) - size
    device = np.repeat(np.arange(len(owner)), size[home[owner]])
    count = size[home[owner]]
    target = first[home[owner]][device] + np.arange(len(device)) - np.repeat(np.cumsum(count) - count, count)
    is_true = owner[device] == target
    score = rng.normal(0, 1, len(device)) + APART * is_true
    weight = ANONYMOUS * np.exp(APART * score - APART**2 / 2)
    total = np.bincount(device, weight, len(owner)) + GUESTS * count
    probability = weight / total[device]
    best = pd.Series(probability).groupby(device).rank(ascending=False, method="first").to_numpy() == 1
    second = np.zeros(len(owner))
    np.maximum.at(second, device[~best], probability[~best])
    taken = best & (probability >= CUT) & (probability - second[device] >= LEAD)
    return pd.DataFrame(
        {"owner": members + device, "target": target, "probability": probability, "is_linked": taken, "is_true": is_true}
    )
