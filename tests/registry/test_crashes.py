"""A promoter that is killed after any of its steps: whoever does the same again finds it half done, and finishes it once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pytest

import registry
from registry import aliases, gate, store
from registry.alarms import Alarms
from registry.follow import Watch
from registry.journal import Journal
from tests.registry.makers import a_candidate
from whence import bundle, bundle_store
from whence.contracts.models import CONVERSION_VALUE, Candidate
from whence.contracts.settings import Bundles, Ports, Settings

pytestmark = [
    pytest.mark.service,
    # MLflow 3.17 leaves its HTTP sessions to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOW = datetime(2026, 5, 11, 12, tzinfo=UTC)
FORKS = multiprocessing.get_context("forkserver")  # MLflow's client has threads, and its imports take seconds
FORKS.set_forkserver_preload(
    [
        "tests.registry.test_crashes",
        "mlflow.tracking.client",
        "mlflow.store.tracking.rest_store",
        "mlflow.store.model_registry.rest_store",
    ]
)
JUDGED = "verdict kept"
STEPS: tuple[tuple[str, Any, str, int], ...] = (
    ("bundle written", bundle, "publish_bundle", 1),
    ("report half logged", mlflow.MlflowClient, "log_artifact", 3),
    ("registered", store, "log_candidate", 1),
    (JUDGED, registry, "_write", 3),
    ("row signed", Journal, "_insert", 1),
    ("row appended", Journal, "_decide", 1),
    ("alias set", aliases._Models, "set_alias", 1),
    ("version tagged", aliases._Models, "tag_version", 1),
    ("seal tagged", aliases._Models, "tag", 1),
)


@pytest.fixture
def at(mlflow_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings with a shared store, and a client that finds no model of an earlier test."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = Settings(home=tmp_path, ports=Ports(mlflow=mlflow_port), bundle_store=Bundles(str(tmp_path / "shared")))
    client = store._client(settings)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    return settings, client


def die_after(where: Any, name: str, times: int) -> None:
    """From now on this process is killed when `name` has come back so many times."""
    real: Callable[..., Any] = getattr(where, name)
    done = [0]

    def deadly(*given: Any, **named: Any) -> Any:
        found = real(*given, **named)
        done[0] += 1
        if done[0] == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(where, name, deadly)


def from_training_to_alias(settings: Settings, rounds: int, *, is_judged: bool = False) -> Candidate:
    """What happens to a candidate, each step by its front door; judging takes seconds, and is done where it is killed."""
    candidate = a_candidate(settings, as_of=f"2026-05-{rounds:02}", rounds=rounds)
    registry.register(settings, candidate)
    if is_judged:
        registry.judge(settings, candidate, NOW)
    row = registry.champion(settings, CONVERSION_VALUE)
    verdict = gate.Verdict(gate.PROMOTE, ("it is better",), bundle=candidate.bundle, epoch=row.epoch if row else 0)
    registry.promote(settings, candidate, verdict, "ana", NOW)
    return candidate


def killed_at(settings: Settings, number: int, rounds: int) -> None:
    said, where, name, times = STEPS[number]
    die_after(where, name, times)
    from_training_to_alias(settings, rounds, is_judged=said == JUDGED)


@pytest.mark.timeout(900)
def test_a_promoter_killed_after_any_step_is_finished_once_by_the_next(at: Any) -> None:
    settings, client = at
    first = from_training_to_alias(settings, 1)
    for number, (said, *_) in enumerate(STEPS):
        rounds = number + 2
        child = FORKS.Process(target=killed_at, args=(settings, number, rounds), daemon=True)
        child.start()
        child.join(120)
        print(f"killed: {said}")
        assert child.exitcode == -signal.SIGKILL, f"nobody died when '{said}'"

        candidate = from_training_to_alias(settings, rounds, is_judged=said == JUDGED)

        rows = Journal.of(settings).rows()
        assert [row.bundle for row in rows].count(candidate.bundle) == 1, said
        assert Journal.of(settings).verify() == len(rows) == rounds, said
        (version,) = client.search_model_versions(f"name = '{CONVERSION_VALUE}' and tags.bundle_sha256 = '{candidate.bundle}'")
        served = client.get_model_version_by_alias(CONVERSION_VALUE, aliases.ALIAS)
        assert (served.version, served.tags[aliases.EPOCH]) == (version.version, str(rounds)), said
        model = client.get_registered_model(CONVERSION_VALUE)
        assert model.tags[aliases.SEAL] == rows[-1].seal, said
        assert bundle_store.load(settings, registry.champion(settings, CONVERSION_VALUE).bundle).digest == candidate.bundle  # type: ignore[union-attr]
        assert set(os.listdir(settings.home / "shared")) >= {first.bundle, candidate.bundle}, said
        assert Watch(settings).glance(NOW) == [], said
    assert Alarms.of(settings).since(NOW) == [], "healing alarms nobody"
