"""A promotion that a person must approve, on a real MLflow; and where a verdict is kept."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import registry
from registry import approvals, store
from registry.gate import Verdict
from registry.journal import Journal
from tests.registry.makers import a_candidate, watched
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Ports, Settings

pytestmark = [
    pytest.mark.service,
    # MLflow 3.17 leaves its HTTP sessions to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOW, DAY = datetime(2026, 5, 11, 12, tzinfo=UTC), date(2026, 5, 10)


@pytest.fixture
def at(mlflow_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on a running MLflow, under a policy that asks a person."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    (home / "policy.toml").write_text('[conversion-value]\napproval = "person"\n')
    return Settings(home=home, ports=Ports(mlflow=mlflow_port))


def test_one_that_passes_waits_and_the_journal_names_who_approved_it(at: Settings) -> None:
    candidate = a_candidate(at, rounds=30, seed=11)
    registry.register(at, candidate)

    told = registry.judge_and_promote(at, DAY, "airflow", NOW)
    assert next(iter(told.values())).startswith("waits for a person: ")
    assert Journal.of(at).rows() == []

    asked = approvals.waiting(at, CONVERSION_VALUE, DAY)
    assert asked["subject"].startswith(f"Shall conversion-value {candidate.bundle[:12]}")
    assert asked["body"].startswith("## Promote")

    told_of = approvals.approve(at, CONVERSION_VALUE, DAY, asked["verdict"], "ana", NOW)
    assert told_of == "epoch 1: promote by ana, who approved it"
    row = Journal.of(at).rows()[0]
    assert (row.who, row.verdict) == ("ana, who approved it", asked["verdict"])
    assert approvals.approve(at, CONVERSION_VALUE, DAY, asked["verdict"], "ana", NOW) == told_of
    assert len(Journal.of(at).rows()) == 1
    assert approvals.waiting(at, CONVERSION_VALUE, DAY) == {}

    kept = json.loads((at.home / registry.VERDICTS / f"{row.verdict}.json").read_text())
    assert Verdict.from_dict(kept).digest == row.verdict


def test_an_approval_of_another_verdict_promotes_nothing(at: Settings) -> None:
    candidate = a_candidate(at, rounds=30, seed=12)
    registry.register(at, candidate)
    registry.judge_and_promote(at, DAY, "airflow", NOW)
    with pytest.raises(registry.RegistryError, match="is not the newest on a candidate of conversion-value"):
        approvals.approve(at, CONVERSION_VALUE, DAY, "0" * 64, "ana", NOW)
    assert Journal.of(at).rows() == []


def test_a_person_who_asks_for_the_promotion_has_approved_it(at: Settings) -> None:
    registry.register(at, a_candidate(at, rounds=30, seed=13))
    told = registry.judge_and_promote(at, DAY, "bo", NOW, is_person=True)
    assert next(iter(told.values())).startswith("champion of epoch 1")


def test_judging_twice_gives_the_same_verdict_and_its_page_is_an_artifact(at: Settings) -> None:
    candidate = a_candidate(at, rounds=30, seed=14)
    version = registry.register(at, candidate)
    first, again = registry.judge(at, candidate, NOW), registry.judge(at, candidate, NOW)
    assert first.digest == again.digest
    client: Any = store._client(at)
    found = client.get_model_version(CONVERSION_VALUE, version)
    assert found.tags["verdict_sha256"] == first.digest
    page = Path(client.download_artifacts(found.run_id, "verdict.html")).read_text()
    assert "✓</span> Promote" in page


def test_data_that_is_not_sound_stops_a_candidate_that_is_good(at: Settings) -> None:
    candidate = a_candidate(at, rounds=30, seed=15)
    registry.register(at, candidate)
    behind = [{"model": "touches", "metric": metric, "segment": "all"} for metric in ("rows", "log10_amount")]
    evidence = json.dumps({"series": behind})
    watched(at, "2026-05-10", level="warn", metric="rows", reason="Twice as many rows, and dearer ones.", evidence=evidence)
    verdict = registry.judge(at, candidate, NOW)
    assert verdict.decision == "refuse"
    assert verdict.named("fail") == ("data",)
