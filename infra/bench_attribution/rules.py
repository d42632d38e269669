"""The five rules over ten million touches, against the engines that one would otherwise ask; and whole micros for as many shares."""

from __future__ import annotations

import time
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from infra.bench_attribution import walks
from infra.benching import Interval, Row, Runs, interleaved, median_range, verdict

SETS = ((20, walks.CONVERTS), (1000, walks.CONVERTS), (1000, 1.0))
"""Places, and how many journeys convert."""
WANTED = 30e6
"""Touches a second and core, all five rules together."""
SAME = 1e-9
HALF_LIFE_HOURS = 48.0
QUERY = """
with weighed as (
    select *, exp(-hours * $rate) as weight from touches where worth > 0
), whole as (
    select journey, sum(weight) as total from weighed group by journey
)
select code,
    sum(worth) filter (place = length - 1) as last_touch,
    sum(worth) filter (place = 0) as first_touch,
    sum(worth / length) as linear,
    sum(case when length = 1 then worth when length = 2 then worth / 2
             when place = 0 or place = length - 1 then 0.4 * worth else 0.2 * worth / (length - 2) end) as position,
    sum(worth * weight / total) as time_decay
from weighed join whole using (journey) group by code order by code
"""


def measure(runs: int) -> list[Row]:
    """A row for channels, one for campaigns, one where every journey converts, and one for the micros."""
    return [*(_totalled(places, converts, runs) for places, converts in SETS), _split(runs)]


def ours(folder: str) -> dict[str, Any]:
    """Seconds from arrays to credit by place and rule."""
    from whence.attribution.rules import totals

    journeys, hours = walks.kept(folder)
    started = time.process_time()
    found = totals(journeys, hours)
    return {"seconds": time.process_time() - started, "credit": found.to_numpy().tolist()}


def by_duckdb(folder: str) -> dict[str, Any]:
    """The same in SQL, from a table in memory that has each touch's place and its journey's length already."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as base:
        base.execute(f"create table touches as from '{folder}/touches.parquet'")
        started = time.process_time()
        rows = base.execute(QUERY, {"rate": np.log(2) / HALF_LIFE_HOURS}).fetchall()
        return {"seconds": time.process_time() - started, "credit": [[each or 0.0 for each in row[1:]] for row in rows]}


def by_polars(folder: str) -> dict[str, Any]:
    """The same by polars, from a frame in memory."""
    import polars as pl

    told = pl.read_parquet(f"{folder}/touches.parquet")
    started = time.process_time()
    worth, place, length = pl.col("worth"), pl.col("place"), pl.col("length")
    is_end = (place == 0) | (place == length - 1)
    between = pl.when(is_end).then(0.4).otherwise(0.2 / (length - 2))
    position = pl.when(length == 1).then(1.0).when(length == 2).then(0.5).otherwise(between)
    weighed = told.lazy().filter(worth > 0).with_columns(weight=(pl.col("hours") * (-np.log(2) / HALF_LIFE_HOURS)).exp())
    whole = weighed.group_by("journey").agg(total=pl.col("weight").sum())
    found = (
        weighed.join(whole, on="journey")
        .group_by("code")
        .agg(
            last_touch=worth.filter(place == length - 1).sum(),
            first_touch=worth.filter(place == 0).sum(),
            linear=(worth / length).sum(),
            position=(worth * position).sum(),
            time_decay=(worth * pl.col("weight") / pl.col("total")).sum(),
        )
        .sort("code")
        .collect()
    )
    return {"seconds": time.process_time() - started, "credit": found.drop("code").to_numpy().tolist()}


def micros(touches: int = 10_000_000) -> float:
    """CPU seconds to split a million values of up to 9e15 micros over ten million shares, to the last micro."""
    from whence.attribution.credit import apportion

    draw = np.random.default_rng(0)
    starts = np.unique(np.append(0, draw.integers(0, touches, touches // 10)))
    weights = draw.random(touches)
    shares = weights / np.repeat(np.add.reduceat(weights, starts), np.diff(np.append(starts, touches)))
    values = draw.integers(-9 * 10**15, 9 * 10**15, len(starts))
    started = time.process_time()
    parts = apportion(values, shares, starts)
    seconds = time.process_time() - started
    if not np.array_equal(np.add.reduceat(parts, starts), values):
        raise AssertionError("The parts do not add up to the values.")
    return seconds


def _totalled(places: int, converts: float, runs: int) -> Row:
    engines = {"whence": ours, "DuckDB": by_duckdb}
    if find_spec("polars") is not None:
        engines["polars"] = by_polars
    with TemporaryDirectory() as folder:
        touches = interleaved({"make": partial(walks.keep, folder, places, walks.JOURNEYS, converts)}, 1)["make"].answers[0]
        found = interleaved({name: partial(job, folder) for name, job in engines.items()}, runs)
    apart = max(_apart(found["whence"], found[name]) for name in engines)
    if apart > SAME:
        raise AssertionError(f"The engines differ by {apart:.1e} of the largest credit.")
    took = {name: median_range([each["seconds"] for each in of.answers]) for name, of in found.items()}
    speed = Interval(*(touches / each for each in (took["whence"].value, took["whence"].high, took["whence"].low)))
    others = "; ".join(f"{name} {each.value:.2f} s {each.show()}" for name, each in took.items())
    without = "" if "polars" in engines else "; polars not measured: not installed"
    return Row(
        f"five rules together, {touches / 1e6:.1f} million touches, {places:,} places, {converts:.1%} convert",
        f"{speed.value / 1e6:.0f} million touches a second and core",
        f"[{speed.low / 1e6:.0f}, {speed.high / 1e6:.0f}]",
        f"≥ {WANTED / 1e6:.0f} million",
        verdict(met=speed.value >= WANTED),
        f"CPU of the step, from data in memory, one thread: {others}{without}; same credit to {apart:.0e}; SQL and polars are given "
        "each touch's place and its journey's length",
    )


def _apart(one: Runs, other: Runs) -> float:
    """The largest difference of any credit, by the largest credit."""
    a, b = np.array(one.answers[0]["credit"]), np.array(other.answers[0]["credit"])
    return float(np.abs(a - b).max() / a.max())


def _split(runs: int) -> Row:
    took = median_range(interleaved({"micros": micros}, runs)["micros"].answers)
    return Row(
        "a million values in whole micros over ten million shares",
        f"{took.value:.2f} CPU seconds",
        took.show(),
        note="largest remainder, values up to ± 9e15 micros; every sum is exact, or there is no row",
    )
