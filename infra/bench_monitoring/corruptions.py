"""Corrupted deliveries: how many the data checks catch before anything is trained, what may still learn from them, and false alarms.

The rows of a simulated world pass through ingest's own contract check, day by day, and then through the measures and the judge that
`check_data` uses. A clean day counts as a false alarm when it has any finding that is not calm. A corrupted day is caught when
it has one; nothing that learned from it can be promoted when its finding stops the day, so that training leaves it out and the
gate blocks its metric. Each corruption is tried on another clean day, against the clean days before it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.bench_monitoring.corrupting import CORRUPTIONS, SEVERITIES, Corruption, Day, corrupted
from infra.benching import Row, verdict
from monitoring import findings
from monitoring.checks import Check
from monitoring.data.tables import table_checks
from monitoring.findings import Finding, Past, Today
from monitoring.findings.told import CALM, STOP
from registry.policy import load_policy
from whence.contracts.events import EVENTS
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings, World
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.ingest.batch import Batch
from whence.ingest.check import check
from whence.world import simulate

PEOPLE, FIRST = 2000, date(2026, 1, 5)
LEARNING, CLEAN = 30, 100
"""Days that only tell what is normal, and days that are judged as clean."""
COMPARED = 7
MEMORY = 35
LEAST_CAUGHT = 35 / 36
MOST_FALSE = 0.01


def measure(runs: int) -> list[Row]:
    """False alarms on clean days, then a row for each corruption, and the sums."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(Settings(home=Path(folder), world=World(seed=11, people=PEOPLE, days=LEARNING + CLEAN, first_day=FIRST)))
        past, false, series = _clean_days(stored)
        tried = [
            (each, severity, *_tried(stored, past, each, severity, place * len(SEVERITIES) + severity))
            for place, each in enumerate(CORRUPTIONS)
            for severity in range(len(SEVERITIES))
        ]
    return [*_sums(false, series, tried), *_each(tried)]


Tried = tuple[Corruption, int, list[Finding], bool]
"""The corruption, its severity, what was found, and whether something that learned from the day could be promoted."""


class Stored:
    """A world's days as ingest stores them, in memory, where one day can be delivered otherwise."""

    def __init__(self, settings: Settings) -> None:
        simulate(settings)
        self.folder = settings.world_events
        self.days = Window(settings.world.first_day, settings.world.first_day + timedelta(days=settings.world.days - 1)).days
        self.con = duckdb.connect()
        self.con.execute("SET TimeZone = 'UTC'")
        for name in (*EVENTS, "ingest_counts"):
            self.con.register("empty", TABLES[name].schema.empty_table())
            self.con.execute(f'CREATE TABLE "all_{name}" AS SELECT * FROM empty')
        for day in self.days:
            self._put(day, self.delivered(day))

    def delivered(self, day: str) -> Day:
        """A day's rows as the source delivers them."""
        return delivered(self.folder, day)

    def measured(self, day: str, delivery: Day | None = None) -> list[Check]:
        """The day's checks, as it was delivered or otherwise."""
        if delivery is not None:
            self._put(day, delivery)
        before = tuple(each for each in self.days if each < day)[-COMPARED:]
        for name in (*EVENTS, "ingest_counts"):
            self.con.execute(
                f"CREATE OR REPLACE TEMP VIEW \"{name}\" AS SELECT * FROM \"all_{name}\" WHERE day BETWEEN '{before[0]}' AND '{day}'"
            )
        found = table_checks(self.con, day, dict.fromkeys(EVENTS, before))
        if delivery is not None:
            self._put(day, self.delivered(day))
        return found

    def _put(self, day: str, delivery: Day) -> None:
        """The day's rows through ingest's contract and without repeats, in place of what is there."""
        counts = []
        for name, rows in delivery.items():
            checked = check(Batch(name, day, _one_batch(rows), pa.array(np.arange(1, rows.num_rows + 1)), day))
            good = pa.Table.from_batches([checked.rows])
            self.con.register("good", good.add_column(0, "day", pa.array([day] * good.num_rows, pa.string())))
            self.con.execute(f"DELETE FROM \"all_{name}\" WHERE day = '{day}'")
            columns = ", ".join(f'"{each}"' for each in TABLES[name].schema.names)
            first = "QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY seen_at) = 1"
            fresh = f'event_id NOT IN (SELECT event_id FROM "all_{name}")'
            self.con.execute(f'INSERT INTO "all_{name}" SELECT {columns} FROM good WHERE {fresh} {first}')
            accepted = self.con.execute(f'SELECT count(*) FROM "all_{name}" WHERE day = ?', [day]).fetchall()[0][0]
            refused = len(checked.faults)
            counts.append((day, name, "world", rows.num_rows, accepted, rows.num_rows - refused - accepted, refused))
        self.con.execute("DELETE FROM all_ingest_counts WHERE day = ?", [day])
        self.con.executemany("INSERT INTO all_ingest_counts VALUES (?, ?, ?, ?, ?, ?, ?)", counts)


