"""
# Retrain rankers

**Makes** a candidate of each model, trained on what was known at the end of the partition's last day, and registers it in MLflow
with its parameters, data versions, measures and plots. Nothing is promoted here.

**Owner** ml-platform. **Partition key** a day or a range of days (the last day counts); started by `retrain-wanted`, or on request.
The run's configuration may hold `{"drill": "shuffled_labels"}`: a candidate spoiled on purpose, to see the gate refuse it.

**When a model is skipped** it has too few labels yet; the task's log says how many came and how many are needed.

**When it is red** read the log of the model that failed, mend it, clear the run. The same day gives the same
bundle, byte for byte, and a candidate is registered once however often this runs.
"""

from dataclasses import asdict
from datetime import timedelta

from airflow.sdk import DAG, Asset, Param, PartitionedAssetTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from whence.contracts.models import MODELS

with DAG(
    dag_id="retrain_rankers",
    schedule=PartitionedAssetTimetable(assets=Asset("retrain-wanted", "x-whence://retrain-wanted")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "training"],
    params={
        "drill": Param(
            None, type=["null", "string"], enum=[None, "shuffled_labels"], description="Spoil the candidates on purpose."
        )
    },
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args={
        "owner": "ml-platform",
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(hours=2),
    },
) as dag:

    @task(map_index_template="{{ task.op_kwargs['model'] }}")
    def train(model: str) -> dict[str, str]:
        from training import train
        from training.errors import TooFewLabels
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        context = get_current_context()
        as_of = Window.parse(context["dag_run"].partition_key).last
        try:
            return asdict(train(load(), model, as_of, drill=context["params"]["drill"] or ""))
        except TooFewLabels as few:
            raise AirflowSkipException(str(few)) from None

    @task(trigger_rule="none_failed_min_one_success", outlets=[Asset("candidates", "x-whence://candidates")])
    def register(candidates: list[dict[str, str]]) -> list[dict[str, str]]:
        from registry import register
        from whence.contracts.models import Candidate
        from whence.contracts.settings import load

        return [register(load(), Candidate(**candidate)) for candidate in candidates]

    register(train.expand(model=list(MODELS)))
