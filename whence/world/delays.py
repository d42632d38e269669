"""A world of clicks whose conversions come late and may be refunded later still; all of it is known, so labels can be judged.

Campaigns start and stop, differ in how well they convert and a little in how fast, and so do people, hours and devices:
how likely a click converts and how long that takes hang together, which is what makes labels as seen mislead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from whence.world.ids import Floats, Ints, Marks, generator

NUMBERS = ("intent", "taste", "reach", "haste", "hour")
CATEGORIES = ("device", "campaign")
DEVICES = np.array([-0.4, -0.1, 0.0, 0.2, 0.4])
"""What a device adds to the log-odds of a conversion."""
TRIALS_FROM = 2
"""The device after which people begin with a trial, where there are trials."""
FIRST_START = -40.0
"""Campaigns begin from this day on, so that the first day of the log has old ones."""


@dataclass(frozen=True)
class Delays:
    """What the world is like; times in days."""

    seed: int = 7
    clicks: int = 160_000
    days: float = 60.0
    campaigns: int = 60
    window: float = 30.0
    """A conversion later than this after its click counts for nothing."""
    shape: float = 0.75
    """Of the Weibull delays; below 1 the first hours bring more than an exponential would."""
    scale: float = 3.0
    entangled: float = 1.0
    """How much a click's features speak of its delay; at 0 nothing does but its campaign."""
    own_pace: float = 0.25
    """How much campaigns differ in the logarithm of their delays."""
    trial_days: float = 0.0
    """On the devices after TRIALS_FROM a conversion comes so much later, as where a trial has to end first."""
    lives: tuple[float, float] = (25.0, 80.0)
    """The least and the most days that a campaign runs."""
    level: float = -2.45
    """The log-odds of a conversion in the middle."""
    refunds: float = 0.15
    """The share of conversions that are refunded, of a device in the middle."""
    refund_days: float = 8.0
    """The mean time from a conversion to its refund."""


@dataclass(frozen=True)
class Clicks:
    """Clicks in the order of their time, with the truth of each."""

    at: Floats
    """The day, from 0."""
    person: Ints
    campaign: Ints
    device: Ints
    features: Floats
    """NUMBERS, then CATEGORIES as codes."""
    delay: Floats
    """Days until the conversion, NaN where there is none within the window."""
    refunded_after: Floats
    """Days from the conversion to its refund, NaN without."""
    chance: Floats
    """The true chance of a conversion within the window."""
    scale: Floats
    """Of each click's Weibull delay."""
    starts: Floats
    """When each campaign began."""

    @property
    def converts(self) -> Marks:
        """Final labels."""
        return ~np.isnan(self.delay)

    def known(self, now: float) -> Floats:
        """The delays of conversions that were known at a time; NaN for the others."""
        return np.where(self.at + self.delay <= now, self.delay, np.nan)


def clicks(world: Delays) -> Clicks:
    """The world's clicks; the same for the same settings."""
    draw = generator(world.seed, "delays")
    at = np.sort(draw.uniform(0, world.days, world.clicks))
    starts, campaign = _campaigns(world, at, draw)
    effect, pace = draw.normal(0, 0.6, world.campaigns), draw.normal(0, 1, world.campaigns) * world.own_pace
    x = draw.normal(size=(world.clicks, 4))
    device = draw.integers(0, len(DEVICES), world.clicks)
    odds = world.level + effect[campaign] + 0.8 * x[:, 0] + 0.5 * np.sin(2 * x[:, 1]) + DEVICES[device]
    odds += 0.3 * x[:, 0] * (x[:, 2] > 0)
    slowness = world.entangled * (0.36 * x[:, 0] + 0.4 * x[:, 3] - 0.2 * (device == 2)) + pace[campaign]
    scale = world.scale * np.exp(slowness)
    waits = np.where(device > TRIALS_FROM, world.trial_days, 0.0)
    delay = waits + scale * draw.weibull(world.shape, world.clicks)
    converts = (draw.random(world.clicks) < expit(odds)) & (delay <= world.window)
    refund = draw.random(world.clicks) < np.clip(world.refunds * np.exp(2 * DEVICES[device]), 0, 1)
    refunded_after = draw.exponential(world.refund_days, world.clicks)
    return Clicks(
        at,
        draw.integers(0, max(world.clicks // 4, 1), world.clicks),
        campaign,
        device,
        np.column_stack([x, (at % 1) * 24, device, campaign]),
        np.where(converts, delay, np.nan),
        np.where(converts & refund, refunded_after, np.nan),
        expit(odds) * -np.expm1(-((np.maximum(world.window - waits, 0) / scale) ** world.shape)),
        scale,
        starts,
    )


def _campaigns(world: Delays, at: Floats, draw: np.random.Generator) -> tuple[Floats, Ints]:
    """When each campaign starts, and which of those that run has each click."""
    starts = draw.uniform(FIRST_START, world.days - 3, world.campaigns)
    ends = starts + draw.uniform(*world.lives, world.campaigns)
    size = draw.lognormal(0, 0.3, world.campaigns)
    day = np.floor(at).astype(np.int64)
    campaign = np.empty(len(at), dtype=np.int64)
    for each in range(int(np.ceil(world.days))):
        today = np.flatnonzero(day == each)
        running = size * ((starts < each + 1) & (ends > each))
        weights = running if running.any() else size
        campaign[today] = draw.choice(world.campaigns, len(today), p=weights / weights.sum())
    return starts, campaign
