"""Who was champion when, and who decided it: rows that are only ever added, each sealed with the hash of the one before.

A promotion is one row here, and nothing else is: MLflow's alias is set from it afterwards. Its number, the epoch, grows by
one a row over all models and is the fencing token: whoever decides says which epoch the decision was based on, and of two
that were based on the same one wins and the other gets a Conflict.

SQLite works in WAL mode with BEGIN IMMEDIATE (a deferred transaction that reads, then writes, fails under load however long
it may wait); any other database that SQLAlchemy speaks to is asked for a table lock.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
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
    func,
    insert,
    make_url,
    select,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from whence.contracts.times import utc

GENESIS = "0" * 64
PROMOTE, ROLLBACK = "promote", "rollback"
WAIT_SECONDS = 30
ATTEMPTS = 8

_metadata = MetaData()

_promotions = Table(
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
)

_pins = Table(
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

_FORBID = {
    "sqlite": "CREATE TRIGGER promotions_no_{0} BEFORE {0} ON promotions "
    "BEGIN SELECT RAISE(ABORT, 'promotions are only ever added'); END",
    "postgresql": "CREATE RULE promotions_no_{0} AS ON {0} TO promotions DO INSTEAD NOTHING",
}
for _dialect, _statement in _FORBID.items():
    for _verb in ("UPDATE", "DELETE"):
        _ddl = DDL(_statement.format(_verb))  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
        event.listen(_promotions, "after_create", _ddl.execute_if(dialect=_dialect))


class JournalError(RuntimeError):
    """The journal cannot do this; the message says why."""


class Conflict(JournalError):
    """Somebody else decided first, so this decision was based on a champion that is no longer one."""


class Tampered(JournalError):
    """A row is not the row that was written."""


@dataclass(frozen=True)
class Promotion:
    """One row: from `at` on, `bundle` is the champion of `model`."""

    epoch: int
    model: str
    bundle: str
    previous: str
    """The bundle it replaced; empty for a first champion."""
    kind: str
    """promote or rollback."""
    verdict: str
    """SHA-256 of the verdict that allowed it; empty for a rollback."""
    reasons: tuple[str, ...]
    who: str
    at: str
    """UTC instant, ISO 8601."""
    prior: str
    """The seal of the row before."""
    seal: str
    """SHA-256 over all of the above."""

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return {**asdict(self), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Journal:
    """The promotion journal at a SQLAlchemy URL; its tables are made at first use.

    Holds no connection between calls, so it may be used after a fork and from many threads.
    """

    url: str

    def champion(self, model: str, at: datetime | None = None) -> Promotion | None:
        """The model's champion now, or as it was at an instant; None before the first."""
        query = select(_promotions).where(_promotions.c.model == model).order_by(_promotions.c.epoch.desc()).limit(1)
        if at is not None:
            query = query.where(_promotions.c.at <= _stamp(at))
        with self._reading() as con:
            row = con.execute(query).mappings().first()
        return _promotion(dict(row)) if row else None

    def rows(self, model: str | None = None) -> list[Promotion]:
        """Every row, oldest first; of one model or of all."""
        with self._reading() as con:
            return _rows(con, model)

    def epoch(self) -> int:
        """The newest row's number, 0 when there is none: cheap to poll."""
        with self._reading() as con:
            return int(con.execute(select(func.max(_promotions.c.epoch))).scalar() or 0)

    def promote(
        self, model: str, bundle: str, verdict_digest: str, reasons: tuple[str, ...], who: str, expected_epoch: int, now: datetime
    ) -> Promotion:
        """Make `bundle` the champion, if the champion is still the one of `expected_epoch` (0: there is none).

        A bundle that is champion already keeps its row. Raises Conflict when somebody else decided first.
        """
        with self._writing() as con:
            history = _rows(con, model)
            if history and history[-1].bundle == bundle:
                return history[-1]
            if (found := history[-1].epoch if history else 0) != expected_epoch:
                raise Conflict(
                    f"The champion of {model} is of epoch {found}, and this decision was based on epoch {expected_epoch}. Judge again."
                )
            previous = history[-1].bundle if history else ""
            return _append(con, model, bundle, previous, PROMOTE, verdict_digest, tuple(reasons), who, now)

    def rollback(self, model: str, who: str, reason: str, now: datetime, expected_epoch: int | None = None) -> Promotion:
        """Bring back the champion before this one; going back twice goes back two.

        With `expected_epoch`, a rollback asked for twice is done once: the second raises Conflict.
        Raises JournalError when there is nothing to go back to.
        """
        with self._writing() as con:
            history = _rows(con, model)
            standing = _standing(history)
            if len(standing) < 2:
                have = f"{model} has had {len(standing)} champion" if standing else f"{model} has no champion"
                raise JournalError(f"{have}, so there is none to go back to. Promote another candidate instead.")
            if expected_epoch is not None and history[-1].epoch != expected_epoch:
                raise Conflict(
                    f"The champion of {model} is of epoch {history[-1].epoch} already, not {expected_epoch}. Look again."
                )
            return _append(con, model, standing[-2], standing[-1], ROLLBACK, "", (reason,), who, now)

    def was_champion(self, model: str, bundle: str) -> bool:
        """True when the bundle has ever been promoted for the model: it had its turn."""
        return any(row.bundle == bundle for row in self.rows(model))

    def pin(self, step: str, day: str, model: str, now: datetime) -> str | None:
        """Which champion a step uses for a day: the first caller fixes it, later callers get the same, also when it is none.

        So a rerun of a finished day gives the same bytes, whoever is champion by then.
        """
        chosen = (_pins.c.step == step) & (_pins.c.day == day) & (_pins.c.model == model)
        with self._reading() as con:
            found = con.execute(select(_pins.c.bundle).where(chosen)).first()
        if found is not None:
            return _text(found[0])
        with self._writing() as con:
            found = con.execute(select(_pins.c.bundle).where(chosen)).first()
            if found is not None:
                return _text(found[0])
            history = _rows(con, model)
            bundle, epoch = (history[-1].bundle, history[-1].epoch) if history else (None, 0)
            row = {"step": step, "day": day, "model": model, "bundle": bundle, "epoch": epoch, "at": _stamp(now)}
            con.execute(insert(_pins).values(row))
            return bundle

    def verify(self) -> int:
        """Recompute every seal and say how many rows hold; raises Tampered naming the first that does not.

        A journal cut short at its end still holds: compare the newest seal with one kept elsewhere, such as MLflow's tags.
        """
        before, rows = GENESIS, self.rows()
        for number, row in enumerate(rows, start=1):
            if row.epoch != number:
                raise Tampered(f"Row {number} of the journal is missing: epoch {row.epoch} comes instead. Restore the database.")
            if row.prior != before or row.seal != _seal(row):
                raise Tampered(
                    f"Row {number} of the journal ({row.kind} of {row.model}, {row.at}) is not the row that was written. "
                    "Restore the database, and find out who wrote to it."
                )
            before = row.seal
        return len(rows)

    @cached_property
    def _engine(self) -> Engine:
        return _open(self.url)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect() as con:
            yield con

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.execution_options(writes=True).begin() as con:
            if con.dialect.name == "postgresql":
                con.exec_driver_sql("LOCK TABLE promotions, pins IN EXCLUSIVE MODE")
            yield con


