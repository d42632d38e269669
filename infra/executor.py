"""Airflow's LocalExecutor, whose tasks find the large libraries loaded: a task is a fork, and loading them in each took longer than most tasks."""

from __future__ import annotations

import importlib
import warnings

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


class LocalExecutor(local_executor.LocalExecutor):  # type: ignore[misc]  # Airflow has no types
    """Airflow's own, which has loaded LIBRARIES before its workers are forked. Airflow takes one of another name for a cluster's."""

    def start(self) -> None:
        """Load the libraries, and start the workers."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their own dependencies; nothing that we could change
            for name in LIBRARIES:
                importlib.import_module(name)
        super().start()
