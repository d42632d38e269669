"""
# Watch models

**Makes** the day's `checks` and `findings`, the day's point on the Evidently dashboards, and the report of the day's attribution
(`home/reports/`; skipped for days without events; marked as held where a finding says to publish nothing).
It looks at the labels of challengers that are on their way (`registry/rollout.toml`), and writes the step that follows.
It acts on what findings ask for, the quickest remedy first: `recalibrate-wanted` starts `recalibrate_models`, `retrain-wanted` starts
`retrain_rankers`, a champion is taken back where `[monitoring] rollback` is automatic; and it tells those whom the settings name.

**Owner** ml-platform. **Partition key** a day or a range of days; started by the `credits` of the same key.

**When it is red** the watcher itself is broken, not the models: read the log, mend it, clear the run. The day's findings and its
dashboard point are replaced, never doubled, and nobody is told twice. A day with alarming findings is green here; look at the dashboards.
If `tell` alone is red, the day was watched, and a message did not get through: `whence alert test` says why.
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
from airflow.sdk.exceptions import AirflowSkipException

from whence.contracts.settings import load

LATE = timedelta(hours=load().monitoring.late_hours)

with DAG(
    dag_id="watch_models",
    schedule=PartitionedAssetTimetable(assets=Asset("credits", "x-whence://credits")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "monitoring"],
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

    @task
    def collect() -> dict[str, Any]:
        from serving.daily.batch import collect_online
        from whence.contracts.times import Window

        return asdict(collect_online(load(), Window.parse(get_current_context()["dag_run"].partition_key)))

    @task
    def watch() -> dict[str, list[str]]:
        from datetime import UTC, datetime

        from monitoring import watch
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        found = watch(load(), window, now=datetime.now(UTC)).wants
        return {level: list(models) for level, models in found.items()}

    @task
    def move_rollouts_on() -> dict[str, str]:
        from datetime import UTC, datetime

        from monitoring import outcomes
        from serving.rollouts.labelling import look_at_labels
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        return look_at_labels(load(), window, outcomes, now=datetime.now(UTC))

    @task
    def report() -> dict[str, Any]:
        from datetime import UTC, datetime

        from monitoring import report as make
        from monitoring.attribution_report.kept import ReportError
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        try:
            return make(load(), window, now=datetime.now(UTC)).as_dict()
        except ReportError as nothing:
            raise AirflowSkipException(str(nothing)) from None

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_recalibration_wanted(wanted: dict[str, list[str]]) -> bool:
        return "recalibrate" in wanted

    @task(outlets=[Asset("recalibrate-wanted", "x-whence://recalibrate-wanted")])
    def ask_for_recalibration() -> None: ...

    @task.short_circuit(trigger_rule="none_failed")
    def is_retrain_wanted(wanted: dict[str, list[str]]) -> bool:
        return "retrain" in wanted

    @task(outlets=[Asset("retrain-wanted", "x-whence://retrain-wanted")])
    def ask_for_retraining() -> None: ...

    @task
    def roll_back(wanted: dict[str, list[str]]) -> dict[str, str]:
        from datetime import UTC, datetime

        from monitoring.acting import roll_back
        from whence.contracts.times import Window

        if "rollback" not in wanted:
            raise AirflowSkipException("No finding asks for a rollback.")
        day = Window.parse(get_current_context()["dag_run"].partition_key).last
        return roll_back(load(), day, wanted["rollback"], now=datetime.now(UTC))

    @task
    def tell() -> dict[str, Any]:
        from datetime import UTC, datetime

        from monitoring.alerts import send
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        return send(load(), window, now=datetime.now(UTC)).as_dict()

    collect() >> (wanted := watch()) >> [report(), tell()]
    is_recalibration_wanted(wanted) >> ask_for_recalibration() >> is_retrain_wanted(wanted) >> ask_for_retraining()
    roll_back(wanted)
    move_rollouts_on()
