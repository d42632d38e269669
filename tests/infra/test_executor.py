"""What Airflow's scheduler loads before it forks its tasks, and what it knows of them."""

from __future__ import annotations

import ast
import importlib.util
from multiprocessing import Value
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "infra" / "executor.py"
OURS = {"whence", "features", "training", "registry", "serving", "monitoring", "infra"}


def test_what_is_loaded_before_the_fork_is_installed_and_none_of_it_is_ours() -> None:
    (names,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "LIBRARIES"  # type: ignore[attr-defined]
    )
    roots = {name.partition(".")[0] for name in names}
    assert all(importlib.util.find_spec(root) for root in roots)
    assert not roots & OURS
    assert "deltalake" not in roots


@pytest.mark.service
def test_a_task_that_is_answered_while_the_worker_that_asked_is_ending_is_known_to_be_with_another() -> None:
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.utils.state import TaskInstanceState

    from infra.executor import LocalExecutor

    executor = LocalExecutor(parallelism=1)
    task = SimpleNamespace(id="an id", key=TaskInstanceKey("judge", "approve", "a run", 1))
    assert not executor.has_task(task)

    _hand_out(executor, task)
    _hand_out(executor, task)  # a person answered
    executor.change_state(task.key, TaskInstanceState.SUCCESS)  # the worker that asked has ended
    assert executor.has_task(task)

    executor.change_state(task.key, TaskInstanceState.SUCCESS)
    assert not executor.has_task(task)
    executor.change_state(task.key, TaskInstanceState.FAILED)
    assert not executor.has_task(task), "what nobody knew of"


def _hand_out(executor: Any, task: Any) -> None:
    """Give a workload of the task to a worker, which is busy."""
    busy = SimpleNamespace(is_alive=lambda: True)
    executor.activity_queue, executor.workers, executor._unread_messages = SimpleQueue(), {1: busy}, Value("I")
    executor.queued_tasks[task.key] = SimpleNamespace(key=task.key)
    executor._process_workloads([executor.queued_tasks[task.key]])
