"""Platforms of their own for the end-to-end tests: free ports, a folder in /tmp, and everything stopped at the end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra import platform
from infra.airflow import Airflow
from whence.contracts.settings import FILE_VARIABLE, Settings, load

REPOSITORY = Path(__file__).parents[2]
CLICKS = REPOSITORY.parent / "shared" / "data" / "talkingdata_100k" / "train_sample.csv"
DEMO_SECONDS = 1500
PORTS = ("airflow", "front", "mlflow", "evidently", "serving", "serving_admin")
"""Airflow's comes first: it takes a neighbour of its port, too."""


@dataclass(frozen=True)
class Demo:
    """A demo that has ended; its platform is still up."""

    settings: Settings
    told: str

    @property
    def airflow(self) -> Airflow:
        """A client of its Airflow."""
        return Airflow(self.settings)


def whence(settings: Path, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a fresh process."""
    command = [str(Path(sys.executable).parent / "whence"), "--settings", str(settings), *words]
    clean = {name: value for name, value in os.environ.items() if name != FILE_VARIABLE}
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=clean, cwd=settings.parent)


def run_demo(folder: Path, *words: str) -> Iterator[Demo]:
    """Run a demo on free ports, hand it over, and stop its platform."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    file = folder / "whence.toml"
    file.write_text("[ports]\n" + "".join(f"{name} = {port}\n" for name, port in ports.items()))
    try:
        done = whence(file, "demo", *words, seconds=DEMO_SECONDS)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        yield Demo(load(folder / ".whence" / "demo.toml"), done.stdout)
    finally:
        platform.down(load(file))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, with room for the task log server of Airflow beside the first."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind((platform.LOOPBACK, 0))
    found = sorted(int(each.getsockname()[1]) for each in held)
    for each in held:
        each.close()
    return found


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on the world, with a task, the scheduler and the scoring service killed on the way, and a champion off its level."""
    yield from run_demo(tmp_path_factory.mktemp("demo"), "--kill", "--off-level")


@pytest.fixture(scope="package")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on real clicks."""
    if not CLICKS.exists():
        pytest.skip(f"the TalkingData sample is not at {CLICKS}; it may not be shipped with the repository")
    yield from run_demo(tmp_path_factory.mktemp("clicks"), "--source", f"talkingdata={CLICKS}")
