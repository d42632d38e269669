"""What can go wrong in the world from a day on: each changes what is told, and one changes what is shown."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.settings import World
from whence.world.ids import generator

SCENARIOS = ("signal_loss", "tracker_outage", "mix_shift", "bot_flood", "unit_change")
LOST_SHARE = 0.85
LOST = ("click_id", "cookie_id", "device_id", "email_hash", "phone_hash", "external_id")
SILENT_CHANNEL = "social"
CENTS_CHANNEL = "search"
"""The channel whose prices come a hundred times too high, with the server's values, once units change."""


class ScenarioError(ValueError):
    """A scenario that the world does not know."""


def check(world: World) -> None:
    """Raise ScenarioError for a scenario that does not exist."""
    for scenario in world.scenarios:
        if scenario.name not in SCENARIOS:
            raise ScenarioError(f"There is no scenario '{scenario.name}'. Known: {', '.join(SCENARIOS)}.")


def on(world: World, day: int) -> frozenset[str]:
    """The scenarios that hold on a day, 0 being the world's first."""
    at: date = world.first_day + timedelta(days=day)
    return frozenset(s.name for s in world.scenarios if s.first <= at)


def distort(world: World, block: int, day: int, name: str, told: pa.Table) -> pa.Table:
    """What is told of the table's day under the scenarios that hold on it."""
    holds = on(world, day)
    if "tracker_outage" in holds and name == "touches":
        told = told.filter(pc.not_equal(told["channel"], SILENT_CHANNEL))
    if "unit_change" in holds:
        told = _in_cents(name, told)
    if "signal_loss" in holds:
        told = _lose_signals(world, block, day, name, told)
    return told


def _in_cents(name: str, told: pa.Table) -> pa.Table:
    if name == "touches":
        hit = pc.equal(told["channel"], CENTS_CHANNEL)
        return _scale(_scale(told, "bid_micros", hit), "price_micros", hit)
    if name == "conversions":
        return _scale(told, "value_micros", pc.equal(told["source"], "server"))
    return told


def _scale(told: pa.Table, column: str, hit: pa.ChunkedArray) -> pa.Table:
    values = pc.if_else(hit, pc.multiply(told[column], 100), told[column])
    return told.set_column(told.schema.get_field_index(column), told.schema.field(column), values)


def _lose_signals(world: World, block: int, day: int, name: str, told: pa.Table) -> pa.Table:
    rng = generator(world.seed, "signal loss", name, block, day)
    lost = pa.array(rng.random(told.num_rows) < LOST_SHARE)
    for column in LOST:
        values = pc.if_else(lost, pa.scalar(None, pa.string()), told[column])
        told = told.set_column(told.schema.get_field_index(column), told.schema.field(column), values)
    consent = pc.if_else(lost, "denied", told["consent"])
    told = told.set_column(told.schema.get_field_index("consent"), told.schema.field("consent"), consent)
    if name == "sightings":
        told = told.filter(pc.invert(pc.and_(lost, pc.equal(told["kind"], "login"))))
    return told