def delivered(folder: Path, day: str) -> Day:
    """A day's rows as the world in this folder delivers them."""
    files = {name: sorted((folder / f"day={day}").glob(f"{name}-*.parquet")) for name in EVENTS}
    return {name: pa.concat_tables([pq.read_table(path).cast(EVENTS[name]) for path in paths]) for name, paths in files.items()}


def _one_batch(rows: pa.Table) -> pa.RecordBatch:
    return rows.combine_chunks().to_batches()[0] if rows.num_rows else pa.RecordBatch.from_pylist([], rows.schema)


def _clean_days(stored: Stored) -> tuple[list[Past], list[tuple[str, Finding]], float]:
    """The days as they were judged, false alarms on the clean ones, and how many series a day has."""
    past: list[Past] = []
    false, series = [], []
    for day in stored.days[COMPARED:]:
        found = stored.measured(day)
        told = findings.judge(Today(date.fromisoformat(day), found), past[-MEMORY:])
        past.append(Past(day, found, told))
        if day in stored.days[LEARNING:]:
            false += [(day, each) for each in told if each.level != CALM]
            series.append(len(found))
    return past, false, float(np.mean(series))


def _tried(
    stored: Stored, past: Sequence[Past], corruption: Corruption, severity: int, number: int
) -> tuple[list[Finding], bool]:
    """What is found on a corrupted day; days with a false alarm are passed over."""
    calm = [each.day for each in past if each.day in stored.days[LEARNING:] and all(f.level == CALM for f in each.findings)]
    day = calm[(number * 2 + 1) % len(calm)]
    yesterday = str(date.fromisoformat(day) - timedelta(days=1))
    delivery = corrupted(corruption.name, stored.delivered(day), stored.delivered(yesterday), severity, number)
    before = [each for each in past if each.day < day][-MEMORY:]
    told = findings.judge(Today(date.fromisoformat(day), stored.measured(day, delivery)), before)
    loud = [each for each in told if each.level != CALM]
    blockers = load_policy(IDENTITY_RANKER).blockers
    is_left_out = any(each.level == STOP for each in loud)
    return loud, not is_left_out and not any(each.metric in blockers for each in loud)


def _sums(false: Sequence[tuple[str, Finding]], series: float, tried: Sequence[Tried]) -> Iterator[Row]:
    days = len({day for day, _ in false})
    note = f"{series:.0f} series a day, {series * CLEAN:,.0f} in all; a day counts when it has any finding. " + "; ".join(
        f"{day} {each.model} {each.metric} {each.segment}" for day, each in false[:8]
    )
    what = f"clean days with a false alarm, of {CLEAN}, {PEOPLE:,} people"
    yield Row(
        what, f"{days / CLEAN:.1%}", target=f"≤ {MOST_FALSE:.0%}", verdict=verdict(met=days / CLEAN <= MOST_FALSE), note=note
    )
    caught = sum(bool(loud) for _, _, loud, _ in tried)
    what = f"corruptions caught before training, {len(CORRUPTIONS)} × {len(SEVERITIES)}"
    yield Row(what, f"{caught} of {len(tried)}", target="≥ 35 of 36", verdict=verdict(met=caught / len(tried) >= LEAST_CAUGHT))
    wrong = [open_door for each, _, _, open_door in tried if each.is_wrong]
    note = "neither left out of training by a `stop` nor blocked by the gate's policy"
    yield Row(
        "corruptions with wrong rows that a promoted model could learn from",
        f"{sum(wrong)} of {len(wrong)}",
        target="0",
        verdict=verdict(met=not any(wrong)),
        note=note,
    )
    less = [open_door for each, _, _, open_door in tried if not each.is_wrong]
    yield Row(
        "the same of corruptions by which rows or values are missing, and what came is right",
        f"{sum(less)} of {len(less)}",
        note="less data, not wrong data: the policy lets a retraining by, which is judged on such rows",
    )


def _each(tried: Sequence[Tried]) -> Iterator[Row]:
    for corruption in CORRUPTIONS:
        mine = [(severity, loud, open_door) for each, severity, loud, open_door in tried if each is corruption]
        caught = sum(bool(loud) for _, loud, _ in mine)
        note = "; ".join(
            f"{SEVERITIES[severity]}: {f'{loud[0].level} by {loud[0].model} {loud[0].metric}' if loud else 'not seen'}{' (open)' if open_door else ''}"
            for severity, loud, open_door in mine
        )
        yield Row(corruption.name, f"{caught} of {len(mine)}", note=note)
