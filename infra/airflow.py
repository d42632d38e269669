"""Talks to Airflow over its REST API: starts runs for a window of days, and waits until they have ended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from infra import platform
from whence.contracts.settings import Settings
from whence.contracts.times import Window

ENDED = ("success", "failed")


class RunFailed(RuntimeError):
    """A DAG run ended badly or not at all; the message names the task and where its log is."""


@dataclass(frozen=True)
class Run:
    """One DAG run."""

    dag: str
    run_id: str
    key: str
    state: str
    seconds: float | None


@dataclass
class Airflow:
    """A signed-in client of the platform's Airflow."""

    settings: Settings
    attempts: int = 20
    """How often a request is tried before it is given up."""
    timeout: float = 30.0
    """Seconds that an answer may take."""
    _token: str = ""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{platform.LOOPBACK}:{self.settings.ports.airflow}"

    def dags(self) -> tuple[str, ...]:
        """The names of the DAGs that Airflow has parsed."""
        return tuple(sorted(each["dag_id"] for each in self.call("GET", "/api/v2/dags", params={"limit": 100})["dags"]))

    def import_errors(self) -> tuple[str, ...]:
        """What kept DAG files from being parsed."""
        errors = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return tuple(f"{each['filename']}: {each['stack_trace']}" for each in errors)

    def trigger(self, dag: str, window: Window, **conf: Any) -> str:
        """Start a run of a DAG for a window of days; the run's id, which is ours, so that to ask twice starts it once."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}_{secrets.token_hex(4)}"
        body = {"dag_run_id": run_id, "logical_date": None, "partition_key": str(window), "conf": conf}
        self.call("POST", f"/api/v2/dags/{dag}/dagRuns", is_once=True, json=body)
        return run_id

    def runs(self, dag: str) -> tuple[Run, ...]:
        """A DAG's runs, newest first."""
        found = self.call("GET", f"/api/v2/dags/{dag}/dagRuns", params={"limit": 100, "order_by": "-run_after"})
        return tuple(
            Run(
                dag,
                each["dag_run_id"],
                each["partition_key"] or (each["conf"] or {}).get("days") or "",
                each["state"],
                each["duration"],
            )
            for each in found["dag_runs"]
        )

    def tasks(self, run: Run) -> list[dict[str, Any]]:
        """The task instances of a run, as Airflow gives them."""
        found = self.call("GET", f"/api/v2/dags/{run.dag}/dagRuns/{run.run_id}/taskInstances")
        tasks: list[dict[str, Any]] = found["task_instances"]
        return tasks

    def wait(
        self,
        dag: str,
        *,
        run_id: str = "",
        key: str = "",
        after: frozenset[str] = frozenset(),
        seconds: float = 300,
        tick: Callable[[], None] = lambda: None,
    ) -> Run:
        """Wait for the run with this id, or for a run with this partition key that is not among `after`.

        Raises RunFailed when it fails or does not end in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            match = next(
                (r for r in self.runs(dag) if r.run_id == run_id or (not run_id and r.key == key and r.run_id not in after)), None
            )
            if match and match.state in ENDED:
                if match.state == "failed":
                    raise RunFailed(self._why(match))
                return match
            if time.monotonic() > deadline:
                state = match.state if match else "not started"
                raise RunFailed(
                    f"{dag} for {key or run_id} has not ended after {seconds:.0f} s ({state}). {self._why(match) if match else ''}"
                )
            tick()
            time.sleep(0.4)

    def _why(self, run: Run) -> str:
        bad = [each for each in self.tasks(run) if each["state"] in ("failed", "upstream_failed", "up_for_retry")]
        names = ", ".join(sorted({each["task_id"] for each in bad})) or "no task"
        logs = self.settings.home / "airflow" / "logs" / f"dag_id={run.dag}"
        return f"{run.dag} ({run.key}): {names} failed. Its log is under {logs}, and in the Airflow page of the run."

    def call(self, method: str, path: str, *, is_once: bool = False, **how: Any) -> Any:
        """One request; signs in when needed, and tries again while the server restarts or answers 5xx.

        A POST that failed is tried again only where `is_once` says that doing it twice does it once: a conflict then means that it was done.
        """
        for attempt in range(self.attempts):
            try:
                if not self._token:
                    self._sign_in()
                headers = {"Authorization": f"Bearer {self._token}"}
                answer = httpx.request(method, f"{self.address}{path}", headers=headers, timeout=self.timeout, **how)
            except httpx.TransportError:
                if attempt + 1 < self.attempts:
                    time.sleep(0.5)
                continue
            if answer.status_code == 401:
                self._token = ""
            elif answer.status_code < 400:
                return answer.json()
            elif answer.status_code == 409 and is_once and attempt:
                return {}
            elif answer.status_code < 500:
                raise RunFailed(f"Airflow refused {method} {path}: {answer.text[:500]}")
            elif method == "POST" and not is_once:
                raise RunFailed(f"Airflow failed on {method} {path}: {answer.text[:500]}")
            time.sleep(0.2 * (attempt + 1))
        raise RunFailed(f"Airflow does not answer {method} {path}. See `whence status`.")

    def _sign_in(self) -> None:
        body = {"username": "admin", "password": platform.airflow_password(self.settings)}
        answer = httpx.post(f"{self.address}/auth/token", json=body, timeout=self.timeout)
        if answer.status_code >= 500:
            raise httpx.ConnectError(f"signing in failed: {answer.text[:200]}")
        answer.raise_for_status()
        self._token = str(answer.json()["access_token"])
