"""All servers of the benchmark, up at once on one core, each with its questions; only one is asked at a time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.bench_serving import feast_peer, mlflow_peer, models, servers
from infra.bench_serving.servers import Redis, Server, Window
from infra.bench_serving.unscored import HALF
from infra.bench_serving.world import SETTINGS, World, environment, homes, now
from infra.benching import BenchError
from serving.web.tokens import own_token
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Settings, load

MATCH_REDIS, MATCH_SQLITE, UNSCORED, SCORE = "match from Redis", "match from SQLite", "match without scoring", "rows scored"
CREDIT_REDIS, CREDIT_SQLITE = "credit from Redis", "credit from SQLite"
FIRST_REDIS, FIRST_SQLITE = f"{MATCH_REDIS}, nothing remembered", f"{MATCH_SQLITE}, nothing remembered"
TRIES = 10
FEAST, MLFLOW = "FastAPI and Feast", "mlflow models serve"


@dataclass(frozen=True)
class Lineup:
    """Servers by name, and a folder for what is needed to ask them."""

    servers: Mapping[str, Server]
    redis: Redis
    folder: Path

    def settings(self, store: str) -> Settings:
        """The settings of our server with this online store."""
        return load(self.folder / "homes" / store / SETTINGS)

    def ask(self, name: str) -> Any:
        """The answer to the first of a server's questions."""
        server = self.servers[name]
        return server.ask(server.bodies.read_text().partition("\n")[0])

    def window(self, name: str, seconds: int) -> Window:
        """A closed loop against one of them."""
        return servers.closed_loop(self.servers[name], seconds, self.folder)


@contextlib.contextmanager
def up(*names: str) -> Iterator[Lineup]:
    """Start what is named, with everything that it needs, and take it all down at the end."""
    servers.demand_tools()
    moment = now()
    world = World.of(moment)
    free = servers.ports()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whence-bench-")))
        redis = stack.enter_context(servers.redis(folder))
        own = homes(folder / "homes", world, redis.address, free, moment)
        started: dict[str, Server] = {}
        if MATCH_REDIS in names:
            started[MATCH_REDIS] = stack.enter_context(_ours(own["redis"], world, folder / "redis"))
            started[CREDIT_REDIS] = _crediting(started[MATCH_REDIS], world, folder)
        if MATCH_SQLITE in names or SCORE in names:
            started[MATCH_SQLITE] = stack.enter_context(_ours(own["sqlite"], world, folder / "sqlite"))
            started[SCORE] = _scoring(started[MATCH_SQLITE], folder)
            started[CREDIT_SQLITE] = _crediting(started[MATCH_SQLITE], world, folder)
        if UNSCORED in names:
            module = "infra.bench_serving.unscored"
            started[UNSCORED] = stack.enter_context(_ours(own["unscored"], world, folder / "unscored", module))
        for name, kind in ((FIRST_REDIS, "first-redis"), (FIRST_SQLITE, "first-sqlite")):
            if name in names:
                module = "infra.bench_serving.forgetful"
                started[name] = stack.enter_context(_ours(own[kind], world, folder / kind, module))
        if FEAST in names:
            started[FEAST] = stack.enter_context(_feast(folder, redis.address, world, next(free)))
        if MLFLOW in names:
            started[MLFLOW] = stack.enter_context(_mlflow(folder, next(free)))
        yield Lineup(started, redis, folder)


def demand_same(lineup: Lineup) -> None:
    """Raise BenchError unless both of our stores, with and without memory, and the peer answer the same to the same questions."""
    names = (MATCH_REDIS, MATCH_SQLITE, FIRST_REDIS, FIRST_SQLITE, FEAST)
    for body in lineup.servers[FEAST].bodies.read_text().splitlines()[:20]:
        told = [_best(_asked(lineup.servers[name], body)) for name in names]
        if any(each != told[0] for each in told) or not told[0][1]:
            raise BenchError(f"The answers to {body} differ: {told}.")


def demand_unscored(lineup: Lineup) -> None:
    """Raise BenchError unless the server that leaves scoring out does so."""
    told = {each["probability"] for each in lineup.ask(UNSCORED)["candidates"]}
    if told != {HALF}:
        raise BenchError(f"The service without scoring scores: it gives {told}.")


def _asked(server: Server, body: str) -> Any:
    """The answer; asked once more where the store was too slow to be heard, as on a machine that does other things, too."""
    for _ in range(TRIES):
        answer = server.ask(body)
        if not any("does not answer" in each for each in answer.get("degraded", ())):
            break
        time.sleep(1.0)
    return answer


def _best(answer: Any) -> tuple[Any, list[tuple[str, float]]]:
    return answer["person_id"], [(each["person_id"], round(each["probability"], 9)) for each in answer["candidates"]]


def _ours(settings: Settings, world: World, folder: Path, module: str = "serving") -> Any:
    base = f"http://127.0.0.1:{settings.ports.serving}"
    bodies = [{"signal": signal} for signal in world.signals]
    argv = [sys.executable, "-m", module]
    return servers.started(argv, environment(settings), f"{base}/readyz", f"{base}/v1/match", own_token(settings), bodies, folder)


def _scoring(server: Server, folder: Path) -> Server:
    """The same server, asked to score rows that come with the request."""
    questions = folder / "rows"
    bodies = []
    for seed in range(50):
        columns = models.columns(models.rows(mlflow_peer.ROWS, seed))
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        bodies.append(json.dumps({"model": CONVERSION_VALUE, "names": list(columns), "rows": rows}))
    questions.write_text("".join(f"{each}\n" for each in bodies))
    return replace(server, url=server.url.replace("/v1/match", "/v1/score"), bodies=questions)


def _crediting(server: Server, world: World, folder: Path) -> Server:
    """The same server, asked which touches earned the purchases of known people."""
    questions = folder / "purchases"
    questions.write_text("".join(f"{json.dumps(each)}\n" for each in world.conversions))
    return replace(server, url=server.url.replace("/v1/match", "/v1/attribute"), bodies=questions)


def _feast(folder: Path, redis: str, world: World, port: int) -> Any:
    feast_peer.fill(folder / "feast", redis, world)
    env = {**os.environ, feast_peer.FOLDER: str(folder / "feast")}
    argv = [sys.executable, "-m", "infra.bench_serving.feast_peer", str(port)]
    base = f"http://127.0.0.1:{port}"
    return servers.started(
        argv, env, f"{base}/health", f"{base}/match", "", [{"signal": each} for each in world.signals], folder / "peer"
    )


def _mlflow(folder: Path, port: int) -> Any:
    mlflow_peer.save(folder / "mlflow")
    argv = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(folder / "mlflow"),
        "-p",
        str(port),
        "--env-manager",
        "local",
    ]
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    base = f"http://127.0.0.1:{port}"
    return servers.started(argv, env, f"{base}/health", f"{base}/invocations", "", mlflow_peer.questions(), folder / "served")


def shuffled(names: list[str], number: int) -> list[str]:
    """The order of a round: another one each time, the same in every run."""
    return random.Random(number).sample(names, len(names))
