"""With a policy that asks for a person, the DAG waits for an answer between verdict and promotion, and no answer is a no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from registry.policy import asks_a_person

DAG = Path(__file__).parents[2] / "dags" / "judge_and_promote.py"
LOAD = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("dag_under_test", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
dag = module.dag
print(json.dumps({
    "hours": dag.dagrun_timeout.total_seconds() / 3600,
    "tasks": {t.task_id: {
        "kind": type(t).__name__, "after": sorted(t.upstream_task_ids), "defaults": getattr(t, "defaults", None),
        "waits_hours": t.response_timeout.total_seconds() / 3600 if getattr(t, "response_timeout", None) else None,
        "outlets": [o.name for o in t.outlets],
    } for t in dag.tasks},
}))
"""


@cache
def loaded(home: Path) -> dict[str, Any]:
    """The DAG of a platform with this home, loaded in a process of its own."""
    clean = {**os.environ, "WHENCE_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", LOAD, str(DAG)], capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def cautious(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose policy lets people approve what moves money."""
    home = tmp_path_factory.mktemp("home")
    (home / "policy.toml").write_text('[conversion-value]\napproval = "person"\napproval_hours = 6.0\n')
    return home


def test_nobody_is_asked_as_the_policy_stands(tmp_path: Path):
    assert asks_a_person(tmp_path) == {}


@pytest.mark.service
def test_a_person_is_asked_between_the_verdict_and_the_promotion(cautious: Path):
    assert asks_a_person(cautious) == {"conversion-value": 6.0}
    found = loaded(cautious)
    tasks = found["tasks"]
    assert set(tasks) == {
        "judge_and_promote",
        "is_waiting_conversion-value",
        "approve_conversion-value",
        "promote_conversion-value",
    }
    asked, answer, promoted = (tasks[f"{name}_conversion-value"] for name in ("is_waiting", "approve", "promote"))
    assert asked["after"] == ["judge_and_promote"]
    assert answer["kind"] == "ApprovalOperator"
    assert answer["after"] == ["is_waiting_conversion-value"]
    assert "approve_conversion-value" in promoted["after"]
    assert promoted["outlets"] == ["champions"]


@pytest.mark.service
def test_no_answer_in_time_is_a_no_and_the_run_outlives_the_wait(cautious: Path):
    found = loaded(cautious)
    answer = found["tasks"]["approve_conversion-value"]
    assert answer["defaults"] == ["Reject"]
    assert answer["waits_hours"] == 6.0
    assert found["hours"] == 7.0
