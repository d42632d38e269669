"""
# Recalibrate models

**Makes** a candidate of each model whose probabilities labels can check: the champion's trees unchanged, with a calibrator that is
fitted to the newest ripe labels of its own decisions. It takes seconds. The candidate goes to the gate, which judges a recalibration by
rules of its own (`recalibration_closes` in `registry/policy.toml`); `judge_and_promote` promotes it or says why not.

**Owner** ml-platform. **Partition key** a day or a range of days (the last day counts); started by `recalibrate-wanted`, or on request.
The run's configuration may hold `{"models": ["conversion-value"]}`; without, they are those that the day's findings ask for, and
all that can be recalibrated where none asks.

**When a model is skipped** it has no champion, or too few ripe labels since it was trained; the task's log says how many came.

**When it is red** read the log of the model that failed, mend it, clear the run. The same day gives the same bundle,
and a candidate is registered once however often this runs.
"""

from dataclasses import asdict
from datetime import timedelta

from airflow.sdk import DAG, Asset, Param, PartitionedAssetTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from whence.contracts.models import LABELLED

with DAG(
    dag_id="recalibrate_models",
    schedule=PartitionedAssetTimetable(assets=Asset("recalibrate-wanted", "x-whence://recalibrate-wanted")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "training"],
    params={
        "models": Param(
            None,
            type=["null", "array"],
            items={"enum": list(LABELLED)},
            examples=list(LABELLED),
            description="Which ones; as findings ask by default.",
        )
    },
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args={
        "owner": "ml-platform",
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=20),
    },
) as dag:

    @task(map_index_template="{{ task.op_kwargs['model'] }}")
    def recalibrate(model: str) -> dict[str, str]:
        from monitoring import labels
        from monitoring.acting import wanted
        from registry import champion
        from training import recalibrate
        from training.errors import TooFewLabels
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        context = get_current_context()
        settings, as_of = load(), Window.parse(context["dag_run"].partition_key).last
        if model not in (context["params"]["models"] or wanted(settings, as_of, "recalibrate") or LABELLED):
            raise AirflowSkipException(f"{model} was not asked for.")
        serving = champion(settings, model)
        if serving is None:
            raise AirflowSkipException(f"{model} has no champion yet.")
        try:
            return asdict(recalibrate(settings, model, as_of, serving.bundle, labels))
        except TooFewLabels as few:
            raise AirflowSkipException(str(few)) from None

    @task(trigger_rule="none_failed_min_one_success", outlets=[Asset("candidates", "x-whence://candidates")])
    def register(candidates: list[dict[str, str]]) -> list[dict[str, str]]:
        from registry import register
        from whence.contracts.models import Candidate
        from whence.contracts.settings import load

        return [register(load(), Candidate(**candidate)) for candidate in candidates]

    register(recalibrate.expand(model=list(LABELLED)))
