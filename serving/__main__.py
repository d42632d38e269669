"""Starts the scoring service of the settings: `python -m serving`. It ends well on SIGTERM."""

from __future__ import annotations

import logging
import os
import sys

from serving.web import processes
from whence.contracts.settings import SettingsError, load


def main() -> int:
    """Serve until told to stop: in this process, or, with several workers, in children that share its sockets."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = load()
    except SettingsError as wrong:
        sys.exit(str(wrong))
    os.environ.pop(processes.SHARED_METRICS, None)  # of whoever started us: Feast sets it where it is imported
    try:
        if settings.serving.workers > 1:
            return processes.supervise(settings)
        sockets = processes.listen(settings)
        from serving.web import worker

        worker.demand(settings)
    except processes.CannotStart as why:
        sys.exit(str(why))
    return worker.serve(settings, processes.Given(sockets, None))


if __name__ == "__main__":
    sys.exit(main())
