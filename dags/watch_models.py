"""
# Watch models

**Makes** the day's `checks` and `findings`, the day's point on the Evidently dashboards, and the report of the day's attribution
(`home/reports/`; skipped for days without events).
It looks at the labels of challengers that are on their way (`registry/rollout.toml`), and writes the step that follows.
When a finding says so, it asks for a retraining: the asset event `retrain-wanted` starts `retrain_rankers`.

**Owner** ml-platform. **Partition key** a day or a range of days; started by the `credits` of the same key.

**When it is red** the watcher itself is broken, not the models: read the log, mend it, clear the run. The day's findings and its
dashboard point are replaced, never doubled. A day with alarming findings is green here; look at the dashboards.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

with DAG(
    dag_id="watch_models",
    schedule=PartitionedAssetTimetable(assets=Asset("credits", "x-whence://credits")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "monitoring"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
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
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        return asdict(collect_online(load(), Window.parse(get_current_context()["dag_run"].partition_key)))

    @task
    def watch() -> bool:
        from datetime import UTC, datetime

        from monitoring import watch
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        return watch(load(), window, now=datetime.now(UTC)).wants_retrain

    @task
    def move_rollouts_on() -> dict[str, str]:
        from datetime import UTC, datetime

        from monitoring import outcomes
        from serving.rollouts.labelling import look_at_labels
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        return look_at_labels(load(), window, outcomes, now=datetime.now(UTC))

    @task
    def report() -> dict[str, Any]:
        from datetime import UTC, datetime

        from monitoring import report as make
        from monitoring.attribution_report.kept import ReportError
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        window = Window.parse(get_current_context()["dag_run"].partition_key)
        try:
            return make(load(), window, now=datetime.now(UTC)).as_dict()
        except ReportError as nothing:
            raise AirflowSkipException(str(nothing)) from None

    @task.short_circuit
    def is_retrain_wanted(wanted: bool) -> bool:
        return wanted

    @task(outlets=[Asset("retrain-wanted", "x-whence://retrain-wanted")])
    def ask_for_retraining() -> None: ...

    collect() >> (wanted := watch())
    is_retrain_wanted(wanted) >> ask_for_retraining()
    move_rollouts_on()
    report()
