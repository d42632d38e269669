"""The archive for people, in MLflow: every candidate with its report, and every verdict in words.

Nothing here decides. Every function may run twice, also at the same time, and leaves the same.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from registry import verdict_page
from registry.aliases import BUNDLE, description, links
from registry.gate import Verdict
from whence.bundle import bundle_files
from whence.contracts.models import Candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from whence.contracts.settings import Settings

CANDIDATE, AS_OF, DRILL = "whence.candidate", "as_of", "drill"
VERDICT, REASONS = "verdict", "reasons"
NOTE = "mlflow.note.content"
MOST_TEXT = 4900
"""MLflow refuses longer tags."""
TRIES = 4
WIDE = "&emsp;"
PRIVATE = ("test.parquet", "learned.parquet", "retrieved.parquet", "candidate.json", "verdict.json", "timing.json")
"""Held-out rows are about people and stay at home; the rest is written to MLflow in another form."""
LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # the defaults hold a task for many minutes when the server is a black hole
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


P = ParamSpec("P")
R = TypeVar("R")


class StoreError(RuntimeError):
    """MLflow did not keep what it was given."""


def _spoken(ask: Callable[P, R]) -> Callable[P, R]:
    """With what MLflow says of its own as a StoreError, which says what to do.

    Of several who write the same at once its database refuses all but one (BAD_REQUEST): they ask again, and find it written.
    """

    @wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        tries = 0
        while True:
            tries += 1
            try:
                return ask(*args, **kwargs)
            except Exception as wrong:
                from mlflow.exceptions import MlflowException  # here, since `_client` tames what its import does

                if not isinstance(wrong, MlflowException):
                    raise
                if wrong.error_code == "BAD_REQUEST" and tries < TRIES:
                    continue
                raise StoreError(
                    f"MLflow does not answer, or refused: {str(wrong)[:300]} … `whence status` says whether it runs, and "
                    "`whence up` starts it. Then run this again; what is done is not done twice."
                ) from wrong

    return asked


@_spoken
def log_candidate(settings: Settings, candidate: Candidate) -> str:
    """The number of the candidate's model version; made, with its run, when there is none yet."""
    client = _client(settings)
    if found := _versions(client, candidate.model, CANDIDATE, _key(candidate)):
        return str(found[0].version)
    run = _run(client, candidate)
    _log_report(client, run, settings, candidate)
    describe = partial(
        client.create_registered_model, candidate.model, description=description(candidate.model, settings.front_url)
    )
    _unless_done(describe, "RESOURCE_ALREADY_EXISTS")
    client.create_model_version(
        candidate.model,
        source=f"{client.get_run(run).info.artifact_uri}/bundle",
        run_id=run,
        tags={CANDIDATE: _key(candidate), BUNDLE: candidate.bundle, AS_OF: candidate.as_of, DRILL: candidate.drill or "none"},
        description=_describe(candidate),
        await_creation_for=0,
    )
    return _settle(client, candidate)


@_spoken
def log_verdict(settings: Settings, candidate: Candidate, verdict: Verdict) -> None:
    """Write the verdict beside the candidate: in words on its version; in full, and as a page with plots, on its run."""
    client = _client(settings)
    version = _version_of(client, candidate)
    text = verdict_words(candidate, verdict)
    told = f"{links(candidate.model, settings.front_url)}\n\n{text}"
    client.log_text(version.run_id, text, "verdict.md")
    client.log_text(version.run_id, verdict_page.html(candidate, verdict), "verdict.html")
    client.log_text(version.run_id, json.dumps(verdict.as_dict(), indent=1, ensure_ascii=False), "verdict.json")
    numbers = {f"gate.{name}": measure.as_dict() for name, measure in verdict.measures.items()}
    client.log_batch(
        version.run_id, metrics=list(_metrics(numbers, candidate)), tags=_run_tags({VERDICT: verdict.decision, NOTE: told})
    )
    for name, value in (
        (VERDICT, verdict.decision),
        (REASONS, "\n".join(verdict.reasons)),
        ("against", verdict.champion or "none"),
        ("verdict_sha256", verdict.digest),
        ("policy_sha256", str(verdict.basis.get("policy", ""))),
    ):
        client.set_model_version_tag(candidate.model, str(version.version), name, value[:MOST_TEXT])
    client.update_model_version(candidate.model, str(version.version), f"{_describe(candidate)}\n\n{told}"[:MOST_TEXT])


def verdict_words(candidate: Candidate, verdict: Verdict) -> str:
    """The verdict as a page for people, in Markdown."""
    against = f"the champion `{verdict.champion[:12]}`" if verdict.champion else "no champion"
    head = f"## {verdict.decision.replace('_', ' ').capitalize()}\n\nCandidate `{candidate.bundle[:12]}` of {candidate.model}"
    spoiled = f" It was spoiled on purpose: {candidate.drill}." if candidate.drill else ""
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    checks = [(check.name, check.outcome, check.words) for check in verdict.checks]
    numbers = [(name, f"{m.value:.4f} (95 %: {m.low:.4f} to {m.high:.4f})", f"{m.n:,}") for name, m in verdict.measures.items()]
    parts = [f"{head}, as of {candidate.as_of}, against {against}.{spoiled}", reasons]
    if checks:
        parts.append(_table(("check", "outcome", "in words"), checks))
    if numbers:
        parts.append("### Measures\n\n" + _table(("measure", "value", "rows"), numbers))
    return "\n\n".join(parts) + "\n"


