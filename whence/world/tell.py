"""What trackers tell of a day: lived rows become event rows with the identifiers and the delay that a tracker would have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.events import CONVERSION_SOURCES, CONVERSIONS, INSTANT, SIGHTINGS, TOUCHES
from whence.contracts.settings import World
from whence.world import campaigns, live, people
from whence.world.ids import Floats, Ints, Keys, Marks, generator, key, pick, text, toss
from whence.world.people import People

SECOND = 1_000_000
Columns = dict[str, Any]


def touches(world: World, crowd: People, day: int, rows: live.Touches) -> pa.Table:
    """The day's touches as event rows, each once."""
    rng = generator(world.seed, "tell touches", crowd.block.number, day)
    tested = np.array([c.tested for c in campaigns.CAMPAIGNS])[rows.campaign]
    is_shown = rows.kind != campaigns.ELIGIBLE
    price = np.array([c.price_micros for c in campaigns.CAMPAIGNS])[rows.campaign] * rng.lognormal(0, 0.35, len(rows))
    ad = rng.integers(0, 3, len(rows))
    name = pick(tuple(c.name for c in campaigns.CAMPAIGNS), rows.campaign)
    columns = {
        **_times("touch event", rows.touch, rows.at, _late(rng, len(rows), 20.0)),
        "touch_id": text(rows.touch),
        "kind": pick(campaigns.KINDS, rows.kind),
        "campaign_id": name,
        "ad_id": pc.binary_join_element_wise(name, pick(("a", "b", "c"), ad), "/"),
        "creative_id": pick(tuple(f"creative-{i}" for i in range(16)), rows.campaign * 2 + ad % 2),
        "channel": pick(tuple(c.channel for c in campaigns.CAMPAIGNS), rows.campaign),
        "placement": pick(campaigns.PLACEMENTS, rng.integers(0, len(campaigns.PLACEMENTS), len(rows))),
        "bid_micros": pa.array(np.round(price * 1.25).astype(np.int64)),
        "price_micros": _only(is_shown, pa.array(np.round(price).astype(np.int64))),
        "currency": pa.array(["USD"] * len(rows)),
        "holdout": pa.array(~is_shown),
        "experiment": _only(tested, pc.binary_join_element_wise("ghost", name, "-")),
        "arm": _only(tested, pick(("control", "treatment"), is_shown.astype(np.int64))),
        **_signal(world, crowd, day, rows),
    }
    columns["click_id"] = _only(rows.kind == campaigns.CLICK, text(key("click", rows.touch)))
    return _table(TOUCHES, columns)


def robot_touches(world: World, crowd: People, day: int, rows: live.Touches) -> pa.Table:
    """The day's bot touches as event rows: no household, no log-in, cookies that last a few requests."""
    told = touches(world, crowd, day, _with_owner(rows))
    n = len(rows)
    agent = people.USER_AGENTS.index("HeadlessChrome 120 Linux") + rows.who % len(people.ROBOTS)
    columns = {
        "ip_key": text(rows.network),
        "cookie_id": text(key("bot cookie", rows.device)),
        "device_id": pa.nulls(n, pa.string()),
        "user_agent": pick(people.USER_AGENTS, agent),
        "locale": pa.array(["en-US"] * n),
        "country": pa.array(["US"] * n),
        "consent": pa.array(["unknown"] * n),
        "holdout": pa.array(np.zeros(n, bool)),
        "experiment": pa.nulls(n, pa.string()),
        "arm": pa.nulls(n, pa.string()),
    }
    for name, values in columns.items():
        told = told.set_column(told.schema.get_field_index(name), TOUCHES.field(name), values)
    return told


def conversions(world: World, crowd: People, day: int, rows: live.Conversions) -> pa.Table:
    """The day's conversions as event rows, each once."""
    rng = generator(world.seed, "tell conversions", crowd.block.number, day)
    n = len(rows)
    is_server = (rows.source == live.SERVER) | (rows.source == live.OFFLINE)
    wait = np.choose(rows.source, [5.0, 60.0, 1800.0, 30 * 3600.0])
    signal = _signal(world, crowd, day, rows)
    is_known = rows.is_logged_in | (is_server & (toss("guest e-mail", rows.order, rows.who) < 0.3))
    silent = is_server & (rng.random(n) < 0.6)
    columns = {
        **_times("conversion event", rows.conversion, rows.at, _late(rng, n, wait)),
        "conversion_id": text(rows.conversion),
        "kind": pick(live.CONVERSION_KINDS, rows.kind),
        "value_micros": pa.array(rows.value),
        "currency": pick(people.CURRENCIES, crowd.country[rows.who]),
        "order_id": _only(rows.order != live.NOBODY, text(rows.order)),
        "refund_of": _only(rows.refund_of != live.NOBODY, text(rows.refund_of)),
        "source": pick(CONVERSION_SOURCES, rows.source),
        **signal,
        "email_hash": _only(is_known, crowd.email_hash.take(pa.array(rows.who))),
        "external_id": _only(rows.is_logged_in, _customer(world, crowd, rows.who)),
        "phone_hash": _only(rng.random(n) < 0.12, crowd.phone_hash.take(pa.array(rows.who))),
        "click_id": _only(rows.click != live.NOBODY, text(key("click", rows.click))),
        "cookie_id": _only(~silent, signal["cookie_id"]),
        "device_id": _only(~silent, signal["device_id"]),
        "user_agent": _only(~silent, signal["user_agent"]),
    }
    return _table(CONVERSIONS, columns)


