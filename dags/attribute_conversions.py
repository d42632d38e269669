"""
# Attribute conversions

**Makes** the `credits` of the day's conversions, a set for each algorithm, and the `decisions` of the models that took part.

**Owner** attribution. **Partition key** a day or a range of days; started by the `features` of the same key.

**When it is red** the log names the conversion and what is wrong with it. Credits of a day are replaced as a whole and a finished day stays
with the champion that first credited it: clear the run.
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
    dag_id="attribute_conversions",
    schedule=PartitionedAssetTimetable(assets=Asset("features", "x-whence://features")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "attribution"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    deadline=DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, LATE, SyncCallback("monitoring.alerts.late")),
    default_args={
        "owner": "attribution",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(hours=1),
    },
) as dag:

    @task(outlets=[Asset("credits", "x-whence://credits")])
    def attribute() -> dict[str, Any]:
        from serving.daily.batch import attribute_conversions
        from whence.contracts.times import Window

        return asdict(attribute_conversions(load(), Window.parse(get_current_context()["dag_run"].partition_key)))

    attribute()
