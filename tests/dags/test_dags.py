"""Every DAG is a page: wired by assets, owned, bounded, and light to parse."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = sorted((REPOSITORY / "dags").glob("*.py"))
PACKAGES = ("features", "infra", "monitoring", "registry", "serving", "training", "whence")
HEAVY = ("pandas", "lightgbm", "mlflow", "feast", "evidently", "pyarrow", "duckdb", "sklearn")

LOAD = """
import importlib.util, json, sys
from airflow.sdk import DAG
found = []
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("dag_" + path.rsplit("/", 1)[1][:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dag = next(each for each in vars(module).values() if isinstance(each, DAG))
    found.append({
        "file": path.rsplit("/", 1)[1][:-3], "id": dag.dag_id, "doc": dag.doc_md or "", "tags": sorted(dag.tags),
        "max_active_runs": dag.max_active_runs, "catchup": dag.catchup,
        "dagrun_timeout": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds(), "schedule": type(dag.timetable).__name__,
        "params": {name: dag.params.get_param(name).schema["type"] for name in dag.params}, "listens": [asset.name] if (asset := getattr(dag.timetable, "asset_condition", None)) else [],
        "tasks": [{
            "id": t.task_id, "owner": t.owner, "retries": t.retries, "outlets": [o.name for o in t.outlets],
            "timeout": t.execution_timeout and t.execution_timeout.total_seconds(),
        } for t in dag.tasks],
    })
print(json.dumps({"dags": found, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@cache
def loaded() -> dict[str, Any]:
    """All DAG files, loaded in one fresh process as the DAG processor does."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, FILES)], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def dags() -> list[Any]:
    return [pytest.param(number, id=path.stem) for number, path in enumerate(FILES)]


@pytest.mark.parametrize("number", dags())
def test_a_dag_is_owned_bounded_and_explains_itself(number: int):
    dag = loaded()["dags"][number]
    assert dag["id"] == dag["file"]
    assert "whence" in dag["tags"]
    assert dag["max_active_runs"] == 1
    assert not dag["catchup"]
    assert dag["dagrun_timeout"]
    for words in ("**Makes**", "**Owner**", "**Partition key**", "**When it is red**"):
        assert words in dag["doc"], f"the runbook of {dag['id']} does not say {words}"
    for task in dag["tasks"]:
        assert task["owner"] != "airflow", f"{task['id']} has no owner"
        assert task["retries"] >= 2
        assert task["timeout"]


def test_every_asset_that_a_dag_waits_for_is_made_by_another():
    made = {name for dag in loaded()["dags"] for task in dag["tasks"] for name in task["outlets"]}
    waited_for = {name for dag in loaded()["dags"] for name in dag["listens"]}
    assert waited_for <= made
    assert [dag["id"] for dag in loaded()["dags"] if not dag["listens"]] == ["ingest_events"]


def test_ingest_takes_its_days_where_airflow_asks_for_no_partition_key():
    ingest = next(dag for dag in loaded()["dags"] if dag["id"] == "ingest_events")
    assert ingest["schedule"] == "PartitionedAtRuntime"  # its Trigger has no field for a key
    assert "days" in ingest["params"]


def test_no_trigger_form_wants_a_parameter_that_may_be_left_out():
    """Airflow's form takes an empty value for a missing one, and its button stays grey, where null is not allowed."""
    params = {name: types for dag in loaded()["dags"] for name, types in dag["params"].items()}
    assert {name for name, types in params.items() if "null" not in types} == set()
    assert set(params) == {"days", "drill", "models"}


def test_parsing_the_dags_loads_nothing_heavy():
    assert sorted(set(HEAVY) & set(loaded()["modules"])) == []


def test_no_dag_file_is_named_like_a_package():
    assert {path.stem for path in FILES}.isdisjoint(PACKAGES)


def test_nobody_else_owns_our_package_names():
    from importlib.metadata import packages_distributions

    owners = packages_distributions()
    assert {name: owners.get(name, []) for name in PACKAGES if set(owners.get(name, [])) - {"whence"}} == {}
