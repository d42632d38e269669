"""What an ad exchange hears of people's browsing: a request for each visit to a site, with no key that two devices share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import INSTANT
from whence.contracts.settings import World
from whence.world import people, sites
from whence.world.ids import Floats, Ints, Keys, Marks, generator, key, pick, text
from whence.world.live import CARRIER, DAY, HOME, HOUR, OFFICE, Rows
from whence.world.people import COMPUTER, PHONE, People

SESSIONS = 6.0
"""Sessions of an average person on an average day in which the exchange is asked for an ad."""
VISITS = 1.2
"""Further sites in a session, on average."""
BORROWED = 0.05
"""The share of sessions on a computer or tablet in which somebody else of the household sits at it."""
GUEST, PUBLIC = 3, 4
FRIENDS, CAFES = 3, 2
SCHEMA = pa.schema(
    [
        ("device", pa.string()),
        ("happened_at", INSTANT),
        ("seen_at", INSTANT),
        ("ip_key", pa.string()),
        ("site", pa.string()),
        ("user_agent", pa.string()),
        ("locale", pa.string()),
        ("country", pa.string()),
    ]
)
"""A request. `device` is the advertising id of a phone's or tablet's apps (`device_id:…`), or a browser's cookie (`cookie_id:…`)."""


@dataclass(frozen=True)
class Browsed:
    """The requests in order of seen_at, and the truth."""

    requests: pa.Table
    """Columns of SCHEMA."""
    owners: pa.Table
    """device, machine, person, household: a row for each person who used the device; most have one.

    `machine` is the phone, computer or tablet: its browser, its apps, and each cookie of its past are devices of one machine.
    """


@dataclass(frozen=True)
class Sessions(Rows):
    """Times at which somebody sat down with a device; `reader` may be another than its owner."""

    who: Ints
    reader: Ints
    at: Ints
    slot: Ints
    device: Keys
    network: Keys
    is_app: Marks


def browse(world: World, sessions: float = SESSIONS) -> Browsed:
    """The requests of all the world's days, `sessions` a day for the average person.

    They come on top of the world's events and change none of them. Devices that opted out carry no id and are left out.
    """
    catalogue = sites.catalogue(world)
    parts = [_block(world, people.populate(world, block), catalogue, sessions) for block in people.blocks(world)]
    requests = pa.concat_tables(requests for requests, _ in parts)
    owners = _distinct(pa.concat_tables(owners for _, owners in parts))
    order = [("seen_at", "ascending"), ("device", "ascending"), ("happened_at", "ascending"), ("site", "ascending")]
    return Browsed(requests.sort_by(order), owners.sort_by([("device", "ascending"), ("person", "ascending")]))


def _block(world: World, crowd: People, catalogue: sites.Sites, sessions: float) -> tuple[pa.Table, pa.Table]:
    likes = sites.tastes(world, crowd, catalogue)
    days = [_day(world, crowd, catalogue, likes, day, sessions) for day in range(world.days)]
    return pa.concat_tables(table for table, _ in days), pa.concat_tables(owners for _, owners in days)


def _day(
    world: World, crowd: People, catalogue: sites.Sites, likes: sites.Tastes, day: int, sessions: float
) -> tuple[pa.Table, pa.Table]:
    rng = generator(world.seed, "browsing", crowd.block.number, day)
    sat = _sessions(rng, world, crowd, day, sessions)
    kept = np.flatnonzero(~people.opted_out(world, sat.device))
    seen = sat.take(np.repeat(kept, 1 + rng.poisson(VISITS, len(kept))))
    assert isinstance(seen, Sessions)
    happened = seen.at + rng.exponential(3 * 60e6, len(seen)).astype(np.int64)
    site = sites.visited(rng, world, crowd, catalogue, likes, seen.reader, seen.slot, seen.is_app.astype(np.int64))
    columns = {
        "device": _names(world, seen, day),
        "happened_at": _instants(happened),
        "seen_at": _instants(happened + rng.exponential(20e6, len(seen)).astype(np.int64)),
        "ip_key": _texts(seen.network),
        "site": pick(catalogue.names, site),
        "user_agent": pick(people.USER_AGENTS, people.agent(world, seen.device, seen.slot)),
        "locale": pick(people.LOCALES, crowd.locale[seen.who]),
        "country": pick(people.COUNTRIES, crowd.country[seen.who]),
    }
    owners = {
        "device": columns["device"],
        "machine": _texts(seen.device),
        "person": pa.array(crowd.number[seen.who]),
        "household": pa.array(crowd.household[seen.who]),
    }
    return pa.table(columns, schema=SCHEMA), _distinct(pa.table(owners))


