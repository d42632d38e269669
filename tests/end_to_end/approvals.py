"""What a platform's Airflow asks of a person before a promotion, and the answers, over its API."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import registry
from infra import drills
from infra.airflow import Airflow, Run, RunFailed
from whence.contracts.models import Candidate
from whence.contracts.settings import Settings
from whence.contracts.times import Window

DAG = "judge_and_promote"
PATIENCE = 120.0


@dataclass
class Approvals:
    """The approvals of one model's promotions."""

    airflow: Airflow
    model: str

    @contextmanager
    def asked_for(self) -> Iterator[None]:
        """While it lasts, the platform's own policy lets a person approve the model's promotions, and its Airflow knows."""
        policy = self.airflow.settings.home / "policy.toml"
        policy.write_text(f'[{self.model}]\napproval = "person"\n')
        try:
            self._read_again(is_asked=True)
            yield
        finally:
            policy.unlink()
            self._read_again(is_asked=False)

    def judge(self, day: str) -> Run:
        """Start the DAG for a day."""
        run_id = self.airflow.trigger(DAG, Window.parse(day))
        return next(run for run in self.airflow.runs(DAG) if run.run_id == run_id)

    def question(self, run: Run) -> dict[str, Any]:
        """What the run asks, once it waits for an answer."""
        until(lambda: self.states(run).get(f"approve_{self.model}") == "awaiting_input")
        (found,) = self.airflow.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run.run_id}/hitlDetails")["hitl_details"]
        question: dict[str, Any] = found
        return question

    def answer(self, run: Run, option: str) -> dict[str, str]:
        """Answer, and wait for the run's end; the states of its tasks then."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run.run_id}/taskInstances/approve_{self.model}/-1/hitlDetails"
        self.airflow.call("PATCH", path, json={"chosen_options": [option]})
        self.airflow.wait(DAG, run_id=run.run_id, seconds=PATIENCE)
        return self.states(run)

    def states(self, run: Run) -> dict[str, str]:
        """The states of a run's tasks."""
        return {each["task_id"]: each["state"] for each in self.airflow.tasks(run)}

    def _read_again(self, *, is_asked: bool) -> None:
        """Have the DAG's file read now, for the policy that it is made from has changed.

        Asked for again and again: Airflow reads it, and for 30 s after it wrote a DAG down does not write it down anew.
        """
        token = self.airflow.call("GET", f"/api/v2/dags/{DAG}")["file_token"]

        def has_read() -> bool:
            with suppress(RunFailed):  # it was asked for a moment ago, and was not done yet
                self.airflow.call("PUT", f"/api/v2/parseDagFile/{token}")
            return is_asked == (f"approve_{self.model}" in self._tasks())

        until(has_read, pause=3.0)

    def _tasks(self) -> set[str]:
        return {each["task_id"] for each in self.airflow.call("GET", f"/api/v2/dags/{DAG}/tasks")["tasks"]}


def like_the_champion(settings: Settings, model: str) -> Candidate:
    """A candidate with the champion's trees, level and held-out rows, and a bundle of its own, which has not had its turn."""
    champion = registry.champion(settings, model)
    assert champion is not None
    (folder,) = settings.candidates.glob(f"{model}/*/{champion.bundle}")
    digest = drills.shifted(settings, champion.bundle, 0.0)
    shutil.copytree(folder, folder.parent / digest, ignore=shutil.ignore_patterns("verdict*", "candidate.json"))
    return Candidate(model, digest, folder.parent.name, str(folder.parent / digest))


def until(is_so: Callable[[], bool], pause: float = 0.2) -> None:
    """Return once it is so; raises AssertionError after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s"
        time.sleep(pause)
