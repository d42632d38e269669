"""The decision log: safe when it says so, and readable whatever a killed process left."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving import decision_log
from serving.batch import collect_online
from serving.decision_log import DecisionLog
from tests.builders import some_settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

TEN = datetime(2026, 5, 1, 10, 30, tzinfo=UTC)
DAY = Window(date(2026, 5, 1), date(2026, 5, 1))


def a_decision(name: str, at: datetime = TEN, **changes: Any) -> dict[str, Any]:
    plain = {"model": "identity-ranker", "bundle": "b", "subject": "e", "option": "p", "features": {"x": 1.5, "y": None}}
    return {"decision_id": name, "made_at": at, **plain, "score": 0.1, "probability": 0.2, "chosen": False, **changes}


def names(folder: Path, day: str = "2026-05-01") -> list[str]:
    return sorted(row["decision_id"] for row in decision_log.read(folder, day).rows)


def test_what_was_written_is_read_by_day(tmp_path: Path) -> None:
    async def write() -> None:
        log = DecisionLog(tmp_path)
        later = datetime(2026, 5, 2, 0, 0, tzinfo=UTC)
        await asyncio.gather(log.write([a_decision("a"), a_decision("b")]), log.write([a_decision("c", later)]))
        await log.close()

    asyncio.run(write())
    assert names(tmp_path) == ["a", "b"]
    assert names(tmp_path, "2026-05-02") == ["c"]
    assert decision_log.read(tmp_path, "2026-05-01").rows[0]["made_at"] == TEN


def test_the_torn_last_line_of_a_killed_process_is_no_decision(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-05-01" / "10-1.jsonl"
    decision_log.append(path, [a_decision("a"), a_decision("b")])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        lines = decision_log.read(tmp_path, "2026-05-01")
        assert (len(lines.rows), lines.unreadable) == (whole[:cut].count(b"\n"), 0)


def test_a_line_that_is_no_decision_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-05-01" / "10-1.jsonl"
    decision_log.append(path, [a_decision("a")])
    path.write_bytes(b"\x00\x00\n[]\n" + path.read_bytes())
    lines = decision_log.read(tmp_path, "2026-05-01")
    assert (len(lines.rows), lines.unreadable) == (1, 2)


def test_a_full_disk_is_told_to_every_waiting_caller_and_the_next_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "day=2026-05-01").write_text("in the way")

    async def write() -> tuple[list[Any], str, str]:
        log = DecisionLog(tmp_path)
        first = log.name
        told = await asyncio.gather(log.write([a_decision("a")]), log.write([a_decision("b")]), return_exceptions=True)
        return told, first, log.name

    told, first, second = asyncio.run(write())
    assert [isinstance(each, OSError) for each in told] == [True, True]
    assert first != second


def _write_for_ever(folder: Path, acknowledged: Any) -> None:
    async def write() -> None:
        log = DecisionLog(folder)
        for number in range(1_000_000):
            await log.write([a_decision(f"{number:06d}-{place}") for place in range(3)])
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
    assert len({name[:6] for name in names(tmp_path)}) > acknowledged.value


def test_collected_decisions_stay_when_the_log_is_gone_and_are_never_doubled(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    path = settings.decision_log / "day=2026-05-01" / "10-1.jsonl"
    decision_log.append(path, [a_decision("a"), a_decision("b", chosen=True)])
    first = collect_online(settings, DAY)
    again = collect_online(settings, DAY)
    path.unlink()
    gone = collect_online(settings, DAY)
    decision_log.append(path, [a_decision("b"), a_decision("c")])
    more = collect_online(settings, DAY)
    assert [(each.decisions, each.changed) for each in (first, again, gone, more)] == [(2, 1), (2, 0), (2, 0), (3, 1)]
    rows = Lake.of(settings).read("decisions", DAY).to_pylist()
    assert [(row["decision_id"], row["chosen"]) for row in rows] == [("a", False), ("b", True), ("c", False)]
    assert rows[0]["features"] == '{"x":1.5,"y":null}'


def test_a_step_replaces_its_own_decisions_and_leaves_those_of_the_others(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    lake, batch = Lake.of(settings), {"route": "batch", "model": "identity-ranker"}
    row = {**a_decision("of-batch"), "features": "{}", "route": "batch", "day": "2026-05-01"}
    lake.replace("decisions", pa.Table.from_pylist([row], schema=TABLES["decisions"].schema), DAY, batch)
    decision_log.append(settings.decision_log / "day=2026-05-01" / "10-1.jsonl", [a_decision("of-service")])
    collect_online(settings, DAY)
    assert lake.read("decisions", DAY)["decision_id"].to_pylist() == ["of-batch", "of-service"]
    lake.replace("decisions", TABLES["decisions"].schema.empty_table(), DAY, batch)
    assert lake.read("decisions", DAY)["decision_id"].to_pylist() == ["of-service"]
