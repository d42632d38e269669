"""Airflow's LocalExecutor, whose tasks find the large libraries loaded, and which knows what its workers have.

A task is a fork, and loading the libraries in each took longer than most tasks.
"""

from __future__ import annotations

import importlib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from airflow.executors import local_executor

LIBRARIES = (
    "pandas",
    "pyarrow.dataset",
    "duckdb",
    "ibis.backends.duckdb",
    "lightgbm",
    "feast",
    "mlflow.tracking.client",
    "mlflow.store.tracking.rest_store",
    "mlflow.store.model_registry.rest_store",
    "matplotlib.pyplot",
    "evidently.metrics",
)
"""None of ours, so that a change of our code holds from the next task on; and none whose threads a fork would lose (deltalake)."""

ENDED = ("success", "failed")


class LocalExecutor(local_executor.LocalExecutor):  # type: ignore[misc]  # Airflow has no types
    """Airflow's own, which has loaded LIBRARIES before its workers are forked. Airflow takes one of another name for a cluster's.

    Airflow's forgets a task as soon as a worker has it. One that a person answers goes to a worker again while the one that
    asked is still ending: its end was then taken for a killed task's, the question was asked once more, and the answer lost.
    """

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._with_workers: Counter[Any] = Counter()

    def start(self) -> None:
        """Load the libraries, and start the workers."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their own dependencies; nothing that we could change
            for name in LIBRARIES:
                importlib.import_module(name)
        super().start()

    def has_task(self, task_instance: Any) -> bool:
        """Whether it waits for a worker, or one has it and has not told its end."""
        return bool(super().has_task(task_instance) or self._with_workers[task_instance.key])

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Take note of what a worker tells."""
        if state in ENDED and self._with_workers[key]:
            self._with_workers[key] -= 1
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._with_workers += Counter(each.key for each in workload_list)  # what is at nought is left out
        super()._process_workloads(workload_list)
