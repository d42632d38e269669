"""Where the journal's rows lie: tables that only grow, in SQLite or Postgres through SQLAlchemy.

SQLite works in WAL mode with BEGIN IMMEDIATE (a deferred transaction that reads, then writes, fails under load however long
it may wait); any other database that SQLAlchemy speaks to is asked for a table lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    DDL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    make_url,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from whence.contracts.times import utc

UNSIGNED, SIGNED = 1, 2
"""A row's form: what its seal covers, and whether somebody signed it."""
WAIT_SECONDS = 30
ATTEMPTS = 8
LIBPQ = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",  # milliseconds
}
"""When Postgres' client gives up a server that says nothing any more; by itself it would wait for hours."""

_metadata = MetaData()

promotions = Table(
    "promotions",
    _metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("model", String(64), nullable=False, index=True),
    Column("bundle", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("verdict", String(64), nullable=False),
    Column("reasons", Text, nullable=False),
    Column("who", String(128), nullable=False),
    Column("at", String(32), nullable=False),
    Column("prior", String(64), nullable=False),
    Column("seal", String(64), nullable=False),
    Column("form", Integer, nullable=False, server_default=str(UNSIGNED)),
    Column("details", Text, nullable=False, server_default="{}"),
    Column("versions", Text, nullable=False, server_default="{}"),
    Column("signature", String(128), nullable=False, server_default=""),
)

pins = Table(
    "pins",
    _metadata,
    Column("step", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("model", String(64), nullable=False),
    Column("bundle", String(64), nullable=True),
    Column("epoch", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    PrimaryKeyConstraint("step", "day", "model"),
)

alarms = Table(
    "alarms",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("model", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("words", Text, nullable=False),
)

_ADDED_LATER = {
    "form": f"INTEGER NOT NULL DEFAULT {UNSIGNED}",
    "details": "TEXT NOT NULL DEFAULT '{}'",
    "versions": "TEXT NOT NULL DEFAULT '{}'",
    "signature": "VARCHAR(128) NOT NULL DEFAULT ''",
}
"""Columns that the first journals did not have."""

_FORBID = {
    "sqlite": [
        f"CREATE TRIGGER promotions_no_{verb} BEFORE {verb} ON promotions "
        "BEGIN SELECT RAISE(ABORT, 'promotions are only ever added'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION promotions_only_grow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'promotions are only ever added'; END $$",
        "CREATE TRIGGER promotions_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON promotions "
        "FOR EACH STATEMENT EXECUTE FUNCTION promotions_only_grow()",
    ],
}
for _dialect, _statements in _FORBID.items():
    for _statement in _statements:
        _ddl = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
        event.listen(promotions, "after_create", _ddl.execute_if(dialect=_dialect))


def open_engine(url: str) -> Engine:
    """An engine that holds no connection between calls, for use after a fork and from many threads; makes missing tables."""
    where = make_url(url)
    is_sqlite = where.get_backend_name() == "sqlite"
    if is_sqlite and where.database:
        Path(where.database).parent.mkdir(parents=True, exist_ok=True)
    if where.get_driver_name() in ("psycopg", "psycopg2"):
        where = where.set(query={**LIBPQ, **where.query})
    engine = create_engine(where, poolclass=NullPool, **({"connect_args": {"timeout": WAIT_SECONDS}} if is_sqlite else {}))
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    _make_tables(engine)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other writer's overlaps."""
    with engine.execution_options(writes=True).begin() as con:
        if con.dialect.name == "postgresql":
            con.exec_driver_sql("LOCK TABLE promotions, pins IN EXCLUSIVE MODE")
        yield con


def add_missing_columns(con: Connection) -> bool:
    """Give an older journal the columns that it has not; true when it lacked any."""
    missing = _missing(con)
    for name in missing:
        con.exec_driver_sql(f"ALTER TABLE promotions ADD COLUMN {name} {_ADDED_LATER[name]}")
    return bool(missing)


def stamp(moment: datetime) -> str:
    """An instant as text that sorts as time does, whatever the database thinks of time zones."""
    return utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def is_old(engine: Engine) -> bool:
    """True for a journal of the first form, whose rows nobody signed."""
    with engine.connect() as con:
        return bool(_missing(con))


def _missing(con: Connection) -> list[str]:
    have = {each["name"] for each in inspect(con).get_columns("promotions")}
    return [name for name in _ADDED_LATER if name not in have]


def _make_tables(engine: Engine) -> None:
    """Make what is missing; of several first users one makes it, and the others wait for it."""
    for attempt in range(ATTEMPTS):
        try:
            with engine.execution_options(writes=True).begin() as con:
                _metadata.create_all(con)
            return
        except DBAPIError as wrong:
            is_unreachable = wrong.statement is None and engine.dialect.name != "sqlite"
            if is_unreachable or attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.05 * 2**attempt)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(con: Connection) -> None:
    con.exec_driver_sql("BEGIN IMMEDIATE" if con.get_execution_options().get("writes") else "BEGIN")
