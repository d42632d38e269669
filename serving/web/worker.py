"""One process of the scoring service: the real journal, bundles, features and log behind the sockets that it was given."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import resource
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import uvicorn

from features import open_online
from features.online import OnlineError
from registry.following import Following, Standings
from registry.journal import Journal
from serving.champion import Follower
from serving.decision_log import DecisionLog
from serving.rollouts.mirror import Mirror
from serving.rollouts.mirrored import MirrorLog
from serving.rollouts.steering import Steering
from serving.rollouts.tally import Tally
from serving.rollouts.trying import Trying
from serving.web import connections
from serving.web.app import application
from serving.web.doors import Doors, Life
from serving.web.lastgood import LastGood, record
from serving.web.lookout import Lookout
from serving.web.metrics import Metrics
from serving.web.processes import CannotStart, Given
from serving.web.service import Service
from serving.web.tokens import TokensError, open_book
from whence import bundle_store
from whence.answer_counts import Keeper
from whence.attribution import policy as policies
from whence.bundle import BundleError, signing_key
from whence.contracts.settings import Settings

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""
KEPT_BYTES, LARGE_BYTES = 256 * 2**20, 32 * 2**20
GRACE = 10
SPARE_FILES = 256
"""Of the files that a process may have open, those that no connection takes."""
COUNT_SECONDS = 10.0
"""How often the counts of answers are written: a kill loses no more of them."""
SWITCH_SECONDS = 0.0005
"""For so long an answer waits at most until a thread lets go of the interpreter; Python's own 5 ms are a late answer."""
log = logging.getLogger("serving")


def demand(settings: Settings) -> None:
    """Read all that a worker reads at its start, so that what is wrong is said once, and before anybody waits. Raises CannotStart."""
    try:
        open_book(settings)
        policies.of(settings)
        signing_key(settings.bundles)
        open_online(settings).close()
    except (TokensError, policies.PolicyError, BundleError, OnlineError, OSError, sqlite3.Error) as wrong:
        raise CannotStart(f"The scoring service cannot start: {wrong}") from None


def serve(settings: Settings, given: Given) -> int:
    """Serve on the sockets until SIGTERM, or until the parent is gone; the exit status."""
    journal = Journal.of(settings)
    lookout = Lookout(Following(journal, lambda: datetime.now(UTC)))
    lookout.start(given.sockets)
    service, steering, mirror = assemble(settings, journal, lookout)
    lookout.news = service.follower.wake
    app = application(service, open_book(settings))
    app.life = _with_counts(_with_rollouts(app.life, steering, mirror), Keeper(settings.answer_counts, service.metrics.totals))
    app.life = _with_news(app.life, lookout)
    app.most_connections = _room()
    _keep_memory()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what was imported stays, and need not be looked through in the middle of an answer
    try:
        server_of(app, settings, given.parent).run(sockets=list(given.sockets))
    finally:
        lookout.close()
    return 0


def _room() -> int:
    """How many connections there may be, with as many open files as the system allows us."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        files = most
    return sys.maxsize if files == resource.RLIM_INFINITY else max(files - SPARE_FILES, files // 2)


def _keep_memory() -> None:
    """Let glibc keep what requests give back: asking the system for the same pages again took 30 µs a request.

    Its own way, raising both bounds as it goes, begins too low for matrices of some kilobytes by the hundred.
    """
    with suppress(OSError, AttributeError):  # another C library has its own ways
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def _give_back() -> None:
    """Give the system what reading the first bundles took, more than half of what they take; some milliseconds, so not while we answer."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def server_of(
    app: Doors, settings: Settings, parent: int | None = None, patience: float = connections.PATIENCE
) -> uvicorn.Server:
    """The HTTP server of an application, to be run on sockets."""
    config = uvicorn.Config(
        app,
        http=connections.Connection,
        ws="none",
        loop="uvloop",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=settings.serving.certificate or None,
        ssl_keyfile=settings.serving.key or None,
    )
    server = uvicorn.Server(config)
    app.queue = lambda: len(server.server_state.tasks)
    app.life = _with_watch(app.life, server, parent, patience)
    return server


def assemble(settings: Settings, journal: Journal, look: Callable[[], Standings]) -> tuple[Service, Steering, Mirror]:
    """The service with the real bundles, features and log; and what moves its rollouts on, and mirrors for them."""
    metrics = Metrics.new()
    last_good = LastGood(record(settings), look, metrics.poll_failed.inc)

    def swapped(model: str, outcome: str) -> None:
        metrics.swapped(model, outcome)
        last_good.note(follower.lineup)
        if not follower.has_polled:
            _give_back()

    follower = Follower(
        last_good,
        lambda digest: bundle_store.load(settings, digest),
        swapped,
        last_good=last_good.read,
    )
    tally, mirror, key = Tally(settings.home), Mirror(), signing_key(settings.bundles)
    picker = Trying(follower, tally, mirror, MirrorLog(settings.home), key, metrics.mirrored)
    decisions = DecisionLog(settings.decision_log, metrics.logged)
    service = Service(settings, follower, picker, open_online(settings), decisions, metrics)
    return service, Steering(settings.home, journal, follower, tally), mirror


def _with_news(life: Life, lookout: Lookout) -> Life:
    """The application's life, in which is heard what the lookout sees."""

    @asynccontextmanager
    async def hearing() -> AsyncIterator[None]:
        lookout.listen()
        async with life():
            yield

    return hearing


def _with_rollouts(life: Life, steering: Steering, mirror: Mirror) -> Life:
    """The application's life, with rollouts moved on beside it."""

    @asynccontextmanager
    async def steered() -> AsyncIterator[None]:
        steer = asyncio.create_task(steering.steer())
        try:
            async with life():
                yield
        finally:
            steer.cancel()
            await asyncio.to_thread(mirror.close)
            await asyncio.to_thread(steering.close)

    return steered


def _with_counts(life: Life, keeper: Keeper) -> Life:
    """The application's life, with the counts of its answers written down as they grow."""
    one_at_a_time = threading.Lock()

    def keep() -> None:
        try:
            with one_at_a_time:
                keeper.keep(datetime.now(UTC).date())
        except OSError:
            log.exception("The counts of answers cannot be written; they wait for the next time.")

    async def keep_on() -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await asyncio.to_thread(keep)

    @asynccontextmanager
    async def counted() -> AsyncIterator[None]:
        keeping = asyncio.create_task(keep_on())
        try:
            async with life():
                yield
        finally:
            keeping.cancel()
            await asyncio.to_thread(keep)

    return counted


def _with_watch(life: Life, server: uvicorn.Server, parent: int | None, patience: float) -> Life:
    """The application's life, with the server's own watchmen beside it."""

    @asynccontextmanager
    async def watched() -> AsyncIterator[None]:
        watching = asyncio.create_task(connections.watch(server.server_state, patience))
        if parent is not None:
            asyncio.get_running_loop().add_reader(parent, _stop, server, parent)
        try:
            async with life():
                yield
        finally:
            watching.cancel()

    return watched


def _stop(server: uvicorn.Server, parent: int) -> None:
    asyncio.get_running_loop().remove_reader(parent)
    log.error("The parent process is gone, and so is this worker.")
    server.should_exit = True
