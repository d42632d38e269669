"""The decision log: safe when it says so, never waited for unless somebody asks, and readable whatever a killed process left."""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving import appending, decision_frames, decision_log
from serving.daily.batch import collect_online
from serving.decision_frames import Decision
from serving.decision_log import DecisionLog
from serving.scored import Scored
from tests.builders import some_settings
from whence.columns import Kept
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

TEN = datetime(2026, 5, 1, 10, 30, tzinfo=UTC)
DAY = Window(date(2026, 5, 1), date(2026, 5, 1))
SCORED = Scored(
    ("x", "y", "channel"),
    np.array([[1.5, math.nan, 0.0], [1e-300, math.inf, -1.0]]),
    {"channel": ["search", "unheard of"]},
    np.array([0.1, -0.3]),
    np.array([0.2, 0.1 + 0.2]),
    ["ann", "bob"],
    1,
)


def a_decision(name: str, at: datetime = TEN, scored: Scored = SCORED, bundle: str = "b") -> Decision:
    return Decision(name, at, "identity-ranker", bundle, "e", scored)


def an_old_line(name: str, **changes: Any) -> dict[str, Any]:
    """A line as it was when each option had one."""
    plain = {"model": "identity-ranker", "bundle": "b", "subject": "e", "option": "p", "features": {"x": 1.5, "y": None}}
    at = TEN.isoformat()
    return {"decision_id": name, "made_at": at, **plain, "score": 0.1, "probability": 0.2, "chosen": False, **changes}


