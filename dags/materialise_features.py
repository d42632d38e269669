"""
# Materialise features

**Makes** the five feature tables of the day, and puts them into the Feast online store.

**Owner** ml-platform. **Partition key** a day or a range of days; started by the `persons` of the same key.

**When it is red** look whether the online store answers (`whence doctor`). Nothing is lost: the tables are replaced by day, and the online
store takes a value only when it is newer than what it has, so clear the run.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    DeadlineAlert,
    DeadlineReference,
    PartitionedAssetTimetable,
    SyncCallback,
    get_current_context,
    task,
)

from whence.contracts.settings import load

LATE = timedelta(hours=load().monitoring.late_hours)

with DAG(
    dag_id="materialise_features",
    schedule=PartitionedAssetTimetable(assets=Asset("persons", "x-whence://persons")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "features"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    deadline=DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, LATE, SyncCallback("monitoring.alerts.late")),
    default_args={
        "owner": "ml-platform",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(hours=1),
    },
) as dag:

    @task(outlets=[Asset("features", "x-whence://features")])
    def materialise() -> dict[str, Any]:
        from features import materialise
        from whence.contracts.times import Window

        return asdict(materialise(load(), Window.parse(get_current_context()["dag_run"].partition_key)))

    materialise()
