"""People, households, networks and devices: all that stays the same from day to day."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from whence.contracts.settings import World
from whence.world.ids import Floats, Ints, Keys, Marks, generator, key, toss

COUNTRIES = ("GB", "US", "DE", "FR", "NL")
CURRENCIES = ("GBP", "USD", "EUR", "EUR", "EUR")
LOCALES = ("en-GB", "en-US", "de-DE", "fr-FR", "nl-NL", "pl-PL", "es-ES", "tr-TR")
FOREIGN = 5
"""Locales from here on are spoken everywhere."""

PHONES = (
    *(f"Mobile Safari {version} iOS" for version in (16, 17, 18, 26)),
    *(f"{browser} Android" for browser in ("Chrome 134", "Chrome 136", "Chrome 137", "Samsung Internet 27", "Firefox 138")),
)
COMPUTERS = (
    *(f"{browser} {version} Windows" for browser in ("Chrome", "Edge", "Opera") for version in (136, 137)),
    *(f"Firefox {version} {system}" for system in ("Windows", "macOS", "Linux") for version in (138, 139)),
    *(f"Chrome 137 {system}" for system in ("macOS", "Linux")),
    *(f"Safari {version} macOS" for version in (17, 18)),
)
TABLETS = ("Safari 17 iPadOS", "Safari 18 iPadOS", "Chrome 136 Android Tablet", "Silk 135 Fire OS")
ROBOTS = ("HeadlessChrome 120 Linux", "Chrome 118 Windows")
USER_AGENTS = PHONES + COMPUTERS + TABLETS + ROBOTS

PHONE, COMPUTER, TABLET = range(3)
OPTED_OUT = 0.15
"""The share of devices that refuse ids."""


@dataclass(frozen=True)
class Block:
    """A share of the world that is made by itself: whole households, `first` is its first person's number."""

    number: int
    first: int
    size: int


@dataclass(frozen=True)
class People:
    """The people of one block, an array element each; devices have a column for phone, computer, tablet."""

    block: Block
    household: Ints
    country: Ints
    locale: Ints
    has_account: Marks
    login_rate: Floats
    activity: Floats
    hour: Floats
    spread: Floats
    swayed: Floats
    """How strongly ads work on the person; 1 on average."""
    buys: Floats
    """How likely the person buys without ads; 1 on average."""
    is_office: Marks
    has_device: Marks
    device: Keys
    email_hash: pa.Array
    phone_hash: pa.Array

    @property
    def number(self) -> Ints:
        """Each person's number in the whole world."""
        return np.arange(self.block.first, self.block.first + self.block.size, dtype=np.int64)


def blocks(world: World) -> tuple[Block, ...]:
    """How the people are cut up: by their number alone, so that the workers' number changes nothing."""
    size = min(max(-(-world.people // 4), 500), 20_000)
    starts = range(0, world.people, size)
    return tuple(Block(at, first, min(size, world.people - first)) for at, first in enumerate(starts))


def populate(world: World, block: Block) -> People:
    """The block's people."""
    rng = generator(world.seed, "people", block.number)
    n = block.size
    number = np.arange(block.first, block.first + n, dtype=np.int64)
    household = block.first + _households(rng, n)
    country = (toss("country", world.seed, household)[:, None] > np.array([0.35, 0.65, 0.82, 0.94])).sum(axis=1)
    locale = np.where(rng.random(n) < 0.9, country, rng.integers(FOREIGN, len(LOCALES), n))
    has_device = rng.random((n, 3)) < np.array([0.95, 0.75, 0.0])
    has_device[:, PHONE] |= ~has_device.any(axis=1)
    shares_tablet = toss("tablet", world.seed, household) < 0.06
    has_device[:, TABLET] = shares_tablet | (rng.random(n) < 0.12)
    device = key("device", world.seed, (number * 3)[:, None] + np.arange(3))
    device[:, TABLET] = np.where(shares_tablet, key("shared tablet", world.seed, household), device[:, TABLET])
    return People(
        block=block,
        household=household,
        country=country,
        locale=locale,
        has_account=rng.random(n) < 0.65,
        login_rate=rng.beta(1.5, 9.0, n),
        activity=rng.gamma(1.6, 0.62, n),
        hour=rng.normal(15.5, 3.5, n) % 24,
        spread=rng.uniform(0.8, 4.0, n),
        swayed=rng.gamma(2.0, 0.5, n),
        buys=rng.gamma(2.0, 0.5, n),
        is_office=rng.random(n) < 0.55,
        has_device=has_device,
        device=device,
        email_hash=_hashes(f"person{p}@world{world.seed}.example" for p in number),
        phone_hash=_hashes(f"+447{p:09d}" for p in number),
    )


def network(world: World, people: People, who: Ints, place: Ints, day: int, lot: Floats) -> Keys:
    """The IP in use by each of `who`: place 0 is home, 1 the office, 2 the mobile carrier.

    Homes get a new address every few weeks, one home in seven sits behind a carrier's shared
    address, offices have some forty people, and carriers put hundreds behind one address.
    """
    household = people.household[who]
    period = 12 + (toss("lease", world.seed, household) * 50).astype(np.int64)
    lease = (day + (toss("phase", world.seed, household) * period).astype(np.int64)) // period
    home = key("home", world.seed, household, lease)
    shared = key("shared", world.seed, household % max(1, world.people // 120))
    home = np.where(toss("behind", world.seed, household) < 0.15, shared, home)
    office = key("office", world.seed, key("works at", world.seed, people.number[who]) % np.uint64(max(1, world.people // 40)))
    carriers = max(2, world.people // 150)
    reach = key("carrier", world.seed, people.number[who]) % np.uint64(carriers)
    mobile = key("mobile", world.seed, (reach + (lot * 3).astype(np.uint64)) % np.uint64(carriers))
    there: Keys = np.choose(place, [home, office, mobile])
    return there


def opted_out(world: World, device: Keys) -> Marks:
    """Whether a device refuses to be known."""
    return toss("opted out", world.seed, device) < OPTED_OUT


def agent(world: World, device: Keys, slot: Ints) -> Ints:
    """The place of a device's user agent in USER_AGENTS; some are far commoner than others."""
    lot = toss("agent", world.seed, device) ** 1.6
    first = np.choose(slot, [0, len(PHONES), len(PHONES) + len(COMPUTERS)])
    count = np.choose(slot, [len(PHONES), len(COMPUTERS), len(TABLETS)])
    places: Ints = (first + (lot * count).astype(np.int64)).astype(np.int64)
    return places


def cookie(world: World, device: Keys, slot: Ints, day: int) -> Keys:
    """A device's cookie of the day: it lives a week on phones and tablets of one maker, longer elsewhere, then churns."""
    is_short = toss("agent", world.seed, device) ** 1.6 < np.choose(slot, [4 / 9, 0.0, 0.5])
    life = np.where(is_short, 7, 15 + (toss("cookie life", world.seed, device) * 60).astype(np.int64))
    age = (day + (toss("cookie phase", world.seed, device) * life).astype(np.int64)) // life
    return key("cookie", world.seed, device, age)


def _households(rng: np.random.Generator, n: int) -> Ints:
    sizes = rng.choice(np.arange(1, 6), size=n, p=[0.3, 0.33, 0.15, 0.15, 0.07])
    return np.repeat(np.arange(n, dtype=np.int64), sizes)[:n]


def _hashes(texts: object) -> pa.Array:
    return pa.array([hashlib.sha256(each.encode()).hexdigest() for each in texts], pa.string())  # type: ignore[attr-defined]