def sightings(world: World, crowd: People, day: int, rows: live.Sightings) -> pa.Table:
    """The day's sightings as event rows, each once."""
    rng = generator(world.seed, "tell sightings", crowd.block.number, day)
    n = len(rows)
    is_login, is_form = rows.kind == live.LOGIN, rows.kind == live.FORM
    columns = {
        **_times("sighting event", rows.sighting, rows.at, _late(rng, n, 5.0)),
        "kind": pick(live.SIGHTING_KINDS, rows.kind),
        **_signal(world, crowd, day, rows),
        "click_id": pa.nulls(n, pa.string()),
        "email_hash": _only(is_login | is_form, crowd.email_hash.take(pa.array(rows.who))),
        "external_id": _only(is_login, _customer(world, crowd, rows.who)),
        "phone_hash": _only(is_form & (rng.random(n) < 0.4), crowd.phone_hash.take(pa.array(rows.who))),
    }
    return _table(SIGHTINGS, columns)


def person_names(crowd: People, who: Ints) -> pa.Array:
    """The true person of each row."""
    return pc.binary_join_element_wise("p", pa.array(crowd.number[who]).cast(pa.string()), "")


def robot_names(crowd: People, rows: live.Touches) -> pa.Array:
    """The true bot of each row: a cookie of a bot is nobody's but its own."""
    bot = pa.array(rows.who).cast(pa.string())
    return pc.binary_join_element_wise(f"bot-{crowd.block.number}", bot, "-")


def repeats(world: World, crowd: People, day: int, name: str, told: pa.Table, share: float) -> pa.Table:
    """Some rows delivered a second time, minutes later or on the next day; sources deliver at least once."""
    rng = generator(world.seed, "repeats", name, crowd.block.number, day)
    again = told.filter(pa.array(rng.random(told.num_rows) < share))
    n = again.num_rows
    late = np.where(rng.random(n) < 0.3, rng.uniform(6, 30, n) * 3600, rng.exponential(1200, n))
    seen = again["seen_at"].cast(pa.int64()).to_numpy() + 1 + (late * SECOND).astype(np.int64)
    return again.set_column(again.schema.get_field_index("seen_at"), again.schema.field("seen_at"), _instants(seen))


def _signal(world: World, crowd: People, day: int, rows: live.Touches | live.Conversions | live.Sightings) -> Columns:
    n = len(rows)
    silent = people.opted_out(world, rows.device)
    return {
        "click_id": pa.nulls(n, pa.string()),
        "cookie_id": _only(~silent & ~rows.is_app, text(people.cookie(world, rows.device, rows.slot, day))),
        "device_id": _only(~silent & rows.is_app, text(key("advertising id", rows.device))),
        "email_hash": pa.nulls(n, pa.string()),
        "phone_hash": pa.nulls(n, pa.string()),
        "external_id": pa.nulls(n, pa.string()),
        "ip_key": text(rows.network),
        "user_agent": pick(people.USER_AGENTS, people.agent(world, rows.device, rows.slot)),
        "locale": pick(people.LOCALES, crowd.locale[rows.who]),
        "country": pick(people.COUNTRIES, crowd.country[rows.who]),
        "consent": pick(("granted", "denied"), silent.astype(np.int64)),
    }


def _customer(world: World, crowd: People, who: Ints) -> pa.Array:
    return text(key("customer", world.seed, crowd.number[who]))


def _with_owner(rows: live.Touches) -> live.Touches:
    owned = rows.take(np.arange(len(rows)))
    assert isinstance(owned, live.Touches)
    owned.who[:] = 0
    return owned


def _late(rng: np.random.Generator, n: int, usual: Floats | float) -> Ints:
    """Microseconds to delivery: seconds for most, hours for some, days for few, so rows come out of order."""
    lot = rng.random(n)
    seconds = rng.exponential(1.0, n) * usual
    seconds = np.where(lot < 0.05, rng.lognormal(np.log(2.5 * 3600), 0.8, n), seconds)
    seconds = np.where(lot < 0.008, rng.uniform(1, 3, n) * 86_400, seconds)
    return (seconds * SECOND).astype(np.int64)


def _times(about: str, keys: Keys, at: Ints, late: Ints) -> Columns:
    return {"event_id": text(key(about, keys)), "happened_at": _instants(at), "seen_at": _instants(at + late)}


def _instants(micros: Ints) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(INSTANT)


def _only(where: Marks, values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(where), values, pa.scalar(None, values.type))


def _table(schema: pa.Schema, columns: Columns) -> pa.Table:
    unsaid = {"product": pa.nulls(len(columns["event_id"]), pa.string())}  # the world's shops do not say what they sell
    return pa.table([{**unsaid, **columns}[name] for name in schema.names], schema=schema)
