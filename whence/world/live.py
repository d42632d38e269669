"""One day in the life of a block: sessions, ads, log-ins, purchases and refunds, with what caused them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date, timedelta

import numpy as np

from whence.contracts.settings import World
from whence.world import campaigns, people
from whence.world.ids import Ints, Keys, Marks, generator, key, toss
from whence.world.people import COMPUTER, People

HOUR = 3_600_000_000
DAY = 24 * HOUR
HOME, OFFICE, CARRIER = range(3)
NOBODY = np.uint64(0)

PURCHASE, SIGN_UP, REFUND = range(3)
CONVERSION_KINDS = ("purchase", "sign_up", "refund")
PIXEL, SDK, SERVER, OFFLINE = range(4)
LOGIN, FORM, VISIT = range(3)
SIGHTING_KINDS = ("login", "form", "visit")

ENTERS, LEAVES, LEAVES_AFTER_BUYING = 0.03, 0.08, 0.7
BOUGHT_ANYWAY = np.array([0.008, 0.22])
"""A day's chance of a conversion without ads, out of the market and in it."""


@dataclass(frozen=True)
class Rows:
    """Equally long arrays, an element for each row."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, where: Ints | Marks) -> Rows:
        """The chosen rows."""
        return type(self)(**{f.name: getattr(self, f.name)[where] for f in fields(self)})


def join(kind: type[Rows], parts: list[Rows]) -> Rows:
    """The rows of all parts, one after another."""
    return kind(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(kind)})


@dataclass(frozen=True)
class Sessions(Rows):
    """Times at which a person sat down with a device on a network."""

    who: Ints
    at: Ints
    """Microseconds since 1970."""
    slot: Ints
    device: Keys
    network: Keys
    is_app: Marks


@dataclass(frozen=True)
class Touches(Rows):
    """Ads that were shown, clicked, or held out."""

    who: Ints
    at: Ints
    slot: Ints
    device: Keys
    network: Keys
    is_app: Marks
    touch: Keys
    campaign: Ints
    kind: Ints


@dataclass(frozen=True)
class Causes(Rows):
    """Conversions that will happen, and why."""

    who: Ints
    at: Ints
    touch: Keys
    """The touch that caused it; 0 for nobody."""
    is_click: Marks
    slot: Ints
    """The device it started on; -1 when any will do."""


@dataclass(frozen=True)
class Conversions(Rows):
    """Conversions as the shop sees them; pixel and server may both tell of one order."""

    who: Ints
    at: Ints
    slot: Ints
    device: Keys
    network: Keys
    is_app: Marks
    conversion: Keys
    order: Keys
    refund_of: Keys
    cause: Keys
    click: Keys
    kind: Ints
    source: Ints
    value: Ints
    is_logged_in: Marks


@dataclass(frozen=True)
class Sightings(Rows):
    """Log-ins, forms and plain visits."""

    who: Ints
    at: Ints
    slot: Ints
    device: Keys
    network: Keys
    is_app: Marks
    sighting: Keys
    kind: Ints


@dataclass
class State:
    """What one day leaves for the next."""

    in_market: Marks
    last_click: Keys
    last_click_at: Ints
    coming: list[Causes] = field(default_factory=list)
    refunds: list[Conversions] = field(default_factory=list)


def first_state(world: World, crowd: People) -> State:
    """How the people are before the first day."""
    n = crowd.block.size
    leaves = LEAVES + (1 - LEAVES) * LEAVES_AFTER_BUYING * BOUGHT_ANYWAY[1]
    market = ENTERS / (ENTERS + leaves)
    in_market = generator(world.seed, "market", crowd.block.number).random(n) < market
    return State(in_market, np.zeros(n, np.uint64), np.zeros(n, np.int64))


@dataclass(frozen=True)
class LivedDay:
    """What happened on a day, whoever will hear of it and when."""

    touches: Touches
    conversions: Conversions
    sightings: Sightings


def live(world: World, crowd: People, state: State, day: int, *, is_shifted: bool = False) -> LivedDay:
    """Live the day (0 is the world's first) and move `state` on to the next."""
    rng = generator(world.seed, "day", crowd.block.number, day)
    start = _start(world, day)
    sat = _sessions(rng, world, crowd, state, day, start)
    touches = _touches(rng, world, crowd, state, day, sat, is_shifted=is_shifted)
    sightings = _sightings(rng, world, crowd, day, sat)
    state.coming += [_caused(rng, crowd, state, touches), _uncaused(rng, crowd, state, start)]
    due, state.coming = _due(state.coming, start + DAY)
    conversions = _conversions(rng, world, crowd, state, day, due)
    _move_on(rng, state, touches, conversions)
    return LivedDay(touches, conversions, sightings)


def _start(world: World, day: int) -> int:
    return (world.first_day + timedelta(days=day) - date(1970, 1, 1)).days * DAY


def _sessions(rng: np.random.Generator, world: World, crowd: People, state: State, day: int, start: int) -> Sessions:
    counts = rng.poisson(crowd.activity * np.where(state.in_market, 1.5, 1.0))
    who = np.repeat(np.arange(crowd.block.size, dtype=np.int64), counts)
    hour = rng.normal(crowd.hour[who], crowd.spread[who]) % 24
    slot = _device(rng, crowd, who)
    is_work = _is_workday(start) & (hour >= 9) & (hour < 17) & crowd.is_office[who] & (slot <= COMPUTER)
    lot = rng.random(len(who))
    away = np.where((slot == people.PHONE) & (lot > 0.62), CARRIER, HOME)
    place = np.where(is_work & (lot < 0.7), OFFICE, away)
    return Sessions(
        who=who,
        at=start + (hour * HOUR).astype(np.int64),
        slot=slot,
        device=crowd.device[who, slot],
        network=people.network(world, crowd, who, place, day, rng.random(len(who))),
        is_app=(slot != COMPUTER) & (rng.random(len(who)) < 0.5),
    )


def _is_workday(start: int) -> bool:
    return (date(1970, 1, 1) + timedelta(days=start // DAY)).weekday() < 5


def _device(rng: np.random.Generator, crowd: People, who: Ints) -> Ints:
    odds = np.cumsum(crowd.has_device[who] * np.array([0.55, 0.35, 0.10]), axis=1)
    slot: Ints = (rng.random(len(who))[:, None] * odds[:, -1:] > odds).sum(axis=1)
    return slot


def _touches(
    rng: np.random.Generator, world: World, crowd: People, state: State, day: int, sat: Sessions, *, is_shifted: bool
) -> Touches:
    seen = np.repeat(np.arange(len(sat)), rng.poisson(np.where(state.in_market[sat.who], 2.2, 1.6)))
    shown = sat.take(seen)
    assert isinstance(shown, Sessions)
    n, wants = len(shown), state.in_market[shown.who].astype(np.int64)
    odds = campaigns.chances(shifted=is_shifted)
    campaign = (rng.random(n)[:, None] > odds[wants]).sum(axis=1)
    click_rate = np.array([c.click_rate for c in campaigns.CAMPAIGNS])[campaign] * (1 + wants)
    engaged_rate = np.array([c.engaged_rate for c in campaigns.CAMPAIGNS])[campaign]
    lot = rng.random(n)
    kind = np.where(
        lot < click_rate, campaigns.CLICK, np.where(lot < click_rate + engaged_rate, campaigns.ENGAGED, campaigns.VIEW)
    )
    kind = np.where(is_held_out(world, crowd, shown.who, campaign), campaigns.ELIGIBLE, kind)
    return Touches(
        who=shown.who,
        at=shown.at + (rng.exponential(4 * 60e6, n)).astype(np.int64),
        slot=shown.slot,
        device=shown.device,
        network=shown.network,
        is_app=shown.is_app,
        touch=key("touch", world.seed, crowd.block.number, day, np.arange(n)),
        campaign=campaign,
        kind=kind,
    )


def is_held_out(world: World, crowd: People, who: Ints, campaign: Ints) -> Marks:
    """Whether the campaign's experiment keeps its ads from the person."""
    tested = np.array([c.tested for c in campaigns.CAMPAIGNS])[campaign]
    return tested & (toss("arm", world.seed, campaign, crowd.number[who]) < campaigns.HELD_OUT)


def _sightings(rng: np.random.Generator, world: World, crowd: People, day: int, sat: Sessions) -> Sightings:
    lot = rng.random(len(sat))
    login = crowd.has_account[sat.who] & (lot < crowd.login_rate[sat.who])
    form, visit = ~login & (lot > 0.996), ~login & (lot > 0.93)
    kept = np.flatnonzero(login | form | visit)
    kind = np.where(login, LOGIN, np.where(form, FORM, VISIT))[kept]
    there = sat.take(kept)
    assert isinstance(there, Sessions)
    return Sightings(
        who=there.who,
        at=there.at + rng.integers(0, 10 * 60_000_000, len(kept)),
        slot=there.slot,
        device=there.device,
        network=there.network,
        is_app=there.is_app,
        sighting=key("sighting", world.seed, crowd.block.number, day, np.arange(len(kept))),
        kind=kind,
    )


def _caused(rng: np.random.Generator, crowd: People, state: State, touches: Touches) -> Causes:
    """Conversions that a touch brings, hours to days later; the more intent, the more a touch does."""
    chance = campaigns.effects()[touches.campaign, touches.kind] * crowd.swayed[touches.who]
    chance = chance * np.where(state.in_market[touches.who], 1.8, 0.9)
    works = np.flatnonzero(rng.random(len(touches)) < chance)
    delay = np.minimum(rng.lognormal(np.log(6.0), 1.2, len(works)), 6 * 24.0) * HOUR
    is_click = touches.kind[works] == campaigns.CLICK
    stays = rng.random(len(works)) < np.where(is_click, 0.75, 0.4)
    return Causes(
        who=touches.who[works],
        at=touches.at[works] + 90_000_000 + delay.astype(np.int64),
        touch=touches.touch[works],
        is_click=is_click,
        slot=np.where(stays, touches.slot[works], -1),
    )


def _uncaused(rng: np.random.Generator, crowd: People, state: State, start: int) -> Causes:
    """Conversions that would have come without any ad."""
    n = crowd.block.size
    buys = np.flatnonzero(rng.random(n) < BOUGHT_ANYWAY[state.in_market.astype(np.int64)] * crowd.buys)
    hour = rng.normal(crowd.hour[buys], crowd.spread[buys]) % 24
    return Causes(
        who=buys,
        at=start + (hour * HOUR).astype(np.int64),
        touch=np.full(len(buys), NOBODY),
        is_click=np.zeros(len(buys), bool),
        slot=np.full(len(buys), -1, np.int64),
    )


def _due(coming: list[Causes], end: int) -> tuple[Causes, list[Causes]]:
    every = join(Causes, list(coming))
    due, later = every.take(every.at < end), every.take(every.at >= end)  # type: ignore[attr-defined]
    assert isinstance(due, Causes)
    assert isinstance(later, Causes)
    order = due.take(np.lexsort((due.touch, due.who, due.at)))
    assert isinstance(order, Causes)
    return order, [later]


def _conversions(rng: np.random.Generator, world: World, crowd: People, state: State, day: int, due: Causes) -> Conversions:
    n = len(due)
    slot = np.where(due.slot >= 0, due.slot, _device(rng, crowd, due.who))
    is_app = (slot != COMPUTER) & (rng.random(n) < 0.35)
    place = np.where((slot == people.PHONE) & (rng.random(n) < 0.3), CARRIER, HOME)
    lot = rng.random(n)
    source = np.where(lot < 0.03, OFFLINE, np.where(is_app, SDK, np.where(lot < 0.7, PIXEL, SERVER)))
    kind = np.where(rng.random(n) < 0.72, PURCHASE, SIGN_UP)
    value = np.where(kind == PURCHASE, rng.lognormal(np.log(42), 0.7, n), rng.uniform(3, 8, n))
    ids = key("conversion", world.seed, crowd.block.number, day, np.arange(n))
    made = Conversions(
        who=due.who,
        at=due.at,
        slot=slot,
        device=crowd.device[due.who, slot],
        network=people.network(world, crowd, due.who, place, day, rng.random(n)),
        is_app=is_app,
        conversion=ids,
        order=np.where(kind == PURCHASE, key("order", ids), NOBODY),
        refund_of=np.full(n, NOBODY),
        cause=due.touch,
        click=_clicks(rng, state, due),
        kind=kind,
        source=source,
        value=np.round(value * 100).astype(np.int64) * 10_000,
        is_logged_in=crowd.has_account[due.who] & (rng.random(n) < 0.8),
    )
    end = _start(world, day + 1)
    state.refunds.append(_refunds(rng, made))
    refunds, state.refunds = _due_refunds(state.refunds, end)
    every = join(Conversions, [made, _told_twice(rng, made), refunds])
    assert isinstance(every, Conversions)
    return every


def _clicks(rng: np.random.Generator, state: State, due: Causes) -> Keys:
    """The click id on the landing page: the causing click's mostly, now and then a left-over of an older click."""
    lot = rng.random(len(due))
    own = due.is_click & (lot < 0.70)
    age = due.at - state.last_click_at[due.who]
    older = ~due.is_click & (lot < 0.38) & (age > 0) & (age < 7 * DAY)
    return np.where(own, due.touch, np.where(older, state.last_click[due.who], NOBODY))


def _told_twice(rng: np.random.Generator, made: Conversions) -> Conversions:
    """The server tells again of some orders that the pixel told of."""
    twice = made.take((made.source == PIXEL) & (made.kind == PURCHASE) & (rng.random(len(made)) < 0.25))
    assert isinstance(twice, Conversions)
    changed = {
        "conversion": key("server", twice.conversion),
        "source": np.full(len(twice), SERVER),
        "at": twice.at + rng.integers(0, 20_000_000, len(twice)),
    }
    return Conversions(**({f.name: getattr(twice, f.name) for f in fields(twice)} | changed))


def _refunds(rng: np.random.Generator, made: Conversions) -> Conversions:
    back = made.take((made.kind == PURCHASE) & (rng.random(len(made)) < 0.05))
    assert isinstance(back, Conversions)
    n = len(back)
    part = np.where(rng.random(n) < 0.75, back.value, back.value // 20_000 * 10_000)
    changed = {
        "conversion": key("refund", back.conversion),
        "refund_of": back.conversion,
        "kind": np.full(n, REFUND),
        "source": np.full(n, SERVER),
        "click": np.full(n, NOBODY),
        "value": -part,
        "at": back.at + (rng.uniform(0.5, 5.0, n) * DAY).astype(np.int64),
    }
    return Conversions(**({f.name: getattr(back, f.name) for f in fields(back)} | changed))


def _due_refunds(coming: list[Conversions], end: int) -> tuple[Conversions, list[Conversions]]:
    every = join(Conversions, list(coming))
    due, later = every.take(every.at < end), every.take(every.at >= end)  # type: ignore[attr-defined]
    assert isinstance(due, Conversions)
    assert isinstance(later, Conversions)
    return due, [later]


def _move_on(rng: np.random.Generator, state: State, touches: Touches, conversions: Conversions) -> None:
    clicks = np.flatnonzero(touches.kind == campaigns.CLICK)
    clicks = clicks[np.argsort(touches.at[clicks], kind="stable")]
    state.last_click[touches.who[clicks]] = touches.touch[clicks]
    state.last_click_at[touches.who[clicks]] = touches.at[clicks]
    n = len(state.in_market)
    enter, leave, satisfied = rng.random(n) < ENTERS, rng.random(n) < LEAVES, rng.random(n) < LEAVES_AFTER_BUYING
    bought = np.zeros(n, bool)
    bought[conversions.who[conversions.kind != REFUND]] = True
    state.in_market = np.where(state.in_market, ~(leave | (bought & satisfied)), enter)


def robots(world: World, block: people.Block, day: int, humans: int, *, is_flooded: bool = False) -> Iterator[Touches]:
    """Touches by bots: a few of them on every day, and on a flooded day a multitude from a handful of networks."""
    count = max(block.number == 0, round(block.size / 750))
    if count:
        yield _robots(world, block, day, count, 35, "bots")
    if is_flooded:
        yield _robots(world, block, day, 5, max(1, int(humans * 0.6 / 5)), "flood")


def _robots(world: World, block: people.Block, day: int, count: int, each: int, stream: str) -> Touches:
    rng = generator(world.seed, stream, block.number, day)
    n = count * each
    bot = np.repeat(np.arange(count, dtype=np.int64), each)
    is_click = rng.random(n) < 0.35
    favourites = [4, 5] if stream == "flood" else list(range(len(campaigns.CAMPAIGNS)))
    return Touches(
        who=bot,
        at=_start(world, day) + rng.integers(0, DAY, n),
        slot=np.full(n, COMPUTER),
        device=key(stream, world.seed, block.number, bot, rng.integers(0, 12, n), day),
        network=key("data centre", world.seed, block.number, bot, day // 3),
        is_app=np.zeros(n, bool),
        touch=key(stream + " touch", world.seed, block.number, day, np.arange(n)),
        campaign=rng.choice(favourites, n),
        kind=np.where(is_click, campaigns.CLICK, campaigns.VIEW),
    )
