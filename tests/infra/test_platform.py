"""What the platform refuses to start with, and what is left behind when one of its programs is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra import platform
from whence.contracts.settings import Ports, Settings

LEADER = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60'], env={env}).pid, flush=True); time.sleep(60)"


def program(home: Path, env: str = "None") -> tuple[subprocess.Popen[str], psutil.Process]:
    """A program in a group of its own, as supervisord starts them, and the process that it has started."""
    home.mkdir(exist_ok=True)
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER.format(env=env)],
        cwd=home,
        env={**os.environ, "WHENCE_HOME": str(home)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert leader.stdout is not None
    with leader.stdout as told:
        return leader, psutil.Process(int(told.readline()))


def test_what_a_killed_program_has_started_is_ended_and_nothing_else(tmp_path: Path) -> None:
    killed, orphan = program(tmp_path / "home")
    running, supervised = program(tmp_path / "home")
    other, stranger = program(tmp_path / "another home")
    titled, nameless = program(tmp_path / "home", env="{}")
    try:
        for leader in (killed, other, titled):
            leader.kill()
            leader.wait()
        platform.end_orphans(Settings(home=tmp_path / "home"))
        assert [
            each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in (orphan, nameless, supervised, stranger)
        ] == [
            False,
            False,
            True,
            True,
        ]
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        os.killpg(other.pid, signal.SIGKILL)
        running.wait()


def test_two_that_would_listen_on_one_port_are_named(tmp_path: Path) -> None:
    with pytest.raises(platform.PlatformError, match=r"airflow and mlflow would both listen on port 47911\."):
        platform.up(Settings(home=tmp_path, ports=Ports(front=47910, airflow=47911, mlflow=47911)))
    assert not any(tmp_path.iterdir())
