"""Serves Evidently's pages over the workspace: `python -m monitoring.evidently.page [HOST]`, for the process supervisor.

Evidently's own command misses a project that is made while it runs: its watcher thread dies of the first report, and every page
of the project fails from then on. So the project is there before the server starts, and a dead thread ends the process, which
the supervisor starts again.
"""

from __future__ import annotations

import os
import sys
import threading

from evidently.ui.service.app import run_local

from monitoring.evidently.project import open_project
from whence.contracts.settings import load


def main() -> None:
    """Serve until stopped, on the loopback address unless another is given."""
    settings = load()
    threading.excepthook = _end
    open_project(settings.evidently_workspace)
    run_local(
        host=sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1",
        port=settings.ports.evidently,
        workspace=str(settings.evidently_workspace),
    )


def _end(told: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(told)
    os._exit(1)


if __name__ == "__main__":
    main()
