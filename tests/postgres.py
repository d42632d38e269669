"""A real Postgres on loopback, started once for the tests that ask for it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a running Postgres with its own empty database; skips where there is no Postgres."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if binaries is None:
        pytest.skip("there is no /usr/lib/postgresql; apt-get install postgresql brings it")
    folder = Path(tempfile.mkdtemp(prefix="whence-postgres-"))
    run_as = _owner_of_postgres(folder)
    port, data = free_port(), folder / "data"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [*run_as, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    try:
        initdb = [*run_as, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "whence", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
        subprocess.run(
            [*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )
        yield f"postgresql+psycopg://whence@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """A URL whose tables nobody else has: a schema of its own."""
    import psycopg

    schema = f"journal_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.replace("+psycopg", "")) as con:
        con.execute(f"CREATE SCHEMA {schema}")
    return f"{postgres}?options=-csearch_path%3D{schema}"


def _owner_of_postgres(folder: Path) -> list[str]:
    """The words in front of a command: Postgres refuses to run as root."""
    if os.getuid():
        return []
    owner = pwd.getpwnam("postgres")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
