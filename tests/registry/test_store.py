"""The MLflow adapter and the front doors, against a real server."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow.exceptions import RestException

import registry
from registry import aliases, gate, store
from registry.alarms import Alarms
from registry.follow import Watch
from registry.journal import Journal
from tests.registry.makers import a_candidate
from whence import bundle_store
from whence.contracts.models import CONVERSION_VALUE, Candidate
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


def champion(settings: Settings, candidate: Candidate) -> None:
    """Make it champion, whatever the gate would say."""
    row = registry.champion(settings, candidate.model)
    verdict = gate.Verdict(gate.PROMOTE, ("it is better",), bundle=candidate.bundle, epoch=row.epoch if row else 0)
    registry.promote(settings, candidate, verdict, "ana", NOW)


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
    assert run.data.params["data.tables.touches"] == "3"
    assert {each.path for each in client.list_artifacts(version.run_id, "bundle")} >= {"bundle/model.txt", "bundle/manifest.sig"}
    assert "report/test.parquet" not in {each.path for each in client.list_artifacts(version.run_id, "report")}
    assert registry.candidates(settings, DAY) == [candidate]

    moved = settings.home.rename(settings.home.with_name("moved"))
    (found,) = registry.candidates(replace(settings, home=moved), DAY)
    assert (Path(found.folder) / "test.parquet").exists(), "a home may be moved"


def test_that_mlflow_is_down_is_said_in_words(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = at
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(store.StoreError, match="`whence up` starts it"):
        registry.register(replace(settings, ports=Ports(mlflow=1)), a_candidate(settings))


def test_a_client_of_mlflow_loads_no_feast(settings: Settings) -> None:
    asked = f"from registry import store; store._client({settings!r}); import sys; sys.exit('feast' in sys.modules)"
    code = f"from pathlib import PosixPath; import datetime; from whence.contracts.settings import *; {asked}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


def test_whom_mlflow_refused_since_another_wrote_the_same_asks_again(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, client = at
    candidate = a_candidate(settings, rounds=5)
    log, refused = store._log_report, []

    def raced(*asked: Any) -> None:
        log(*asked)
        if not refused:
            refused.append(RestException({"error_code": "BAD_REQUEST", "message": "UNIQUE constraint failed: params.key"}))
            raise refused[0]

    monkeypatch.setattr(store, "_log_report", raced)
    version = registry.register(settings, candidate)

    assert refused
    assert [str(each.version) for each in client.search_model_versions(f"name = '{CONVERSION_VALUE}'")] == [version]


def test_who_follows_a_row_while_a_newer_one_is_followed_leaves_the_newer_ones_alias(
    at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, client = at
    first, second = a_candidate(settings, rounds=6), a_candidate(settings, rounds=7)
    versions = [registry.register(settings, each) for each in (first, second)]
    journal, set_alias, overtaken = Journal.of(settings), aliases._Models.set_alias, []
    journal.promote(CONVERSION_VALUE, first.bundle, "", ("it is better",), "ana", 0, NOW)

    def late(models: Any, name: str, version: str) -> None:
        if not overtaken:
            overtaken.append(version)
            journal.promote(CONVERSION_VALUE, second.bundle, "", ("it is better",), "ben", 1, NOW)
            aliases.reconcile(settings, NOW)
        set_alias(models, name, version)

    monkeypatch.setattr(aliases._Models, "set_alias", late)
    aliases.reconcile(settings, NOW)

    assert overtaken == versions[:1]
    assert client.get_model_version_by_alias(CONVERSION_VALUE, aliases.ALIAS).version == versions[1]
    assert client.get_registered_model(CONVERSION_VALUE).tags[aliases.EPOCH] == "2"
    assert Alarms.of(settings).since(NOW) == []


def test_a_run_that_was_killed_half_way_is_finished_not_repeated(at: Any) -> None:
    settings, client = at
    candidate = a_candidate(settings, rounds=4)
    left = store._run(client, candidate)

    version = registry.register(settings, candidate)

    assert client.get_model_version(CONVERSION_VALUE, version).run_id == left


def test_the_whole_way_from_candidate_to_champion_and_back(at: Any) -> None:
    settings, client = at
    weak = a_candidate(settings, rounds=4)
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
    assert f"/models/{CONVERSION_VALUE})" in client.get_registered_model(CONVERSION_VALUE).description

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
    champion(settings, first)
    later = NOW + 2 * aliases.SETTLING
    client.set_registered_model_alias(CONVERSION_VALUE, "champion", versions[1])

    said = aliases.reconcile(settings, later)

    assert [(each.kind, each.words) for each in said] == [
        ("moved", f"{CONVERSION_VALUE}: alias champion set to version {versions[0]}; it was {versions[1]}, moved by hand.")
    ]
    assert aliases.reconcile(settings, later) == []
    assert [each.kind for each in Alarms.of(settings).since(NOW)] == ["moved"]


@pytest.mark.parametrize("refusals", [3, 4])
def test_who_is_refused_since_another_sets_the_same_alias_asks_again_and_not_for_ever(refusals: int) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        refused = {"error_code": "BAD_REQUEST", "message": "UNIQUE constraint failed: registered_model_aliases.alias"}
        return httpx.Response(400, json=refused) if len(asked) <= refusals else httpx.Response(200, json={})

    with httpx.Client(base_url="http://mlflow/", transport=httpx.MockTransport(answer)) as client:
        models = aliases._Models(client)
        if refusals < aliases.TRIES:
            models.set_alias(CONVERSION_VALUE, "1")
        else:
            with pytest.raises(aliases.AliasError, match="UNIQUE constraint failed"):
                models.set_alias(CONVERSION_VALUE, "1")
    assert len(asked) == 4


@pytest.mark.parametrize(("stands", "kind"), [(0, aliases.FOLLOWED), (2, aliases.MOVED)], ids=["where it was", "elsewhere"])
def test_an_alias_that_is_where_it_was_just_after_a_promotion_is_put_right_without_an_alarm(
    at: Any, stands: int, kind: str
) -> None:
    settings, client = at
    made = [a_candidate(settings, rounds=rounds) for rounds in (2, 3, 4)]
    versions = [registry.register(settings, each) for each in made]
    for each in made[:2]:
        champion(settings, each)
    client.set_registered_model_alias(CONVERSION_VALUE, "champion", versions[stands])

    assert [each.kind for each in aliases.reconcile(settings, NOW + aliases.SETTLING)] == [kind]

    assert client.get_model_version_by_alias(CONVERSION_VALUE, "champion").version == versions[1]
    assert [each.kind for each in Alarms.of(settings).since(NOW)] == [kind] * (kind == aliases.MOVED)


def test_a_champion_that_mlflow_lost_is_named_and_not_served_otherwise(at: Any) -> None:
    settings, client = at
    candidate = a_candidate(settings, rounds=5)
    version = registry.register(settings, candidate)
    champion(settings, candidate)
    client.delete_model_version(CONVERSION_VALUE, version)

    for _ in range(2):
        assert "is not registered in MLflow" in aliases.reconcile(settings, NOW)[0].words
    assert [each.kind for each in Alarms.of(settings).since(NOW)] == ["lost"], "a standing condition is told once"
    assert bundle_store.load(settings, registry.champion(settings, CONVERSION_VALUE).bundle).digest == candidate.bundle  # type: ignore[union-attr]

    newer = a_candidate(settings, rounds=6)
    registry.register(settings, newer)
    champion(settings, newer)
    assert Alarms.of(settings).since(NOW) == [], "the newer champion is there"


def test_a_rollback_works_while_mlflow_is_down_and_the_alias_follows_later(at: Any, settings: Settings, caplog: Any) -> None:
    up, client = at
    first, second = a_candidate(up, rounds=2), a_candidate(up, as_of="2026-05-11", rounds=40)
    for each in (first, second):
        registry.register(up, each)
        champion(up, each)
    down = replace(up, ports=settings.ports)

    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        row = registry.rollback(down, CONVERSION_VALUE, "bo", "credit fell", NOW)

    assert time.monotonic() - started < 5
    assert "MLflow's alias follows later: MLflow does not answer" in caplog.text
    assert row.bundle == first.bundle
    assert _aliased(client).tags["bundle_sha256"] == second.bundle
    assert [each.kind for each in Watch(up).glance(NOW)] == ["followed"]
    assert _aliased(client).tags["bundle_sha256"] == first.bundle


def test_the_watcher_finds_an_alias_moved_by_hand_within_a_minute_and_puts_it_right(at: Any) -> None:
    settings, client = at
    first, second = a_candidate(settings, rounds=2), a_candidate(settings, rounds=3)
    versions = [registry.register(settings, each) for each in (first, second)]
    champion(settings, first)
    environment = {**os.environ, "WHENCE_HOME": str(settings.home), "MLFLOW_TRACKING_URI": settings.mlflow_url}
    with (settings.home / "follow.log").open("wb") as log:
        watcher = subprocess.Popen([sys.executable, "-m", "registry.follow"], env=environment, stdout=log, stderr=log)
    try:
        client.set_registered_model_alias(CONVERSION_VALUE, "champion", versions[1])
        moved = time.monotonic()
        while _aliased(client).tags["bundle_sha256"] != first.bundle:
            assert time.monotonic() - moved < 60
            time.sleep(0.2)
        while not Alarms.of(settings).since(NOW):
            time.sleep(0.1)
        assert psutil.Process(watcher.pid).memory_info().rss < 120 * 2**20, "it must fit beside everything else"
        watcher.terminate()
        assert watcher.wait(20) == 0
    finally:
        watcher.kill()
    assert [each.kind for each in Alarms.of(settings).since(NOW)] == ["moved"]
    assert "moved by hand" in (settings.home / "follow.log").read_text()


def test_a_journal_that_was_cut_short_or_changed_is_told_and_followed_no_more(at: Any) -> None:
    settings, client = at
    first, second = a_candidate(settings, rounds=2), a_candidate(settings, as_of="2026-05-11", rounds=40)
    for each in (first, second):
        registry.register(settings, each)
        champion(settings, each)
    with sqlite3.connect(settings.journal_url.removeprefix("sqlite:///")) as raw:
        raw.execute("DROP TRIGGER promotions_no_DELETE")
        raw.execute("DELETE FROM promotions WHERE epoch = 2")
    raw.close()

    assert [each.kind for each in Watch(settings).glance(NOW)] == ["tampered"]
    assert _aliased(client).tags["bundle_sha256"] == second.bundle
    (settings.home / "journal.anchor").unlink()  # whoever finds the anchor, too, forgot MLflow's tags
    assert Journal.of(settings).verify() == 1
    assert "behind" in [each.kind for each in Watch(settings).glance(NOW)]


def test_a_verdict_on_one_candidate_promotes_no_other(at: Any) -> None:
    settings, _ = at
    first, second = a_candidate(settings, rounds=2), a_candidate(settings, rounds=3)
    verdict = gate.Verdict(gate.PROMOTE, ("it is better",), bundle=first.bundle)

    with pytest.raises(registry.RegistryError, match="Judge the candidate first"):
        registry.promote(settings, second, verdict, "ana", NOW)


def _aliased(client: Any) -> Any:
    return client.get_model_version_by_alias(CONVERSION_VALUE, "champion")
