"""The process that looks at the journal: what it sees is what a look sees, and its end or its silence is no end of the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from registry import rollouts
from registry.following import Following, Standings
from registry.journal import Journal
from serving.web import lookout
from serving.web.lookout import JournalSilent, Lookout
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER
from whence.contracts.settings import Settings

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
PATIENCE = 20.0


@contextmanager
def started(look: Callable[[], Standings]) -> Iterator[Lookout]:
    made = Lookout(look)
    made.start()
    try:
        yield made
    finally:
        made.close()


async def until(made: Lookout, is_so: Callable[[], bool]) -> None:
    """Hear what is said until it is so."""
    told = asyncio.Event()
    made.news = told.set
    made.listen()
    async with asyncio.timeout(PATIENCE):
        while not (made._has_heard.is_set() and is_so()):
            told.clear()
            await told.wait()


def process_of(made: Lookout) -> psutil.Process:
    assert made._process is not None
    return psutil.Process(made._process.pid)


def test_what_the_process_sees_is_what_a_look_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "EVERY_SECONDS", 0.05)
    settings = Settings(home=tmp_path)
    journal = Journal.of(settings)
    for epoch, (model, name) in enumerate([(IDENTITY_RANKER, "a"), (IDENTITY_RANKER, "b"), (ATTRIBUTION_RANKER, "c")]):
        journal.promote(model, name * 64, "", ("better",), "tests", epoch if model == IDENTITY_RANKER else 0, NOON)
    following = Following(journal, lambda: NOON)

    def is_the_same() -> bool:
        champions, before, under_way = made()
        own = following()
        assert before == own.before
        return under_way == own.rollouts and {model: (row.bundle, row.epoch) for model, row in own.champions.items()} == champions

    async def follow() -> None:
        await until(made, lambda: IDENTITY_RANKER in made().champions)
        assert is_the_same()
        rollouts.start(settings, IDENTITY_RANKER, "d" * 64, ("it passed",), "tests", NOON, versions={"data": "2026-05-01"})
        await until(made, lambda: bool(made().rollouts))
        assert is_the_same()

    with started(following) as made:
        asyncio.run(follow())
        assert process_of(made).nice() == os.nice(0) + lookout.NICENESS


def test_a_journal_that_cannot_be_read_is_said_in_its_words_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "EVERY_SECONDS", 0.05)
    whole = tmp_path / "whole"

    def look() -> Standings:
        if not whole.exists():
            raise OSError("the disk is gone")
        return Standings({}, {}, {})

    async def follow() -> None:
        await until(made, lambda: True)
        with pytest.raises(JournalSilent, match="the disk is gone"):
            made()
        whole.touch()
        await until(made, lambda: not isinstance(made._seen, str))
        assert made() == ({}, {}, {})

    with started(look) as made:
        asyncio.run(follow())


def test_a_process_that_is_killed_is_missed_and_the_worker_looks_by_itself() -> None:
    with started(lambda: Standings({}, {}, {})) as made:
        killed = process_of(made)
        killed.send_signal(signal.SIGKILL)
        made.look = lambda: Standings({}, {IDENTITY_RANKER: "b"}, {})
        asyncio.run(until(made, lambda: made._ear is None))
        assert made() == ({}, {IDENTITY_RANKER: "b"}, {})


def test_of_a_process_that_hangs_the_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with started(lambda: Standings({}, {}, {})) as made:
        asyncio.run(until(made, lambda: True))
        assert made() == ({}, {}, {})
        stopped = process_of(made)
        stopped.suspend()
        while stopped.status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        heard_at = made._at
        made.clock = lambda: heard_at + lookout.SILENT_SECONDS + 1
        with pytest.raises(JournalSilent, match="nothing was heard of it for 11 s"):
            made()
    assert not stopped.is_running()


def test_the_process_ends_with_its_worker() -> None:
    with started(lambda: Standings({}, {}, {})) as made:
        process = process_of(made)
        assert made._ear is not None
        made._ear.close()
        assert made._process is not None
        made._process.join(PATIENCE)
        assert made._process.exitcode == 0
        assert not process.is_running()


HANGING = """
import os, time
from serving.web.lookout import Lookout

def look():
    print(os.getpid(), flush=True)
    time.sleep(600)

made = Lookout(look)
made.start()
time.sleep(600)
"""


@pytest.mark.service
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a look that hangs ends when the database lets it")
def test_the_process_ends_with_a_worker_that_is_killed_also_in_a_look_that_hangs() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGING], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        looking = psutil.Process(int(worker.stdout.readline()))
        worker.kill()
    _, alive = psutil.wait_procs([looking], PATIENCE)
    for each in alive:
        each.kill()
    assert not alive
