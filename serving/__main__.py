"""Starts the scoring service of the settings: `python -m serving`. It ends well on SIGTERM."""

from __future__ import annotations

import logging

import uvicorn

from features import open_online
from registry.journal import Journal
from serving.app import Metrics, Service
from serving.champion import Follower
from serving.decision_log import DecisionLog
from serving.tokens import tokens
from whence.bundle import load_bundle
from whence.contracts.settings import Settings, load

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load()
    config = uvicorn.Config(
        service(settings).app(),
        host=LOOPBACK,
        port=settings.ports.serving,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
        limit_concurrency=256,
    )
    uvicorn.Server(config).run()


def service(settings: Settings) -> Service:
    """The service with the real journal, bundles, features and log."""
    metrics = Metrics.new()
    journal = Journal.of(settings)
    follower = Follower(journal.champion, lambda digest: load_bundle(settings.bundles, digest), metrics.swapped)
    log = DecisionLog(settings.decision_log)
    return Service(settings, tokens(settings), follower, open_online(settings), log, metrics=metrics)


if __name__ == "__main__":
    main()
