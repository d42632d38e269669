"""
# Resolve identities

**Makes** the day's `persons`: whose each identifier is, from exact links and from the champion `identity-ranker`;
its `decisions`; and every change of who is who in the ledger `person_events`, with two times.

**Owner** identity. **Partition key** a day or a range of days; started by the `events` of the same key.

**When it is red** the day before must be resolved and materialised first: run `materialise_features` for it, then clear this run.
A finished day stays with the champion that it was first resolved with, so a rerun changes nothing. `OverMerged` means that the day
would bring too many people together, and nothing of it was published: look with `whence resolve DAY --dry-run`; if it is right,
`whence resolve DAY --force "why"`, then clear this run.
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
    dag_id="resolve_identities",
    schedule=PartitionedAssetTimetable(assets=Asset("events", "x-whence://events")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "identity"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    deadline=DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, LATE, SyncCallback("monitoring.alerts.late")),
    default_args={
        "owner": "identity",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(hours=1),
    },
) as dag:

    @task(outlets=[Asset("persons", "x-whence://persons")])
    def resolve() -> dict[str, Any]:
        from serving.daily.batch import resolve_identities
        from whence.contracts.times import Window

        return asdict(resolve_identities(load(), Window.parse(get_current_context()["dag_run"].partition_key)))

    resolve()