def _table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown, whose columns a wide space keeps apart: MLflow shows tables without any."""
    lines = [names, *rows]
    told = [f"| {' | '.join(f'{cell}{WIDE}' for cell in line[:-1])} | {line[-1]} |" for line in lines]
    return "\n".join([told[0], "|---" * len(names) + "|", *told[1:]])


def _client(settings: Settings) -> MlflowClient:
    for name, value in LIMITS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # whatever was set: nobody here needs one
    _ask_nobody_for_headers()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings.mlflow_url, registry_uri=settings.mlflow_url)


def _ask_nobody_for_headers() -> None:
    """Let MLflow's client take its own request headers alone.

    It loads whoever offers it some, and Feast does: some 5 CPU seconds in every process that speaks to MLflow, for a token
    that we do not use.
    """
    from mlflow.utils import plugins

    offered = plugins.get_entry_points
    plugins.get_entry_points = lambda _: []
    try:
        import mlflow.tracking.request_header.registry  # noqa: F401  # asks when it is imported, once
    finally:
        plugins.get_entry_points = offered


def _key(candidate: Candidate) -> str:
    return f"{candidate.bundle}:{candidate.as_of}:{candidate.drill or 'none'}"


def _versions(client: MlflowClient, model: str, tag: str, value: str) -> list[ModelVersion]:
    """Versions with the tag, oldest first."""
    found = client.search_model_versions(f"name = '{model}' and tags.`{tag}` = '{value}'")
    return sorted(found, key=lambda each: int(each.version))


def _version_of(client: MlflowClient, candidate: Candidate) -> ModelVersion:
    found = _versions(client, candidate.model, CANDIDATE, _key(candidate))
    if not found:
        raise StoreError(
            f"{candidate.model} {candidate.bundle[:12]} is not in MLflow. `whence train {candidate.model} {candidate.as_of}` registers it."
        )
    return found[0]


def _settle(client: MlflowClient, candidate: Candidate) -> str:
    """Of two registered at once the older version stays."""
    first, *others = _versions(client, candidate.model, CANDIDATE, _key(candidate))
    for each in others:
        delete = partial(client.delete_model_version, candidate.model, str(each.version))
        _unless_done(delete, "RESOURCE_DOES_NOT_EXIST")
    return str(first.version)


def _run(client: MlflowClient, candidate: Candidate) -> str:
    """The candidate's run: the one that a killed task left, or a new one."""
    experiment = _experiment(client, candidate.model)
    found = client.search_runs([experiment], f"tags.`{CANDIDATE}` = '{_key(candidate)}'", order_by=["attributes.start_time ASC"])
    if found:
        return str(found[0].info.run_id)
    name = f"{candidate.as_of} {candidate.bundle[:8]}{' drill' if candidate.drill else ''}"
    tags = {CANDIDATE: _key(candidate), BUNDLE: candidate.bundle, AS_OF: candidate.as_of, DRILL: candidate.drill or "none"}
    run = client.create_run(experiment, tags=tags, run_name=name)
    return str(run.info.run_id)


def _experiment(client: MlflowClient, name: str) -> str:
    _unless_done(lambda: client.create_experiment(name), "RESOURCE_ALREADY_EXISTS")
    return str(client.get_experiment_by_name(name).experiment_id)


def _log_report(client: MlflowClient, run: str, settings: Settings, candidate: Candidate) -> None:
    folder = Path(candidate.folder)
    numbers, params, data = (_read(folder / name) for name in ("metrics.json", "params.json", "data.json"))
    client.log_batch(run, metrics=list(_metrics(numbers, candidate)), params=_params({**params, "data": data}))
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in PRIVATE:
            client.log_artifact(run, str(path), "report")
    files = bundle_files(settings.bundles, candidate.bundle)
    for path in files:
        client.log_artifact(run, str(path), "bundle")
    kept = {Path(each.path).name: each.file_size for each in client.list_artifacts(run, "bundle")}
    if lost := [path.name for path in files if kept.get(path.name) != path.stat().st_size]:
        raise StoreError(
            f"MLflow has no whole copy of {lost[0]} of bundle {candidate.bundle[:12]}. Look at its disk, and register again."
        )
    client.set_terminated(run)


def _metrics(numbers: Mapping[str, Mapping[str, float]], candidate: Candidate) -> Iterator[Any]:
    """A point a measure and one for each end of its interval, at the time of the data: logging twice changes nothing."""
    from mlflow.entities import Metric

    when = int(datetime.combine(datetime.fromisoformat(candidate.as_of), datetime.min.time(), UTC).timestamp() * 1000)
    for name, measure in numbers.items():
        for part, ending in (("value", ""), ("low", ".low"), ("high", ".high")):
            value = measure.get(part)
            if value is not None and math.isfinite(value):
                yield Metric(f"{name}{ending}", float(value), when, 0)


def _params(given: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name[:250], value[:MOST_TEXT]) for name, value in sorted(_flat(given))]


def _flat(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def _run_tags(given: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(name, value[:MOST_TEXT]) for name, value in given.items()]


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise StoreError(f"The candidate's report has no {path.name} in {path.parent}. Train it again.")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _describe(candidate: Candidate) -> str:
    spoiled = f" Spoiled on purpose: {candidate.drill}." if candidate.drill else ""
    made = f"The trees of `{candidate.recalibrates}`, calibrated" if candidate.recalibrates else "Trained"
    return f"{made} on what was known at the end of {candidate.as_of}. Bundle `{candidate.bundle}`.{spoiled}"


def _unless_done(call: Callable[[], object], done: str) -> None:
    """Call, and take MLflow's word that somebody else has done it already."""
    from mlflow.exceptions import MlflowException

    try:
        call()
    except MlflowException as wrong:
        if wrong.error_code != done:
            raise
