"""Starts and stops the local platform: Airflow, MLflow, Evidently and the scoring service, kept alive by supervisord."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psutil

from whence.contracts.settings import FILE_VARIABLE, Settings

REPOSITORY = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
START_SECONDS = 180
ORPHAN_SECONDS = 10
LOCK_SECONDS = 60
"""How long Airflow waits for its SQLite; the driver's own 5 s are a failed request on a busy machine."""
"""So long a process that nobody supervises any more may take to end by itself."""


class PlatformError(RuntimeError):
    """The platform cannot start or answer; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """One supervised process: its command, and the address that tells whether it is well."""

    name: str
    command: tuple[str, ...]
    health: str = ""


@dataclass(frozen=True)
class Health:
    """How a program is: supervisord's word, and whether its address answers."""

    name: str
    state: str
    pid: int
    is_well: bool
    address: str


def programs(settings: Settings) -> tuple[Program, ...]:
    """What runs, in the order in which it is started."""
    binaries = Path(sys.executable).parent
    airflow, ports = str(binaries / "airflow"), settings.ports
    mlflow = (
        *(str(binaries / "mlflow"), "server", "--host", LOOPBACK, "--port", str(ports.mlflow), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{settings.home / 'mlflow' / 'mlflow.db'}"),
        *("--artifacts-destination", str(settings.home / "mlflow" / "artifacts")),
    )
    return (
        Program("api-server", (airflow, "api-server"), f"http://{LOOPBACK}:{ports.airflow}/api/v2/monitor/health"),
        Program("scheduler", (airflow, "scheduler")),
        Program("dag-processor", (airflow, "dag-processor")),
        Program("mlflow", mlflow, f"http://{LOOPBACK}:{ports.mlflow}/health"),
        Program(
            "evidently", (sys.executable, "-m", "monitoring.evidently.page"), f"http://{LOOPBACK}:{ports.evidently}/api/projects"
        ),
        Program("serving", (sys.executable, "-m", "serving"), f"http://{LOOPBACK}:{ports.serving}/livez"),
        Program("aliases", (sys.executable, "-m", "registry.follow")),
        Program("front", (sys.executable, "-m", "infra.front"), f"http://{LOOPBACK}:{ports.front}/livez"),
    )


def environment(settings: Settings) -> dict[str, str]:
    """The environment of every process of the platform: one settings file, UTC, no examples, no pickle, explicit time limits."""
    home, ports = settings.home, settings.ports
    keys = _keys(settings)
    airflow = {
        "CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "CORE__PLUGINS_FOLDER": str(REPOSITORY / "infra" / "airflow_plugins"),
        "CORE__EXECUTOR": "infra.executor.LocalExecutor",
        "CORE__PARALLELISM": "2",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__DEFAULT_TIMEZONE": "utc",
        "CORE__EXECUTION_API_SERVER_URL": f"http://{LOOPBACK}:{ports.airflow}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "airflow" / "passwords.json"),
        "API__HOST": LOOPBACK,
        "API__PORT": str(ports.airflow),
        "API__BASE_URL": f"http://{LOOPBACK}:{ports.airflow}",
        "API__SECRET_KEY": keys["api_secret"],
        "API_AUTH__JWT_SECRET": keys["jwt_secret"],
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow' / 'airflow.db'}?timeout={LOCK_SECONDS}",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "LOGGING__BASE_LOG_FOLDER": str(home / "airflow" / "logs"),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(_spare_port(ports.airflow)),
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME")}
    return {
        **inherited,
        **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
        FILE_VARIABLE: str(_settings_file(settings)),
        "WHENCE_HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "TZ": "UTC",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_TRACKING_URI": f"http://{LOOPBACK}:{ports.mlflow}",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def up(settings: Settings, report: Callable[[str], None] = lambda _: None) -> tuple[Health, ...]:
    """Start everything that is not running, and wait until all of it answers.

    Raises PlatformError when a port is taken, or when a program is not well in time.
    """
    if not _supervisor_answers(settings):
        _check_ports(settings)
        _prepare(settings, report)
        _start_supervisor(settings)
    return _wait_until_well(settings, report)


def down(settings: Settings) -> bool:
    """Stop everything; false when nothing was running."""
    if not _supervisor_answers(settings):
        return False
    with _rpc(settings) as supervisor:
        pid = int(supervisor.getPID())
        supervisor.shutdown()
    deadline = time.monotonic() + 60
    while _is_alive(pid):
        if time.monotonic() > deadline:
            raise PlatformError(f"The supervisor (process {pid}) does not stop. End it, and look at {settings.home / 'logs'}.")
        time.sleep(0.2)
    end_orphans(settings)
    return True


def status(settings: Settings) -> tuple[Health, ...]:
    """How every program is; empty when the platform is down."""
    if not _supervisor_answers(settings):
        return ()
    with _rpc(settings) as supervisor:
        states = {each["name"]: each for each in supervisor.getAllProcessInfo()}
    return tuple(_health(program, states.get(program.name, {})) for program in programs(settings))


def process_id(settings: Settings, name: str) -> int:
    """The process id of a running program; 0 when it is not running."""
    return next((each.pid for each in status(settings) if each.name == name), 0)


def airflow_password(settings: Settings) -> str:
    """The password of Airflow's user `admin` on this machine."""
    return _keys(settings)["airflow_password"]


def addresses(settings: Settings) -> dict[str, str]:
    """What to open, with its credentials; all of it listens on this machine alone."""
    ports = settings.ports
    newest = max(settings.home.glob("reports/*/report.html"), default=None)
    return {
        "Begin here": f"http://{LOOPBACK}:{ports.front}",
        "Airflow": f"http://{LOOPBACK}:{ports.airflow}  (admin / {airflow_password(settings)})",
        "MLflow": f"http://{LOOPBACK}:{ports.mlflow}",
        "Evidently": f"http://{LOOPBACK}:{ports.evidently}",
        "Scoring": f"http://{LOOPBACK}:{ports.serving}  (bearer token in {settings.home / 'run' / 'serving_token'})",
        **({"Report": str(newest)} if newest else {}),
    }


def _health(program: Program, info: dict[str, Any]) -> Health:
    state = str(info.get("statename", "MISSING"))
    is_well = state == "RUNNING" and (not program.health or _answers(program.health))
    return Health(program.name, state.lower(), int(info.get("pid", 0)), is_well, program.health)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, follow_redirects=True).status_code < 400
    except httpx.HTTPError:
        return False


def _wait_until_well(settings: Settings, report: Callable[[str], None]) -> tuple[Health, ...]:
    deadline = time.monotonic() + START_SECONDS
    well: set[str] = set()
    while True:
        healths = status(settings)
        for each in healths:
            if each.is_well and each.name not in well:
                well.add(each.name)
                report(f"{each.name} is up")
        if healths and all(each.is_well for each in healths):
            return healths
        if time.monotonic() > deadline:
            ill = next((each for each in healths if not each.is_well), None)
            name = ill.name if ill else "supervisord"
            raise PlatformError(
                f"{name} is not well after {START_SECONDS} s ({ill.state if ill else 'down'}). Read {settings.home / 'logs' / name}.log."
            )
        time.sleep(0.5)


def _check_ports(settings: Settings) -> None:
    names: dict[int, str] = {}
    for name, port in {**vars(settings.ports), "airflow's task logs": _spare_port(settings.ports.airflow)}.items():
        if port in names:
            raise PlatformError(
                f"{names[port]} and {name} would both listen on port {port}. Give each its own under [ports] in whence.toml."
            )
        names[port] = name
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                raise PlatformError(
                    f"Port {port}, wanted for {name}, is in use. Stop what listens there, or set another under [ports] in whence.toml."
                ) from None


def _prepare(settings: Settings, report: Callable[[str], None]) -> None:
    for folder in ("logs", "run", "airflow", "mlflow/artifacts", "evidently"):
        (settings.home / folder).mkdir(parents=True, exist_ok=True)
    passwords = settings.home / "airflow" / "passwords.json"
    passwords.write_text(json.dumps({"admin": _keys(settings)["airflow_password"]}))
    passwords.chmod(0o600)
    _migrate(settings, report)
    _configuration(settings).write_text(_supervisord_conf(settings))


def _migrate(settings: Settings, report: Callable[[str], None]) -> None:
    """Bring Airflow's database to the installed version, once a version."""
    mark, installed = settings.home / "airflow" / "migrated", version("apache-airflow")
    if mark.exists() and mark.read_text() == installed:
        return
    report("preparing Airflow's database")
    airflow = str(Path(sys.executable).parent / "airflow")
    done = subprocess.run([airflow, "db", "migrate"], env=environment(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PlatformError(f"Airflow's database cannot be prepared:\n{done.stderr[-2000:]}")
    mark.write_text(installed)


def _start_supervisor(settings: Settings) -> None:
    _socket(settings).unlink(missing_ok=True)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(_configuration(settings))]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False, cwd=settings.home)
    if done.returncode:
        raise PlatformError(f"supervisord does not start: {done.stderr.strip() or done.stdout.strip()}")


def _supervisord_conf(settings: Settings) -> str:
    run, logs = settings.home / "run", settings.home / "logs"
    head = f"""[supervisord]
logfile={logs}/supervisord.log
pidfile={run}/supervisord.pid
childlogdir={logs}
umask=077

[unix_http_server]
file={_socket(settings)}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(_program_conf(program, logs) for program in programs(settings))


def _program_conf(program: Program, logs: Path) -> str:
    command = " ".join(f'"{word}"' if " " in word else word for word in program.command).replace("%", "%%")
    return f"""
[program:{program.name}]
command={command}
autorestart=true
startsecs=2
startretries=20
stopasgroup=true
killasgroup=true
stopwaitsecs=20
redirect_stderr=true
stdout_logfile={logs}/{program.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def _keys(settings: Settings) -> dict[str, str]:
    """This platform's own random keys, made on the first start and readable by the owner alone."""
    path = settings.home / "run" / "keys.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {name: secrets.token_urlsafe(24) for name in ("api_secret", "jwt_secret", "airflow_password")}
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(made))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    keys: dict[str, str] = json.loads(path.read_text())
    return keys


def _settings_file(settings: Settings) -> Path:
    """The file that the platform's processes read their settings from; an empty one stands for the defaults."""
    named = Path(os.environ.get(FILE_VARIABLE, "whence.toml")).resolve()
    if named.exists():
        return named
    empty = settings.home / "run" / "whence.toml"
    empty.parent.mkdir(parents=True, exist_ok=True)
    empty.touch()
    return empty


def _spare_port(airflow_port: int) -> int:
    """Where task logs are served: a fixed neighbour of the web port, so that two platforms do not meet."""
    return airflow_port + 713


def _configuration(settings: Settings) -> Path:
    return settings.home / "run" / "supervisord.conf"


def _socket(settings: Settings) -> Path:
    """A short path: the name of a unix socket may have some hundred characters at most."""
    name = hashlib.sha256(str(settings.home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"whence-{name}.sock"


@contextmanager
def _rpc(settings: Settings) -> Iterator[Any]:
    """The supervisor's remote procedures, over its unix socket."""
    from supervisor.xmlrpc import SupervisorTransport

    with xmlrpc.client.ServerProxy("http://localhost", SupervisorTransport(None, None, f"unix://{_socket(settings)}")) as server:
        yield server.supervisor


def _supervisor_answers(settings: Settings) -> bool:
    if not _socket(settings).exists():
        return False
    try:
        with _rpc(settings) as supervisor:
            return bool(supervisor.getState()["statename"] == "RUNNING")
    except (OSError, xmlrpc.client.Error, ConnectionError):
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def end_orphans(settings: Settings) -> None:
    """End what a killed program has left behind, such as a scheduler's workers: its group has lost its leader."""
    left = [each for each in psutil.process_iter(["environ", "cwd"]) if _is_orphan(each, str(settings.home))]
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    for each in psutil.wait_procs(left, timeout=ORPHAN_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def _is_orphan(process: psutil.Process, home: str) -> bool:
    told = process.info["environ"] or {}  # empty where a program's new title lies over it, as Airflow's does
    if told.get("WHENCE_HOME") != home and (told or process.info["cwd"] != home):
        return False
    try:
        return not psutil.pid_exists(os.getpgid(process.pid))
    except ProcessLookupError:
        return False


def wipe(settings: Settings) -> None:
    """Remove everything that the platform wrote; it must be down."""
    if _supervisor_answers(settings):
        raise PlatformError("The platform is running. `whence down` first.")
    shutil.rmtree(settings.home, ignore_errors=True)
