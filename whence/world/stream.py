"""Writes the world to disk, a file for each block, table and day of delivery; memory holds one day of one block."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whence.contracts.events import EVENTS
from whence.contracts.settings import Settings, World
from whence.contracts.times import Window
from whence.world import live, people, scenarios, tell
from whence.world.ids import text
from whence.world.people import Block, People

FORM = 1
"""Raised whenever the same settings begin to give another world."""
MARKER = "world.json"
TWICE = {"touches": 0.012, "conversions": 0.03, "sightings": 0.01}
"""The share of rows delivered twice."""

Progress = Callable[[int, int], None]


class WorldError(ValueError):
    """A world that cannot be made, or a day that it does not have."""


@dataclass(frozen=True)
class WorldReport:
    """What the world's folder holds: rows by table, and whether this call made it."""

    folder: Path
    window: Window
    rows: dict[str, int]
    was_made: bool


def make(settings: Settings, window: Window | None, progress: Progress | None) -> WorldReport:
    """Make the world, or find it made."""
    world, folder = settings.world, settings.world_events
    whole = span(world)
    _check(world, whole, window)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        marker = _marker(folder)
        if marker.get("digest") == digest(world):
            return WorldReport(folder, whole, marker["rows"], was_made=False)
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        rows = _write(world, draft, progress)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
    return WorldReport(folder, whole, rows, was_made=True)


def span(world: World) -> Window:
    """The world's days."""
    if world.days < 1 or world.people < 1:
        raise WorldError(f"A world needs people and days, and was given {world.people} people, {world.days} days.")
    return Window(world.first_day, world.first_day + timedelta(days=world.days - 1))


def digest(world: World) -> str:
    """What names a world: everything that its rows depend on, and so not the number of workers."""
    plain = json.dumps({"form": FORM, "world": repr(replace(world, workers=1))}, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def _check(world: World, whole: Window, window: Window | None) -> None:
    scenarios.check(world)
    if window and not (whole.first <= window.first and window.last <= whole.last):
        raise WorldError(f"The world has the days {whole}, and {window} was asked for. Change world.first_day or world.days.")


def _marker(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / MARKER).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One maker at a time; whoever waited finds the world made. A killed maker lets go by dying."""
    with folder.with_name(f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _write(world: World, draft: Path, progress: Progress | None) -> dict[str, int]:
    for day in span(world).days:
        (draft / f"day={day}").mkdir(parents=True)
    rows: dict[str, int] = defaultdict(int)
    jobs = people.blocks(world)
    for done, counts in enumerate(_blocks(world, jobs, draft), start=1):
        for name, count in counts.items():
            rows[name] += count
        if progress:
            progress(done * world.days // len(jobs), world.days)
    (draft / MARKER).write_text(json.dumps({"digest": digest(world), "rows": rows}, indent=1, sort_keys=True))
    return dict(rows)


def _blocks(world: World, jobs: tuple[Block, ...], draft: Path) -> Iterator[dict[str, int]]:
    if world.workers <= 1 or len(jobs) == 1:
        yield from (_live_block((world, block, draft)) for block in jobs)
        return
    with get_context("spawn").Pool(min(world.workers, len(jobs))) as pool:
        yield from pool.imap_unordered(_live_block, [(world, block, draft) for block in jobs])


def _live_block(job: tuple[World, Block, Path]) -> dict[str, int]:
    """Live one block from the first day to the last; rows wait for their day of delivery."""
    world, block, draft = job
    crowd = people.populate(world, block)
    state = live.first_state(world, crowd)
    waiting: dict[tuple[str, str], list[pa.Table]] = defaultdict(list)
    rows: dict[str, int] = defaultdict(int)
    last = span(world).last.isoformat()
    for day, name in enumerate(span(world).days):
        for table, told in _tell(world, crowd, state, day):
            for delivered, part in _by_day(told):
                if delivered <= last:
                    waiting[table, delivered].append(part)
        for table in (*EVENTS, "truth_signals", "truth_conversions"):
            if parts := waiting.pop((table, name), None):
                rows[table] += _put(draft / f"day={name}" / f"{table}-{block.number:05d}.parquet", pa.concat_tables(parts))
    return rows


def _tell(world: World, crowd: People, state: live.State, day: int) -> Iterator[tuple[str, pa.Table]]:
    holds = scenarios.on(world, day)
    lived = live.live(world, crowd, state, day, is_shifted="mix_shift" in holds)
    humans = tell.touches(world, crowd, day, lived.touches)
    yield from _deliver(world, crowd, day, "touches", humans, tell.person_names(crowd, lived.touches.who))
    for bots in live.robots(world, crowd.block, day, humans.num_rows, is_flooded="bot_flood" in holds):
        told = tell.robot_touches(world, crowd, day, bots)
        yield from _deliver(world, crowd, day, "touches", told, tell.robot_names(crowd, bots), is_bot=True)
    told = tell.conversions(world, crowd, day, lived.conversions)
    names = tell.person_names(crowd, lived.conversions.who)
    yield "truth_conversions", _truth_conversions(told, lived.conversions, names)
    yield from _deliver(world, crowd, day, "conversions", told, names)
    told = tell.sightings(world, crowd, day, lived.sightings)
    yield from _deliver(world, crowd, day, "sightings", told, tell.person_names(crowd, lived.sightings.who))


def _deliver(
    world: World, crowd: People, day: int, name: str, told: pa.Table, who: pa.Array, *, is_bot: bool = False
) -> Iterator[tuple[str, pa.Table]]:
    told = scenarios.distort(world, crowd.block.number, day, name, told.append_column("true_person", who))
    stream = f"{name} of bots" if is_bot else name
    truth = {"event_id": told["event_id"], "true_person": told["true_person"], "is_bot": pa.array([is_bot] * told.num_rows)}
    yield "truth_signals", pa.table({**truth, "seen_at": told["seen_at"]})
    told = told.drop_columns(["true_person"])
    again = tell.repeats(world, crowd, day, stream, told, TWICE[name])
    yield name, pa.concat_tables([told, again])


def _truth_conversions(told: pa.Table, rows: live.Conversions, who: pa.Array) -> pa.Table:
    cause = pc.if_else(pa.array(rows.cause != live.NOBODY), text(rows.cause), pa.scalar(None, pa.string()))
    return pa.table({"conversion_id": told["conversion_id"], "true_person": who, "caused_by": cause, "seen_at": told["seen_at"]})


def _by_day(told: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    days = pc.floor_temporal(told["seen_at"], unit="day").cast(pa.date32())
    for day in sorted(pc.unique(days).to_pylist()):
        yield day.isoformat(), told.filter(pc.equal(days, pa.scalar(day)))


def _put(path: Path, rows: pa.Table) -> int:
    rows = rows.sort_by([("seen_at", "ascending"), (rows.column_names[0], "ascending")])
    if "truth" in path.name:
        rows = rows.drop_columns(["seen_at"])
    pq.write_table(rows, path, compression="zstd")
    return int(rows.num_rows)
