"""
# Judge and promote

**Makes** a verdict, in words, on every candidate of the partition's last day; those that pass become champion: a row in the promotion
journal, and then the alias `champion` in MLflow. The scoring service follows the journal within seconds.

**Owner** ml-platform. **Partition key** a day or a range of days (the last day counts); started by the `candidates` of the same key.

**When it is red** the gate could not come to a verdict (a refusal is a green run): the log says what is missing. Running it again judges
the same rows and promotes nothing twice. To take a champion back: `whence rollback MODEL`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, get_current_context, task

with DAG(
    dag_id="judge_and_promote",
    schedule=PartitionedAssetTimetable(assets=Asset("candidates", "x-whence://candidates")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "registry"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args={
        "owner": "ml-platform",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=30),
    },
) as dag:

    @task(outlets=[Asset("champions", "x-whence://champions")])
    def judge_and_promote() -> dict[str, str]:
        from datetime import UTC, datetime

        from registry import judge_and_promote
        from whence.contracts.settings import load
        from whence.contracts.times import Window

        as_of = Window.parse(get_current_context()["dag_run"].partition_key).last
        return judge_and_promote(load(), as_of, who="airflow", now=datetime.now(UTC))

    judge_and_promote()
