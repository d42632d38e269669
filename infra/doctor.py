"""What commonly goes wrong on a machine, looked for one by one, each with what to do."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from infra import platform
from whence.contracts.settings import Settings

LEAST_GIGABYTES = 3
NEEDED = ("apache-airflow", "mlflow", "feast", "lightgbm", "evidently", "sqlalchemy", "boto3", "deltalake", "duckdb")


@dataclass(frozen=True)
class Symptom:
    """One thing that was looked at."""

    what: str
    is_well: bool
    says: str


def examine(settings: Settings) -> tuple[Symptom, ...]:
    """Look at everything; a check that itself breaks is a symptom, not a crash."""
    checks = (_python, _packages, _engine, _disk, _ports, _policy, _platform, _tables, _journal, _alarms, _champions)
    return tuple(_guarded(check, settings) for check in checks)


def _guarded(check: Callable[[Settings], Symptom], settings: Settings) -> Symptom:
    try:
        return check(settings)
    except Exception as wrong:
        return Symptom(check.__name__.lstrip("_"), False, f"{type(wrong).__name__}: {wrong}")


def _python(_: Settings) -> Symptom:
    return Symptom("python", sys.version_info[:2] == (3, 11), f"{sys.version.split()[0]}; 3.11 is wanted")


def _packages(_: Settings) -> Symptom:
    missing = []
    for name in NEEDED:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return Symptom("packages", not missing, f"missing: {', '.join(missing)}. Run `make install`." if missing else "all there")


def _engine(_: Settings) -> Symptom:
    from whence.trees import TreesError, blend

    try:
        return Symptom("scorer", True, f"models are scored by {blend.NAMES[blend.vectors()]}")
    except TreesError as slower:
        return Symptom("scorer", True, f"models are scored by LightGBM, many times slower. {slower}")


def _disk(settings: Settings) -> Symptom:
    folder = next(each for each in (settings.home, *settings.home.parents) if each.exists())
    free = shutil.disk_usage(folder).free / 1e9
    return Symptom("disk", free > LEAST_GIGABYTES, f"{free:.1f} GB free under {folder}; {LEAST_GIGABYTES} are wanted")


def _ports(settings: Settings) -> Symptom:
    if platform.status(settings):
        return Symptom("ports", True, "held by the running platform")
    taken = [str(port) for port in vars(settings.ports).values() if _is_taken(port)]
    return Symptom(
        "ports", not taken, f"in use: {', '.join(taken)}. Set others under [ports] in whence.toml." if taken else "free"
    )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((platform.LOOPBACK, port)) == 0


def _policy(settings: Settings) -> Symptom:
    from whence.attribution import policy

    found = policy.of(settings)
    return Symptom("policy", True, f"'{found.name}' pays by {found.algorithm}")


def _platform(settings: Settings) -> Symptom:
    ill = [each.name for each in platform.status(settings) if not each.is_well]
    if not platform.status(settings):
        return Symptom("platform", True, "down; `whence up` starts it")
    return Symptom(
        "platform", not ill, f"not well: {', '.join(ill)}. Read {settings.home / 'logs'}." if ill else "every part answers"
    )


def _tables(settings: Settings) -> Symptom:
    from whence.lake import Lake

    days = Lake.of(settings).days("ingest_counts")
    return Symptom(
        "tables", True, f"{len(days)} days, {days[0]} to {days[-1]}" if days else "no events yet; `whence ingest DAYS`"
    )


def _journal(settings: Settings) -> Symptom:
    from registry.journal import Journal

    book = Journal.of(settings)
    book.verify()
    return Symptom("journal", True, f"{len(book.rows())} rows, the chain holds")


def _alarms(settings: Settings) -> Symptom:
    from registry.alarms import Alarms

    recent = Alarms.of(settings).since(datetime.now(UTC) - timedelta(days=1))
    return Symptom("alarms", not recent, " ".join(f"{each.at[:16]}: {each.words}" for each in recent) or "none of a day")


def _champions(settings: Settings) -> Symptom:
    import registry
    from whence.contracts.models import MODELS

    missing = [model for model in MODELS if registry.champion(settings, model) is None]
    return Symptom("champions", True, f"none yet for {', '.join(missing)}" if missing else "one for each model")
