"""Fourteen ways in which a day's delivery goes wrong, each in three severities: functions of the rows alone, before ingest sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Day = dict[str, pa.Table]
"""Rows by event table, as a source delivers them."""
Corrupt = Callable[[Day, Day, int, np.random.Generator], Day]
"""The day, the day before, the severity (0, 1, 2), chance; gives the day as it is delivered instead."""
SEVERITIES = ("slight", "strong", "full")
DAY_MICROS = 86_400_000_000


@dataclass(frozen=True)
class Corruption:
    """A way to go wrong; `is_wrong` is False where rows or values are missing, and what came is right."""

    name: str
    corrupt: Corrupt
    is_wrong: bool = True


def corrupted(name: str, day: Day, before: Day, severity: int, seed: int) -> Day:
    """The day's delivery gone wrong; the same arguments give the same rows."""
    rng = np.random.default_rng([seed, severity, *name.encode()])
    return next(each for each in CORRUPTIONS if each.name == name).corrupt(dict(day), before, severity, rng)


def _nulls(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    hit = _some(day["touches"], (0.3, 0.6, 1.0)[severity], rng)
    return _with(day, "touches", {"cookie_id": _when(hit, None, day["touches"]["cookie_id"])})


def _zeros(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    hit = _some(day["conversions"], (0.3, 0.6, 1.0)[severity], rng)
    return _with(day, "conversions", {"value_micros": _when(hit, 0, day["conversions"]["value_micros"])})


def _cents(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """The prices of one channel come in hundredths; of a tenth of its rows, of half of them, of all."""
    rows = day["touches"]
    hit = pc.and_(_some(rows, (0.1, 0.5, 1.0)[severity], rng), pc.equal(rows["channel"], "search"))
    scaled = {name: _when(hit, pc.multiply(rows[name], 100), rows[name]) for name in ("bid_micros", "price_micros")}
    return _with(day, "touches", scaled)


def _lost_channel(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    rows = day["touches"]
    lost = pc.and_(_some(rows, (0.6, 0.9, 1.0)[severity], rng), pc.equal(rows["channel"], "social"))
    return {**day, "touches": rows.filter(pc.invert(lost))}


def _cut_short(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """Nothing comes after 20:00, 16:00 or 8:00."""
    last = (20, 16, 8)[severity]
    return {name: rows.filter(pc.less(pc.hour(rows["seen_at"]), last)) for name, rows in day.items()}


def _lost_hours(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """A gap of 1, 3 or 8 hours around noon."""
    hours = [pc.hour(rows["seen_at"]) for rows in day.values()]
    first, last = 12, 12 + (1, 3, 8)[severity]
    kept = [pc.or_(pc.less(each, first), pc.greater_equal(each, last)) for each in hours]
    return {name: rows.filter(keep) for (name, rows), keep in zip(day.items(), kept, strict=True)}


def _copies(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """Rows are delivered again under new event ids, and touches and conversions under new ids of their own."""
    share = (0.05, 0.3, 1.0)[severity]
    return {
        name: pa.concat_tables([rows, _renumbered(name, rows.filter(_some(rows, share, rng)), "copy")])
        for name, rows in day.items()
    }


def _replayed(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """Yesterday's rows come instead of today's, moved by a day, under new ids."""
    share = (0.1, 0.5, 1.0)[severity]
    made = {}
    for name, rows in day.items():
        old = before[name].filter(_some(before[name], share, rng))
        moved = _renumbered(name, _moved(old, DAY_MICROS, ("happened_at", "seen_at")), "replay")
        made[name] = pa.concat_tables([rows.filter(_some(rows, 1 - share, rng)), moved])
    return made


def _skewed(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """The clock of the touches is ten minutes slow, an hour slow, or two hours fast."""
    moved = _moved(day["touches"], (-600, -3600, 7200)[severity] * 1_000_000, ("happened_at",))
    return {**day, "touches": moved}


def _swapped(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """Columns have changed places: two identifiers, two names, two codes."""
    one, other = (("cookie_id", "device_id"), ("campaign_id", "creative_id"), ("country", "locale"))[severity]
    rows = day["touches"]
    return _with(day, "touches", {one: rows[other], other: rows[one]})


def _constant(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """A column holds one value: in half of the rows, in nearly all, in all."""
    rows = day["touches"]
    hit = _some(rows, (0.5, 0.9, 1.0)[severity], rng)
    value = rows["campaign_id"][0].as_py()
    return _with(day, "touches", {"campaign_id": _when(hit, value, rows["campaign_id"])})


def _renamed(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """A category is written otherwise: one campaign, one channel, all channels."""
    rows = day["touches"]
    if severity == 0:
        campaign = rows["campaign_id"][0].as_py()
        return _with(
            day,
            "touches",
            {"campaign_id": _when(pc.equal(rows["campaign_id"], campaign), f"{campaign}-2026", rows["campaign_id"])},
        )
    hit = pc.equal(rows["channel"], "search") if severity == 1 else pa.array([True] * rows.num_rows)
    return _with(day, "touches", {"channel": _when(hit, pc.utf8_upper(rows["channel"]), rows["channel"])})


def _flood(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """Bots on one network bring a tenth, a half, twice as many touches as people do."""
    rows = day["touches"]
    taken = pa.array(rng.integers(0, rows.num_rows, int(rows.num_rows * (0.1, 0.5, 2.0)[severity])))
    bots = _renumbered("touches", rows.take(taken), "bot")
    n = bots.num_rows
    at = pc.subtract(bots["seen_at"], pa.array(rng.integers(0, 3600 * 1_000_000, n), pa.duration("us")))
    made = {
        "ip_key": pa.array(["b0b0b0b0b0b0b0b0"] * n),
        "cookie_id": _ids("bot cookie", rng.integers(0, 2**62, n)),
        "device_id": pa.nulls(n, pa.string()),
        "happened_at": at,
    }
    return {**day, "touches": pa.concat_tables([rows, _set(bots, made)])}


def _rehashed(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """E-mail hashes: a placeholder's in one row of ten, one for half of them, and another hash for all."""
    made = dict(day)
    for name in ("sightings", "conversions"):
        rows = day[name]
        if severity < 2:
            hit = pc.and_(_some(rows, (0.1, 0.5)[severity], rng), pc.is_valid(rows["email_hash"]))
            values = _when(hit, "ab" * 32, rows["email_hash"])
        else:
            values = pc.utf8_reverse(rows["email_hash"])
        made = _with(made, name, {"email_hash": values})
    return made


def _no_consent(day: Day, before: Day, severity: int, rng: np.random.Generator) -> Day:
    """The source no longer says whether there was consent."""
    made = dict(day)
    for name, rows in day.items():
        hit = _some(rows, (0.1, 0.5, 1.0)[severity], rng)
        made = _with(made, name, {"consent": _when(hit, None, rows["consent"])})
    return made


CORRUPTIONS = (
    Corruption("an identifier is null", _nulls, is_wrong=False),
    Corruption("money is zero-filled", _zeros),
    Corruption("one channel's prices come in cents", _cents),
    Corruption("a channel is lost", _lost_channel, is_wrong=False),
    Corruption("the day is cut short", _cut_short, is_wrong=False),
    Corruption("hours are lost", _lost_hours, is_wrong=False),
    Corruption("rows come again under new ids", _copies),
    Corruption("yesterday's rows are replayed", _replayed),
    Corruption("the clock is off", _skewed),
    Corruption("columns have changed places", _swapped),
    Corruption("a column is constant", _constant),
    Corruption("a category is renamed", _renamed),
    Corruption("bots flood from one network", _flood),
    Corruption("hashing changed", _rehashed),
    Corruption("consent is no longer told", _no_consent),
)


def _some(rows: pa.Table, share: float, rng: np.random.Generator) -> pa.Array:
    return pa.array(rng.random(rows.num_rows) < share)


def _when(hit: Any, then: Any, otherwise: pa.ChunkedArray) -> pa.ChunkedArray:
    value = pa.scalar(then, otherwise.type) if then is None or isinstance(then, str | int) else then
    return pc.if_else(hit, value, otherwise)


def _with(day: Day, name: str, columns: Mapping[str, Any]) -> Day:
    return {**day, name: _set(day[name], columns)}


def _set(rows: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    return rows


def _moved(rows: pa.Table, micros: int, names: tuple[str, ...]) -> pa.Table:
    return _set(rows, {name: pc.add(rows[name], pa.scalar(micros, pa.duration("us"))) for name in names})


def _renumbered(table: str, rows: pa.Table, stem: str) -> pa.Table:
    own = {"touches": "touch_id", "conversions": "conversion_id"}.get(table)
    names = ["event_id", *([own] if own else [])]
    return _set(
        rows, {name: pc.binary_join_element_wise(rows[name], pa.scalar(stem), _counted(rows.num_rows), "-") for name in names}
    )


def _counted(n: int) -> pa.Array:
    return pa.array(np.arange(n)).cast(pa.string())


def _ids(stem: str, numbers: Any) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(stem), pa.array(numbers).cast(pa.string()), "-")
