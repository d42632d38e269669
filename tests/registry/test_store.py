"""The MLflow adapter and the front doors, against a real server."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import registry
from registry import gate, store
from registry.journal import Journal
from tests.registry.makers import a_candidate
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Ports, Settings

pytestmark = [
    pytest.mark.service,
    # MLflow 3.17 leaves its HTTP sessions to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOW = datetime(2026, 5, 11, 12, tzinfo=UTC)
DAY = date(2026, 5, 10)


@pytest.fixture
def at(mlflow_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings and a client, with every model's versions of earlier tests removed."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = Settings(home=tmp_path, ports=Ports(mlflow=mlflow_port))
    client = store._client(settings)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    return settings, client


def test_a_candidate_is_kept_with_its_report_and_never_twice(at: Any) -> None:
    settings, client = at
    candidate = a_candidate(settings)

    first, second = registry.register(settings, candidate), registry.register(settings, candidate)

    assert first == second == "1"
    version = client.get_model_version(CONVERSION_VALUE, first)
    assert version.tags["bundle_sha256"] == candidate.bundle
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["log_loss.low"] == 0.38
    assert run.data.params["data.touches.version"] == "3"
    assert {each.path for each in client.list_artifacts(version.run_id, "bundle")} >= {"bundle/model.txt", "bundle/manifest.sig"}
    assert "report/test.parquet" not in {each.path for each in client.list_artifacts(version.run_id, "report")}
    assert registry.candidates(settings, DAY) == [candidate]


def test_two_that_register_the_same_candidate_at_once_leave_one_version(at: Any) -> None:
    settings, client = at
    candidate = a_candidate(settings, rounds=3)
    start, given = threading.Barrier(3), []

    def register() -> None:
        start.wait()
        given.append(registry.register(settings, candidate))

    threads = [threading.Thread(target=register) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    stored = client.search_model_versions(f"name = '{CONVERSION_VALUE}'")
    assert [str(each.version) for each in stored] == [registry.register(settings, candidate)]


def test_a_run_that_was_killed_half_way_is_finished_not_repeated(at: Any) -> None:
    settings, client = at
    candidate = a_candidate(settings, rounds=4)
    left = store._run(client, candidate)

    version = registry.register(settings, candidate)

    assert client.get_model_version(CONVERSION_VALUE, version).run_id == left


def test_the_whole_way_from_candidate_to_champion_and_back(at: Any) -> None:
    settings, client = at
    weak = a_candidate(settings, rounds=2)
    registry.register(settings, weak)
    told = registry.judge_and_promote(settings, DAY, "ana", NOW)
    assert next(iter(told.values())).startswith("champion of epoch 1")

    spoiled = a_candidate(settings, as_of="2026-05-11", drill="shuffled_labels")
    strong = a_candidate(settings, as_of="2026-05-11", rounds=40)
    for each in (spoiled, strong):
        registry.register(settings, each)
    told = registry.judge_and_promote(settings, date(2026, 5, 11), "ana", NOW)
    assert told[f"{CONVERSION_VALUE} {spoiled.bundle[:12]} (shuffled_labels)"].startswith("refuse: ")
    assert told[f"{CONVERSION_VALUE} {strong.bundle[:12]}"].startswith("champion of epoch 2")
    assert _aliased(client).tags["bundle_sha256"] == strong.bundle
    assert "better for sure" in client.get_registered_model(CONVERSION_VALUE).description

    refused = client.search_model_versions(f"name = '{CONVERSION_VALUE}' and tags.bundle_sha256 = '{spoiled.bundle}'")[0]
    assert refused.tags["verdict"] == "refuse"
    assert "shuffled labels" in refused.tags["reasons"]
    words = client.download_artifacts(refused.run_id, "verdict.md")
    assert Path(words).read_text().startswith("## Refuse")

    assert registry.rollback(settings, CONVERSION_VALUE, "bo", "credit fell", NOW).bundle == weak.bundle
    assert _aliased(client).tags["bundle_sha256"] == weak.bundle

    rows = Journal(settings.journal_url).rows()
    assert registry.judge_and_promote(settings, date(2026, 5, 11), "ana", NOW)[
        f"{CONVERSION_VALUE} {strong.bundle[:12]}"
    ].startswith("had its turn")
    assert registry.judge_and_promote(settings, DAY, "ana", NOW)
    assert Journal(settings.journal_url).rows() == rows, "a rerun of finished days promotes nothing"
    assert len(rows) == Journal(settings.journal_url).verify() == 3


def test_an_alias_moved_by_hand_is_set_back_from_the_journal(at: Any) -> None:
    settings, client = at
    first, second = a_candidate(settings, rounds=2), a_candidate(settings, rounds=3)
    versions = [registry.register(settings, each) for each in (first, second)]
    registry.promote(settings, first, registry.judge(settings, first, NOW), "ana", NOW)
    client.set_registered_model_alias(CONVERSION_VALUE, "champion", versions[1])

    said = store.reconcile(settings)

    assert said == [f"{CONVERSION_VALUE}: alias champion set to version {versions[0]}; it was {versions[1]}."]
    assert store.reconcile(settings) == []


def test_a_champion_that_mlflow_lost_is_named_and_not_served_otherwise(at: Any) -> None:
    settings, client = at
    candidate = a_candidate(settings, rounds=5)
    version = registry.register(settings, candidate)
    registry.promote(settings, candidate, registry.judge(settings, candidate, NOW), "ana", NOW)
    client.delete_model_version(CONVERSION_VALUE, version)

    assert "is not registered in MLflow" in store.reconcile(settings)[0]
    assert registry.champion_scorer(settings, CONVERSION_VALUE).digest == candidate.bundle  # type: ignore[union-attr]


def test_a_rollback_works_while_mlflow_is_down_and_the_alias_follows_later(at: Any, settings: Settings, caplog: Any) -> None:
    up, client = at
    first, second = a_candidate(up, rounds=2), a_candidate(up, as_of="2026-05-11", rounds=40)
    for each in (first, second):
        registry.register(up, each)
        registry.promote(up, each, registry.judge(up, each, NOW), "ana", NOW)
    down = replace(up, ports=settings.ports)

    with caplog.at_level(logging.ERROR, "urllib3"):
        row = registry.rollback(down, CONVERSION_VALUE, "bo", "credit fell", NOW)

    assert row.bundle == first.bundle
    assert _aliased(client).tags["bundle_sha256"] == second.bundle
    store.reconcile(up)
    assert _aliased(client).tags["bundle_sha256"] == first.bundle


def test_a_verdict_on_one_candidate_promotes_no_other(at: Any) -> None:
    settings, _ = at
    first, second = a_candidate(settings, rounds=2), a_candidate(settings, rounds=3)
    registry.register(settings, first)
    verdict = registry.judge(settings, first, NOW)
    assert verdict.decision == gate.PROMOTE

    with pytest.raises(registry.RegistryError, match="Judge the candidate first"):
        registry.promote(settings, second, verdict, "ana", NOW)


def _aliased(client: Any) -> Any:
    return client.get_model_version_by_alias(CONVERSION_VALUE, "champion")
