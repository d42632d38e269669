"""The world's campaigns: what they cost, whom they chase, and what a touch of theirs truly does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whence.world.ids import Floats

CHANNELS = ("search", "social", "display", "video", "affiliate")
KINDS = ("view", "engaged_view", "click", "eligible")
VIEW, ENGAGED, CLICK, ELIGIBLE = range(4)
PLACEMENTS = ("feed", "story", "results", "sidebar", "pre-roll", "newsletter")


@dataclass(frozen=True)
class Campaign:
    """One campaign.

    `chases` is how many times likelier a person in the market is to be shown it: what confounds
    exposure with intent. `view`, `engaged` and `click` are the added probabilities of a conversion
    per touch for the average person, which no report may see and every report is judged by.
    """

    name: str
    channel: str
    weight: float
    chases: float
    click_rate: float
    engaged_rate: float
    view: float
    engaged: float
    click: float
    price_micros: int
    tested: bool = False
    """Whether a ghost-ad experiment holds out a share of the people."""


CAMPAIGNS = (
    Campaign("search-brand", "search", 0.6, 6.0, 0.22, 0.0, 0.001, 0.0, 0.03, 350_000, tested=True),
    Campaign("search-generic", "search", 0.9, 3.0, 0.12, 0.0, 0.004, 0.0, 0.24, 900_000),
    Campaign("social-prospecting", "social", 2.6, 1.0, 0.025, 0.03, 0.011, 0.04, 0.18, 9_000, tested=True),
    Campaign("social-retargeting", "social", 0.9, 6.0, 0.05, 0.02, 0.002, 0.01, 0.05, 14_000, tested=True),
    Campaign("display-prospecting", "display", 2.4, 1.0, 0.008, 0.0, 0.009, 0.0, 0.14, 3_000),
    Campaign("display-retargeting", "display", 0.9, 8.0, 0.02, 0.0, 0.001, 0.0, 0.04, 5_000, tested=True),
    Campaign("video-brand", "video", 1.4, 1.0, 0.006, 0.25, 0.007, 0.05, 0.16, 12_000),
    Campaign("affiliate-deals", "affiliate", 0.3, 2.5, 0.40, 0.0, 0.001, 0.0, 0.08, 600_000),
)

HELD_OUT = 0.1
"""The share of people whom a tested campaign holds out."""


def chances(*, shifted: bool = False) -> Floats:
    """Cumulative chances of each campaign, a row for people out of the market and one for people in it.

    `shifted` is the mix after the budget moved: video and affiliates take the place of social.
    """
    weights = np.array([[c.weight, c.weight * c.chases] for c in CAMPAIGNS]).T
    if shifted:
        weights = weights * np.array([_shift(c.channel) for c in CAMPAIGNS])
    return np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)


def effects() -> Floats:
    """The added probability of a conversion by campaign and kind of touch; a ghost adds nothing."""
    return np.array([[c.view, c.engaged, c.click, 0.0] for c in CAMPAIGNS])


def _shift(channel: str) -> float:
    return {"video": 6.0, "affiliate": 6.0, "social": 0.2}.get(channel, 1.0)
