"""
# Judge and promote

**Makes** a verdict, in words, on every candidate of the partition's last day; those that pass become champion: a row in the promotion
journal, and then the alias `champion` in MLflow. The scoring service follows the journal within seconds.

**Owner** ml-platform. **Partition key** a day or a range of days (the last day counts); started by the `candidates` of the same key.

**When it waits for an answer** the policy of a model says `approval = "person"` (`registry/policy.toml`, or `policy.toml` in the platform's
home): its verdict stands under *Required Actions*, and who approves it is named in the journal. No answer in time is a no. Later days
wait behind it.

**When it is red** the gate could not come to a verdict (a refusal is a green run): the log says what is missing. Running it again judges
the same rows and promotes nothing twice. To take a champion back: `whence rollback MODEL --reason WHY`.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, get_current_context, task

from registry.policy import asks_a_person
from whence.contracts.settings import load

CHAMPIONS = Asset("champions", "x-whence://champions")
ASKED = asks_a_person(load().home)

with DAG(
    dag_id="judge_and_promote",
    schedule=PartitionedAssetTimetable(assets=Asset("candidates", "x-whence://candidates")),
    catchup=False,
    doc_md=__doc__,
    tags=["whence", "registry"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1 + max(ASKED.values(), default=0.0)),
    default_args={
        "owner": "ml-platform",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=30),
    },
) as dag:

    @task(outlets=[CHAMPIONS])
    def judge_and_promote() -> dict[str, str]:
        from datetime import UTC, datetime

        from registry import judge_and_promote
        from whence.contracts.times import Window

        as_of = Window.parse(get_current_context()["dag_run"].partition_key).last
        return judge_and_promote(load(), as_of, who="airflow", now=datetime.now(UTC))

    @task.short_circuit
    def is_waiting(model: str) -> dict[str, str]:
        from registry.approvals import waiting
        from whence.contracts.times import Window

        return waiting(load(), model, Window.parse(get_current_context()["dag_run"].partition_key).last)

    @task(outlets=[CHAMPIONS])
    def promote_approved(model: str, asked: dict[str, str], answer: dict[str, Any]) -> str:
        from datetime import UTC, datetime

        from registry.approvals import approve
        from whence.contracts.times import Window

        as_of = Window.parse(get_current_context()["dag_run"].partition_key).last
        who = answer["responded_by_user"]["name"]
        return approve(load(), model, as_of, asked["verdict"], who, now=datetime.now(UTC))

    judged = judge_and_promote()
    for model, hours in ASKED.items():
        asked = is_waiting.override(task_id=f"is_waiting_{model}")(model)
        pulled = f"{{{{ ti.xcom_pull(task_ids='is_waiting_{model}')['%s'] }}}}"
        answer = ApprovalOperator(
            task_id=f"approve_{model}",
            subject=pulled % "subject",
            body=pulled % "body",
            defaults=ApprovalOperator.REJECT,
            response_timeout=timedelta(hours=hours),
            execution_timeout=None,
        )
        judged >> asked >> answer
        promote_approved.override(task_id=f"promote_{model}")(model, asked, answer.output)
