"""Kills parts of the running platform with SIGKILL, as power cuts and the out-of-memory killer do."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

import psutil

from infra import platform
from whence.contracts.settings import Settings

TASK_TITLE = "airflow worker -- "


@dataclass
class Monkey:
    """Kills each of its victims once: `task`, `scheduler`, `serving`; a task when one is running."""

    settings: Settings
    victims: tuple[str, ...]
    killed: list[str] = field(default_factory=list)

    def tick(self) -> None:
        """Kill the next victim if it can be found now; called again and again while the work goes on."""
        waiting = [name for name in self.victims if name not in self.killed]
        if not waiting:
            return
        pid = _task(self.settings) if waiting[0] == "task" else platform.process_id(self.settings, waiting[0])
        if pid:
            os.kill(pid, signal.SIGKILL)
            self.killed.append(waiting[0])

    def told(self) -> str:
        """What was killed, for the story."""
        return f"; killed: {', '.join(self.killed)}" if self.killed else ""


def _task(settings: Settings) -> int:
    """The process id of a task that this platform's scheduler runs now; 0 when there is none."""
    scheduler = platform.process_id(settings, "scheduler")
    if not scheduler:
        return 0
    for child in psutil.Process(scheduler).children(recursive=True):
        try:
            if " ".join(child.cmdline()).startswith(TASK_TITLE):
                return int(child.pid)
        except psutil.Error:
            continue
    return 0