def write_old(path: Path, *lines: dict[str, Any]) -> None:
    appending.add(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def names(folder: Path, day: str = "2026-05-01") -> list[str]:
    return sorted(row["decision_id"] for row in decision_log.read(folder, day).rows)


def frames_of(*decisions: Decision) -> bytes:
    return decision_frames.introduction(decisions[0]) + b"".join(decision_frames.frame(each) for each in decisions)


def test_a_frame_holds_all_options_and_comes_back_bit_by_bit(tmp_path: Path) -> None:
    appending.add(tmp_path / "day=2026-05-01" / "10-1.frames", frames_of(a_decision("a")))
    first, second = decision_log.read(tmp_path, "2026-05-01").rows
    assert (first["decision_id"], second["decision_id"], first["made_at"]) == ("a-0", "a-1", TEN)
    assert first["features"] == {"x": 1.5, "y": None, "channel": "search"}
    assert second["features"] == {"x": 1e-300, "y": None, "channel": "unheard of"}
    assert (second["score"], second["probability"], second["chosen"], first["chosen"]) == (-0.3, 0.1 + 0.2, True, False)
    assert (first["option"], first["subject"], first["bundle"]) == ("ann", "e", "b")


def test_what_was_written_is_read_by_day_and_said_to_be_on_the_disk(tmp_path: Path) -> None:
    async def write() -> list[bool]:
        log = DecisionLog(tmp_path)
        later = datetime(2026, 5, 2, 0, 0, tzinfo=UTC)
        told = await asyncio.gather(*(log.durably(each) for each in (a_decision("a"), a_decision("b"), a_decision("c", later))))
        log.close()
        return told

    assert asyncio.run(write()) == [True, True, True]
    assert names(tmp_path) == ["a-0", "a-1", "b-0", "b-1"]
    assert names(tmp_path, "2026-05-02") == ["c-0", "c-1"]


def test_options_of_a_networks_list_are_framed_as_any_others_each_time() -> None:
    kept = replace(SCORED, options=Kept(SCORED.options))  # type: ignore[arg-type]
    frames = {decision_frames.frame(a_decision("d", scored=scored)) for scored in (SCORED, kept, kept)}
    assert len(frames) == 1


def test_what_is_offered_is_written_without_being_waited_for(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    assert all(log.offer(a_decision(f"{number:03d}", bundle=f"b{number % 2}")) for number in range(100))
    log.close()
    assert len(names(tmp_path)) == 200
    assert log.waiting == 0


def test_a_full_queue_takes_no_more_says_so_and_counts(tmp_path: Path) -> None:
    counted: list[tuple[str, int, bool]] = []
    most = len(decision_frames.frame(a_decision("a")))
    log = DecisionLog(tmp_path, lambda *what: counted.append(what), most_waiting=most)
    log._thread = threading.Thread()  # one that is never started: a disk that never gets to it
    assert [log.offer(a_decision(name)) for name in "abc"] == [True, True, False]
    assert counted == [("identity-ranker", 2, False)]


def test_a_file_that_has_grown_is_followed_by_another_that_names_its_columns_anew(tmp_path: Path) -> None:
    async def write() -> None:
        log = DecisionLog(tmp_path, most_bytes=1)
        for name in "abc":
            assert await log.durably(a_decision(name))
        log.close()

    asyncio.run(write())
    assert len(list((tmp_path / "day=2026-05-01").iterdir())) == 3
    assert names(tmp_path) == ["a-0", "a-1", "b-0", "b-1", "c-0", "c-1"]


def test_who_asks_about_the_events_of_weeks_begins_one_file_an_hour(tmp_path: Path) -> None:
    async def write() -> None:
        log = DecisionLog(tmp_path)
        for turn in range(2):
            decisions = [a_decision(f"{turn}-{hour}", TEN + timedelta(hours=hour)) for hour in range(70)]
            assert all(await asyncio.gather(*map(log.durably, decisions)))
        log.close()

    asyncio.run(write())
    assert len(list(tmp_path.rglob("*.frames"))) == 70


def test_the_torn_last_frame_of_a_killed_process_is_no_decision(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-05-01" / "10-1.frames"
    first, both = frames_of(a_decision("a")), frames_of(a_decision("a"), a_decision("b"))
    path.parent.mkdir()
    for cut in range(0, len(both), 7):
        path.write_bytes(both[:cut])
        found = decision_log.read(tmp_path, "2026-05-01")
        assert (len(found.rows), found.unreadable) == (2 if cut >= len(first) else 0, 0)


def test_a_damaged_decision_is_counted_and_those_around_it_are_read(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-05-01" / "10-1.frames"
    path.parent.mkdir()
    before, whole = frames_of(a_decision("a")), frames_of(a_decision("a"), a_decision("b"), a_decision("c"))
    second = len(whole) - len(before) - len(decision_frames.frame(a_decision("b")))
    for place in range(len(before), len(before) + second, 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0x20
        path.write_bytes(damaged)
        found = decision_log.read(tmp_path, "2026-05-01")
        assert [row["decision_id"] for row in found.rows] == ["a-0", "a-1", "c-0", "c-1"], place
        assert found.unreadable == 1


def test_an_old_line_that_is_no_decision_and_a_bundle_that_nobody_introduced_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "day=2026-05-01"
    appending.add(folder / "10-1.jsonl", b"\x00\x00\n[]\n")
    appending.add(folder / "10-1.frames", frames_of(a_decision("a")) + decision_frames.frame(a_decision("b", bundle="other")))
    found = decision_log.read(tmp_path, "2026-05-01")
    assert (len(found.rows), found.unreadable) == (2, 3)


def test_a_full_disk_is_told_to_whoever_waits_and_what_comes_later_goes_to_a_new_file(tmp_path: Path) -> None:
    in_the_way = tmp_path / "day=2026-05-01"
    in_the_way.write_text("in the way")

    async def write() -> list[bool]:
        log = DecisionLog(tmp_path)
        told = await asyncio.gather(log.durably(a_decision("a")), log.durably(a_decision("b")))
        in_the_way.unlink()
        told.append(await log.durably(a_decision("c")))
        log.close()
        return told

    assert asyncio.run(write()) == [False, False, True]
    assert names(tmp_path) == ["c-0", "c-1"]


@contextmanager
def a_disk_with_room_for(size: int) -> Iterator[None]:
    """Files of this process may have so many bytes: a longer write is cut short, and the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_half_and_no_file_for_each_try(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def write(log: DecisionLog, *names: str) -> list[bool]:
        return [await log.durably(a_decision(name)) for name in names]

    async def live() -> None:
        log = DecisionLog(tmp_path)
        assert await write(log, "a") == [True]
        size = len(frames_of(a_decision("a")))
        for room, names in ((size + 20, "b"), (size - 20, "cdef")):  # of the open file, and of each new one
            with a_disk_with_room_for(room):
                assert await write(log, *names) == [False] * len(names)
        assert await write(log, "g") == [True]
        log.close()

    asyncio.run(live())
    found = decision_log.read(tmp_path, "2026-05-01")
    assert sorted(row["decision_id"] for row in found.rows) == ["a-0", "a-1", "g-0", "g-1"]
    assert [(file.unreadable, file.is_torn) for file in found.files] == [(0, False)] * 2
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]


def _write_for_ever(folder: Path, acknowledged: Any) -> None:
    async def write() -> None:
        log = DecisionLog(folder)
        for number in range(1_000_000):
            assert await log.durably(a_decision(f"{number:06d}"))
            acknowledged.value = number

    asyncio.run(write())


def test_no_acknowledged_decision_is_lost_to_kill_9(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    acknowledged = spawn.Value("i", -1)
    process = spawn.Process(target=_write_for_ever, args=(tmp_path, acknowledged))
    process.start()
    deadline = time.monotonic() + 30
    while acknowledged.value < 20 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert acknowledged.value >= 20
    assert {f"{number:06d}" for number in range(acknowledged.value + 1)} <= {name[:6] for name in names(tmp_path)}


def test_collected_decisions_stay_when_the_log_is_gone_and_are_never_doubled(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    path = settings.decision_log / "day=2026-05-01" / "10-1.jsonl"
    write_old(path, an_old_line("a"), an_old_line("b", chosen=True))
    first = collect_online(settings, DAY)
    again = collect_online(settings, DAY)
    path.unlink()
    gone = collect_online(settings, DAY)
    write_old(path, an_old_line("b"), an_old_line("c"))
    more = collect_online(settings, DAY)
    assert [(each.decisions, each.changed) for each in (first, again, gone, more)] == [(2, 2), (2, 0), (2, 0), (3, 1)]
    rows = Lake.of(settings).read("decisions", DAY).to_pylist()
    assert [(row["decision_id"], row["chosen"]) for row in rows] == [("a", False), ("b", True), ("c", False)]
    assert rows[0]["features"] == '{"x":1.5,"y":null}'


def test_a_step_replaces_its_own_decisions_and_leaves_those_of_the_others(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    lake, batch = Lake.of(settings), {"route": "batch", "model": "identity-ranker"}
    row = {**an_old_line("of-batch"), "made_at": TEN, "features": "{}", "route": "batch", "day": "2026-05-01"}
    lake.replace("decisions", pa.Table.from_pylist([row], schema=TABLES["decisions"].schema), DAY, batch)
    appending.add(settings.decision_log / "day=2026-05-01" / "10-1.frames", frames_of(a_decision("of-service")))
    collect_online(settings, DAY)
    assert lake.read("decisions", DAY)["decision_id"].to_pylist() == ["of-batch", "of-service-0", "of-service-1"]
    lake.replace("decisions", TABLES["decisions"].schema.empty_table(), DAY, batch)
    assert lake.read("decisions", DAY)["decision_id"].to_pylist() == ["of-service-0", "of-service-1"]
