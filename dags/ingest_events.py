"""
# Ingest events

**Makes** the day's `touches`, `conversions` and `sightings`, the `quarantine` of what broke the contract, and `ingest_counts`;
then the day's `checks` and `findings` about these tables, before anything learns from them. A day with a finding at `stop` is left
out of training, and the gate reads the findings.

Days before it that were taken in, and of whose rows some came or changed since in files, are taken in again; the first task's answer
names them as `late`. They, and the days between them and this one, whose credit may rest on them, go through the DAGs behind
this one again under keys of their own, named as `again`.

**Owner** data platform. **Partition key** a day (`2026-05-03`) or a range of days (`2026-05-01..2026-05-10`). Airflow's *Trigger* asks
for no key where no cron gives one (`ingest_cron`): write the same under *days* there. The DAGs behind this one start by themselves.

**When it is red** read the task's log: the message names the file, the row or field, and what to do. A file that cannot be read
stops the run and writes nothing; single bad rows do not, they wait in `quarantine`. Fix the source and clear the run:
the days are replaced as a whole, so running it again is always safe. A day with alarming findings is green: what they say to do
is in their words. When `check_data` is red, the checks themselves are broken, not the data.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    PartitionedAtRuntime,
    SyncCallback,
    get_current_context,
    task,
)

from whence.contracts.settings import load

EVENTS = Asset("events", "x-whence://events")
DAYS = "{{ dag_run.partition_key or params.days or '' }}"
CRON, LATE = load().ingest_cron, timedelta(hours=load().monitoring.late_hours)

with DAG(
    dag_id="ingest_events",
    schedule=CronPartitionTimetable(CRON, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
    if CRON
    else PartitionedAtRuntime(),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "events"],
    params={
        "days": Param(
            None,
            type=["null", "string"],
            pattern=r"^\s*\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?\s*$",
            description="What to ingest: a day, 2026-05-03, or a range, 2026-05-01..2026-05-10. A partition key, where there is one, goes before it.",
        )
    },
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    deadline=DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, LATE, SyncCallback("monitoring.alerts.late")),
    default_args={
        "owner": "data-platform",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(hours=1),
    },
) as dag:

    @task
    def ingest(days: str) -> dict[str, Any]:
        from whence.contracts.times import Window
        from whence.ingest import days_to_repeat, ingest, late_days

        window = Window.parse(days)
        report = ingest(load(), window)
        late = late_days(load(), window)
        for each in late:
            ingest(load(), each)
        again = days_to_repeat(load(), late, window)
        return {**asdict(report), "late": [str(each) for each in late], "again": [str(each) for each in again]}

    @task(outlets=[EVENTS])
    def check_data(ingested: dict[str, Any], days: str) -> dict[str, Any]:
        from datetime import UTC, datetime

        from monitoring import check_data
        from whence.contracts.times import Window

        keys = [*ingested["again"], str(Window.parse(days))]
        found = [check_data(load(), Window.parse(key), now=datetime.now(UTC)) for key in keys]
        get_current_context()["outlet_events"][
            EVENTS
        ].partition_keys = keys  # as `add_partitions` does, but in order: older days go first
        return found[-1].as_dict()

    check_data(ingest(DAYS), DAYS)