def _sessions(rng: np.random.Generator, world: World, crowd: People, day: int, sessions: float) -> Sessions:
    at = world.first_day + timedelta(days=day)
    who = np.repeat(np.arange(crowd.block.size, dtype=np.int64), rng.poisson(crowd.activity * sessions))
    odds = np.cumsum(crowd.has_device[who] * np.array([0.55, 0.35, 0.10]), axis=1)
    slot: Ints = (rng.random(len(who))[:, None] * odds[:, -1:] > odds).sum(axis=1)
    reader = _readers(rng, crowd, who, slot)
    hour = _hours(rng, crowd, reader, slot)
    return Sessions(
        who=who,
        reader=reader,
        at=(at - date(1970, 1, 1)).days * DAY + (hour * HOUR).astype(np.int64),
        slot=slot,
        device=crowd.device[who, slot],
        network=_networks(rng, world, crowd, who, slot, hour, day, is_workday=at.weekday() < 5),
        is_app=(slot != COMPUTER) & (rng.random(len(who)) < 0.5),
    )


def _readers(rng: np.random.Generator, crowd: People, who: Ints, slot: Ints) -> Ints:
    """Who sits at the device: its owner, now and then the next person of the household."""
    after, before = np.minimum(who + 1, crowd.block.size - 1), np.maximum(who - 1, 0)
    other = np.where(crowd.household[after] == crowd.household[who], after, before)
    is_other = (slot != PHONE) & (rng.random(len(who)) < BORROWED) & (crowd.household[other] == crowd.household[who])
    return np.where(is_other, other, who)


def _hours(rng: np.random.Generator, crowd: People, who: Ints, slot: Ints) -> Floats:
    """The person's own hours; a phone is at hand the whole day as well."""
    own = rng.normal(crowd.hour[who], crowd.spread[who]) % 24
    any_time = rng.uniform(7, 24, len(who)) % 24
    return np.where((slot == PHONE) & (rng.random(len(who)) < 0.4), any_time, own)


def _networks(
    rng: np.random.Generator, world: World, crowd: People, who: Ints, slot: Ints, hour: Floats, day: int, *, is_workday: bool
) -> Keys:
    """Home, office and carrier as in the world's own sessions; now and then a friend's home or a public network."""
    n = len(who)
    lot, out = rng.random(n), rng.random(n)
    is_work = is_workday & (hour >= 9) & (hour < 17) & crowd.is_office[who] & (slot <= COMPUTER)
    place = np.where((slot == PHONE) & (lot > 0.62), CARRIER, HOME)
    place = np.where(is_work & (lot < 0.7), OFFICE, place)
    place = np.where((place == HOME) & (out < 0.06), np.where(out < 0.03, GUEST, PUBLIC), place)
    known = people.network(world, crowd, who, np.minimum(place, CARRIER), day, rng.random(n))
    friend = key("friend", world.seed, crowd.number[who], rng.integers(0, FRIENDS, n)) % np.uint64(crowd.block.size)
    there = people.network(world, crowd, friend.astype(np.int64), np.zeros(n, np.int64), day, np.zeros(n))
    cafe = key("goes to", world.seed, crowd.number[who], rng.integers(0, CAFES, n)) % np.uint64(max(2, world.people // 60))
    return np.where(place == GUEST, there, np.where(place == PUBLIC, key("cafe", world.seed, cafe), known))


def _names(world: World, seen: Sessions, day: int) -> pa.Array:
    names = np.where(seen.is_app, key("advertising id", seen.device), people.cookie(world, seen.device, seen.slot, day))
    prefix = pick(("cookie_id:", "device_id:"), seen.is_app.astype(np.int64))
    return pc.binary_join_element_wise(prefix, _texts(names), "")


def _distinct(rows: pa.Table) -> pa.Table:
    return rows.group_by(rows.column_names).aggregate([])


def _texts(keys: Keys) -> pa.Array:
    """Each key as text; a key that comes often is spelled out once."""
    distinct, codes = np.unique(keys, return_inverse=True)
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), text(distinct)).cast(pa.string())


def _instants(micros: Ints) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(INSTANT)