def _rows(con: Connection, model: str | None) -> list[Promotion]:
    query = select(_promotions).order_by(_promotions.c.epoch)
    if model is not None:
        query = query.where(_promotions.c.model == model)
    return [_promotion(dict(row)) for row in con.execute(query).mappings()]


def _standing(history: list[Promotion]) -> list[str]:
    """The champions that stand on one another, newest last: a promotion puts one on top, a rollback takes one off."""
    standing: list[str] = []
    for row in history:
        if row.kind == PROMOTE:
            standing.append(row.bundle)
        else:
            standing.pop()
    return standing


def _append(
    con: Connection,
    model: str,
    bundle: str,
    previous: str,
    kind: str,
    verdict: str,
    reasons: tuple[str, ...],
    who: str,
    now: datetime,
) -> Promotion:
    last = con.execute(select(_promotions).order_by(_promotions.c.epoch.desc()).limit(1)).mappings().first()
    epoch, prior, at = (last["epoch"] + 1, last["seal"], max(_stamp(now), last["at"])) if last else (1, GENESIS, _stamp(now))
    draft = Promotion(epoch, model, bundle, previous, kind, verdict, reasons, who, at, prior, "")
    row = Promotion(**{**draft.as_dict(), "reasons": reasons, "seal": _seal(draft)})
    con.execute(insert(_promotions).values({**row.as_dict(), "reasons": json.dumps(list(reasons), ensure_ascii=False)}))
    return row


def _seal(row: Promotion) -> str:
    content = {name: value for name, value in row.as_dict().items() if name != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _promotion(row: dict[str, Any]) -> Promotion:
    return Promotion(**{**row, "reasons": _reasons(row["reasons"])})


def _reasons(text: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text))
    except ValueError:
        return (text,)  # whoever broke it is found by verify


def _stamp(moment: datetime) -> str:
    """An instant as text that sorts as time does, whatever the database thinks of time zones."""
    return utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _open(url: str) -> Engine:
    where = make_url(url)
    is_sqlite = where.get_backend_name() == "sqlite"
    if is_sqlite and where.database:
        Path(where.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(where, poolclass=NullPool, **({"connect_args": {"timeout": WAIT_SECONDS}} if is_sqlite else {}))
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    _make_tables(engine)
    return engine


def _make_tables(engine: Engine) -> None:
    """Make what is missing; of several first users one makes it, and the others wait for it."""
    for attempt in range(ATTEMPTS):
        try:
            with engine.execution_options(writes=True).begin() as con:
                _metadata.create_all(con)
            return
        except (OperationalError, DBAPIError):
            if attempt == ATTEMPTS - 1:
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
