"""The world's sites and apps, and who likes which: a few thousand of them, most hardly visited, each of one topic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whence.contracts.settings import World
from whence.world.ids import Floats, Ints, Marks, toss
from whence.world.people import COUNTRIES, People

SITES, TOPICS = 4000, 40
WORLDWIDE = 0.3
"""The share of sites that are read in every country; each other site has one country."""
FAVOURITES = 14
TASTES = 4
"""Topics of a person: the first is the household's, which its people share."""
WEB, APP = range(2)


@dataclass(frozen=True)
class Sites:
    """All sites, and for each group of (topic or any, country, medium) its sites by popularity."""

    names: tuple[str, ...]
    has: Marks
    """Shape (sites, 2): whether there is a web page, and whether there is an app."""
    members: Ints
    """The sites of all groups, one group after another."""
    reach: Floats
    """Group number plus the cumulative share of its members' visits, so that one search draws from any group."""

    def draw(self, topic: Ints, country: Ints, medium: Ints, lot: Floats) -> Ints:
        """A site of each group by popularity; topic TOPICS stands for any, `lot` is uniform from 0 to 1."""
        group = (topic * len(COUNTRIES) + country) * 2 + medium
        place = np.searchsorted(self.reach, group + lot, side="right").clip(0, len(self.members) - 1)
        return np.asarray(self.members[place], dtype=np.int64)


@dataclass(frozen=True)
class Tastes:
    """What each person reads, on whatever device."""

    topics: Ints
    """Shape (people, TASTES)."""
    leaning: Floats
    """Cumulative share of each topic, shape (people, TASTES)."""
    favourites: Ints
    """Sites that the person comes back to, dearest first, shape (people, FAVOURITES)."""
    habit: Floats
    """The share of visits that go to a favourite."""


def catalogue(world: World) -> Sites:
    """The sites of this world. Popularity follows a power law; half are web pages alone, a fifth apps alone."""
    site = np.arange(SITES)
    topic = (toss("site topic", world.seed, site) ** 1.5 * TOPICS).astype(np.int64)
    home = np.where(
        toss("site is worldwide", world.seed, site) < WORLDWIDE,
        -1,
        (toss("site country", world.seed, site) * len(COUNTRIES)).astype(np.int64),
    )
    medium = toss("site medium", world.seed, site)
    has = np.column_stack([(medium < 0.8), (medium > 0.5)])
    visits = 1.0 / (site + 10.0)
    members, reach = [], []
    groups = [(t, c, m) for t in range(TOPICS + 1) for c in range(len(COUNTRIES)) for m in (WEB, APP)]
    for number, (t, c, m) in enumerate(groups):
        there = np.flatnonzero(((topic == t) | (t == TOPICS)) & ((home == c) | (home < 0)) & has[:, m])
        there = there if len(there) else np.flatnonzero(has[:, m])[:1]
        members.append(there)
        reach.append(number + np.cumsum(visits[there]) / visits[there].sum())
    names = tuple(f"site-{number:04d}" for number in range(SITES))
    return Sites(names, has, np.concatenate(members), np.concatenate(reach))


def tastes(world: World, crowd: People, sites: Sites) -> Tastes:
    """The block's tastes, which follow from who the people are and use up no random numbers."""
    number, n = crowd.number[:, None], crowd.block.size
    place = np.arange(TASTES)
    of_household = np.broadcast_to(crowd.household[:, None], (n, 1))
    lots = np.hstack(
        [toss("household topic", world.seed, of_household).reshape(n, 1), _tosses("topic", world, number, place[1:])]
    )
    topics = (lots**1.5 * TOPICS).astype(np.int64)
    share = -np.log(np.maximum(_tosses("leaning", world, number, place), 1e-12))
    leaning = np.cumsum(share / share.sum(axis=1, keepdims=True), axis=1)
    dearest = np.arange(FAVOURITES)
    which = (_tosses("favourite topic", world, number, dearest)[:, :, None] > leaning[:, None, :]).sum(axis=2).clip(0, TASTES - 1)
    favourites = sites.draw(
        np.take_along_axis(topics, which, axis=1).ravel(),
        np.repeat(crowd.country, FAVOURITES),
        (_tosses("favourite medium", world, number, dearest) < 0.4).astype(np.int64).ravel(),
        _tosses("favourite", world, number, dearest).ravel(),
    ).reshape(n, FAVOURITES)
    return Tastes(topics, leaning, favourites, 0.25 + 0.4 * toss("habit", world.seed, crowd.number))


def visited(
    rng: np.random.Generator, world: World, crowd: People, sites: Sites, likes: Tastes, who: Ints, slot: Ints, medium: Ints
) -> Ints:
    """The site of each visit: a favourite, if the person has it on this device, else one of a topic, else any at all."""
    n = len(who)
    rank = np.minimum(rng.geometric(0.22, n) - 1, FAVOURITES - 1)
    favourite = likes.favourites[who, rank]
    uses = toss("uses here", world.seed, crowd.number[who], favourite, slot * 2 + medium) < 0.6
    is_favourite = (rng.random(n) < likes.habit[who]) & uses & sites.has[favourite, medium]
    taste = (rng.random(n)[:, None] > likes.leaning[who]).sum(axis=1).clip(0, TASTES - 1)
    topic = np.where(rng.random(n) < 0.55, likes.topics[who, taste], TOPICS)
    other = sites.draw(topic, crowd.country[who], medium, rng.random(n))
    return np.where(is_favourite, favourite, other)


def _tosses(about: str, world: World, number: Ints, place: Ints) -> Floats:
    return toss(about, world.seed, number, place[None, :])
