"""Who was champion when, and who decided it: rows that are only ever added, each sealed with the hash of the one before, and signed.

A promotion is one row here, and nothing else is: MLflow's alias is set from it afterwards. Its number, the epoch, grows by
one a row over all models and is the fencing token: whoever decides says which epoch the decision was based on, and of two
that were based on the same one wins and the other gets a Conflict. The steps of a challenger's rollout are rows of the same
chain.

Who reads a row here has it verified: a row that the promoter did not sign is no row to follow, but a Tampered.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, func, insert, make_url, select

from registry import rows as stored
from registry import succession
from registry.anchor import Anchor
from registry.rows import SIGNED, UNSIGNED, pins, promotions, stamp
from registry.signing import Keys
from registry.succession import (
    ABORT,
    CANARY,
    CHAMPION_KINDS,
    FINISH,
    PROMOTE,
    ROLLBACK,
    ROLLOUT_KINDS,
    SHADOW,
    SIGN,
    Conflict,
    Decision,
    JournalError,
    Promotion,
    Tampered,
    Told,
)

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

__all__ = [
    "ABORT",
    "CANARY",
    "CHAMPION_KINDS",
    "FINISH",
    "PROMOTE",
    "ROLLBACK",
    "ROLLOUT_KINDS",
    "SHADOW",
    "Conflict",
    "Journal",
    "JournalError",
    "Promotion",
    "Tampered",
]
GENESIS = "0" * 64
log = logging.getLogger("registry.journal")
Row = Mapping[str, Any]
"""A row as it is stored, its JSON still text."""
_IN_ORDER = select(promotions).order_by(promotions.c.epoch)
_TOLD = select(*(promotions.c[name] for name in Told._fields)).order_by(promotions.c.epoch)


class Journal:
    """The promotion journal at a SQLAlchemy URL; its tables are made at first use.

    `keys` is the folder of the promoter's keys and of the anchor; for SQLite it is the database's own when left out.
    Holds no connection between calls, so it may be used after a fork and from many threads.
    """

    def __init__(self, url: str, keys: Path | None = None):
        self.url = url
        self._folder = _beside(url) if keys is None else keys

    @classmethod
    def of(cls, settings: Settings) -> Journal:
        """The journal of the settings, with the keys in its home."""
        return cls(settings.journal_url, settings.home)

    def champion(self, model: str, at: datetime | None = None) -> Promotion | None:
        """The model's champion now, or as it was at an instant; None before the first. Raises Tampered for a forged row."""
        with self._reading() as con:
            return self._first(con, _newest(model, CHAMPION_KINDS, at))

    def challenger(self, model: str, at: datetime | None = None) -> Promotion | None:
        """The newest step of the model's rollout now, or at an instant; None when none is under way. Raises Tampered."""
        with self._reading() as con:
            newest = self._first(con, _newest(model, until=at))
        return succession.challenger_of([newest] if newest else [])

    def head(self, model: str) -> int:
        """The epoch of the model's newest row of any kind, which a step of a rollout is based on; 0 when there is none."""
        with self._reading() as con:
            return int(con.execute(select(func.max(promotions.c.epoch)).where(promotions.c.model == model)).scalar() or 0)

    def rows(self, model: str | None = None) -> list[Promotion]:
        """Every row, oldest first; of one model or of all."""
        with self._reading() as con:
            return _rows(con, model)

    def epoch(self) -> int:
        """The newest row's number, 0 when there is none: cheap to poll."""
        with self._reading() as con:
            return int(con.execute(select(func.max(promotions.c.epoch))).scalar() or 0)

    def told(self, since: int = 0) -> list[Told]:
        """The rows from this epoch on, oldest first and not verified; of each no more than tells who follows whom."""
        with self._reading() as con:
            return [Told(*row) for row in con.execute(_TOLD.where(promotions.c.epoch >= since))]

    def whole(self, epochs: Sequence[int]) -> dict[int, Promotion]:
        """These rows by epoch. Raises Tampered for a forged one, and for one that is not there."""
        found = {}
        with self._reading() as con:
            for epoch in epochs:
                row = self._first(con, select(promotions).where(promotions.c.epoch == epoch))
                if row is None:
                    raise Tampered(f"Row {epoch} of the journal is not there any more. Restore the database.")
                found[epoch] = row
        return found

    def promote(
        self,
        model: str,
        bundle: str,
        verdict_digest: str,
        reasons: tuple[str, ...],
        who: str,
        expected_epoch: int,
        now: datetime,
        versions: Mapping[str, Any] | None = None,
    ) -> Promotion:
        """Make `bundle` the champion, if the champion is still the one of `expected_epoch` (0: there is none).

        A bundle that is champion already keeps its row. Without `versions` a challenger keeps those of its rollout.
        Raises Conflict when somebody else decided first, or aborted it since.
        """

        def decide(con: Connection) -> Promotion | Decision:
            current = _current(con, model)
            champion = succession.champion_of(current)
            if champion and champion.bundle == bundle:
                return champion
            succession.demand_promotion(current, model, bundle, expected_epoch)
            previous = champion.bundle if champion else ""
            made_of = versions or next((row.versions for row in current if row.bundle == bundle and row.versions), {})
            return Decision(PROMOTE, model, bundle, previous, verdict_digest, tuple(reasons), who, {}, made_of)

        return self._decide(decide, now)

    def rollback(self, model: str, who: str, reason: str, now: datetime, expected_epoch: int | None = None) -> Promotion:
        """Bring back the champion before this one; going back twice goes back two.

        With `expected_epoch`, a rollback asked for twice is done once: the second raises Conflict.
        Raises JournalError when there is nothing to go back to.
        """

        def decide(con: Connection) -> Decision:
            history = _rows(con, model)
            before = succession.before_last(history, model, expected_epoch)
            champion = succession.champion_of(history)
            assert champion is not None
            return Decision(ROLLBACK, model, before.bundle, champion.bundle, "", (reason,), who, {}, before.versions)

        return self._decide(decide, now)

    def step(
        self,
        kind: str,
        model: str,
        bundle: str,
        details: Mapping[str, Any],
        reasons: tuple[str, ...],
        who: str,
        expected_epoch: int,
        now: datetime,
        versions: Mapping[str, Any] | None = None,
    ) -> Promotion:
        """Write a step of a challenger's rollout (shadow, canary, finish or abort); the champion stays who it is.

        `details` is a JSON object, as {"stage": 2, "share": 0.05, "evidence": {…}}. `expected_epoch` is `head(model)` as it was
        when this was decided: raises Conflict when the model got another row since, JournalError for a step that cannot follow.
        """

        def decide(con: Connection) -> Decision:
            current = _current(con, model)
            champion = succession.champion_of(current)
            against = champion.bundle if champion else ""
            decision = Decision(kind, model, bundle, against, "", tuple(reasons), who, details, versions or {})
            succession.step(current, decision, expected_epoch)
            return decision

        return self._decide(decide, now)

    def was_champion(self, model: str, bundle: str) -> bool:
        """True when the bundle has ever been promoted for the model."""
        return any(row.bundle == bundle for row in self.rows(model) if row.kind in CHAMPION_KINDS)

    def had_its_turn(self, model: str, bundle: str) -> bool:
        """True when the bundle was champion, or was withdrawn from a rollout: it is not tried again by itself."""
        return any(row.bundle == bundle for row in self.rows(model) if row.kind in (*CHAMPION_KINDS, ABORT))

    def pin(self, step: str, day: str, model: str, now: datetime) -> str | None:
        """Which champion a step uses for a day: the first caller fixes it, later callers get the same, also when it is none.

        So a rerun of a finished day gives the same bytes, whoever is champion by then.
        """
        fixed = _pin(step, day, model)
        with self._reading() as con:
            found = con.execute(fixed).first()
        if found is not None:
            return _text(found[0])
        with stored.writing(self._engine) as con:
            found = con.execute(fixed).first()
            if found is not None:
                return _text(found[0])
            champion = self._first(con, _newest(model, CHAMPION_KINDS))
            bundle, epoch = (champion.bundle, champion.epoch) if champion else (None, 0)
            row = {"step": step, "day": day, "model": model, "bundle": bundle, "epoch": epoch, "at": stamp(now)}
            con.execute(insert(pins).values(row))
            return bundle

    def would_pin(self, step: str, day: str, model: str) -> str | None:
        """Which champion `pin` would give now; fixes nothing."""
        with self._reading() as con:
            found = con.execute(_pin(step, day, model)).first()
            if found is not None:
                return _text(found[0])
            champion = self._first(con, _newest(model, CHAMPION_KINDS))
            return champion.bundle if champion else None

    def pinned(self, day: str) -> dict[str, str]:
        """By model the champion that a step fixed for the day; a model that had none is not there."""
        with self._reading() as con:
            rows = con.execute(select(pins.c.model, pins.c.bundle).where(pins.c.day == day).order_by(pins.c.step)).all()
        return {str(model): str(bundle) for model, bundle in rows if bundle is not None}

    def verify(self) -> int:
        """Recompute every seal, check every signature and the anchor, and say how many rows hold.

        Raises Tampered naming the first row that was changed, is missing, or was cut off the end.
        """
        with self._reading() as con:
            rows = _stored(con, _IN_ORDER)
        self._verify(rows)
        self._anchor.demand({row["epoch"]: row["seal"] for row in rows})
        return len(rows)

    def _decide(self, decide: Callable[[Connection], Promotion | Decision], now: datetime) -> Promotion:
        with stored.writing(self._engine) as con:
            decided = decide(con)
            if isinstance(decided, Promotion):
                return decided
            row = self._append(con, decided, now)
        try:
            self._anchor.note(row.epoch, row.seal)
        except OSError as wrong:  # the row counts all the same: who is told that it failed asks again, and goes back two
            log.error("Row %d of the journal is written, and its line in %s is not: %s", row.epoch, self._folder, wrong)
        return row

    def _append(self, con: Connection, decision: Decision, now: datetime) -> Promotion:
        last = self._first(con, select(promotions).order_by(promotions.c.epoch.desc()).limit(1))
        epoch, prior, at = (last.epoch + 1, last.seal, max(stamp(now), last.at)) if last else (1, GENESIS, stamp(now))
        return _promotion(self._insert(con, decision, epoch, prior, at))

    def _insert(self, con: Connection, decision: Decision, epoch: int, prior: str, at: str) -> Row:
        row = {
            "epoch": epoch,
            "model": decision.model,
            "bundle": decision.bundle,
            "previous": decision.previous,
            "kind": decision.kind,
            "verdict": decision.verdict,
            "reasons": _json(list(decision.reasons)),
            "who": decision.who,
            "at": at,
            "prior": prior,
            "form": SIGNED,
            "details": _json(dict(decision.details)),
            "versions": _json(dict(decision.versions)),
        }
        seal = _seal(row)
        whole = {**row, "seal": seal, "signature": self.keys.sign(seal)}
        con.execute(insert(promotions).values(whole))
        return whole

    def _first(self, con: Connection, query: Any) -> Promotion | None:
        """The first row of a query, once it is known that the promoter wrote it."""
        found = _stored(con, query)
        if not found:
            return None
        if found[0]["form"] == UNSIGNED:  # older than signatures: the chain from it to a signed row vouches for it
            self._verify(_stored(con, _IN_ORDER))
        else:
            self._demand_whole(found[0])
        return _promotion(found[0])

    def _verify(self, rows: Sequence[Row]) -> None:
        before, is_signed = GENESIS, False
        for number, row in enumerate(rows, start=1):
            if row["epoch"] != number:
                raise Tampered(
                    f"Row {number} of the journal is missing: epoch {row['epoch']} comes instead. Restore the database."
                )
            if row["prior"] != before or (is_signed and row["form"] == UNSIGNED):
                raise _changed(row)
            self._demand_whole(row)
            before, is_signed = row["seal"], is_signed or row["form"] != UNSIGNED
        if rows and not is_signed:
            raise Tampered(f"None of the {len(rows)} rows of the journal is signed. Restore the database.")

    def _demand_whole(self, row: Row) -> None:
        if row["form"] == UNSIGNED:
            is_whole = _seal_of_old(row) == row["seal"]
        else:
            is_whole = _seal(row) == row["seal"] and self.keys.has_signed(row["seal"], row["signature"])
        if not is_whole:
            raise _changed(row)

    @cached_property
    def keys(self) -> Keys:
        """Who may write rows, and whose are trusted."""
        return Keys(self._folder)

    @cached_property
    def _anchor(self) -> Anchor:
        return Anchor(self._folder)

    @cached_property
    def _engine(self) -> Engine:
        engine = stored.open_engine(self.url)
        if stored.is_old(engine):
            self._sign_old(engine)
        return engine

    def _sign_old(self, engine: Engine) -> None:
        """Bring a journal without signatures to this form: one signed row covers, by its seal, the rows before it."""
        with stored.writing(engine) as con:
            if not stored.add_missing_columns(con):
                return
            rows = _stored(con, _IN_ORDER)
            if rows:
                said = f"From here on every row is signed; this one covers the {len(rows)} before it."
                self._insert(
                    con, Decision(SIGN, "", "", reasons=(said,), who="whence"), len(rows) + 1, rows[-1]["seal"], rows[-1]["at"]
                )
                self._verify(_stored(con, _IN_ORDER))

    def _reading(self) -> Any:
        return self._engine.connect()


def _newest(model: str, kinds: tuple[str, ...] = (), until: datetime | None = None) -> Any:
    query = select(promotions).where(promotions.c.model == model).order_by(promotions.c.epoch.desc()).limit(1)
    if kinds:
        query = query.where(promotions.c.kind.in_(kinds))
    return query if until is None else query.where(promotions.c.at <= stamp(until))


def _pin(step: str, day: str, model: str) -> Any:
    return select(pins.c.bundle).where(pins.c.step == step, pins.c.day == day, pins.c.model == model)


def _current(con: Connection, model: str) -> list[Promotion]:
    """The row of the model's champion and those after it: all that a next row depends on."""
    champion = _stored(con, _newest(model, CHAMPION_KINDS))
    since = champion[0]["epoch"] if champion else 0
    return [_promotion(row) for row in _stored(con, _IN_ORDER.where(promotions.c.model == model, promotions.c.epoch >= since))]


def _rows(con: Connection, model: str | None) -> list[Promotion]:
    query = _IN_ORDER if model is None else _IN_ORDER.where(promotions.c.model == model)
    return [_promotion(row) for row in _stored(con, query)]


def _stored(con: Connection, query: Any) -> list[Row]:
    return [dict(row) for row in con.execute(query).mappings()]


def _seal(row: Row) -> str:
    """Over the columns as they are stored, so that not one byte of them can change."""
    return _sha256({name: value for name, value in row.items() if name not in ("seal", "signature")})


def _seal_of_old(row: Row) -> str:
    """As the first journals were sealed: without the later columns, over the reasons as a list."""
    later = ("seal", "form", "details", "versions", "signature")
    content = {name: value for name, value in row.items() if name not in later}
    reasons = list(_reasons(row["reasons"]))
    is_as_written = _json(reasons) == row["reasons"] and (row["details"], row["versions"], row["signature"]) == ("{}", "{}", "")
    return _sha256({**content, "reasons": reasons}) if is_as_written else ""


def _sha256(content: Row) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _changed(row: Row) -> Tampered:
    return Tampered(
        f"Row {row['epoch']} of the journal ({row['kind']} of {row['model']}, {row['at']}) is not the row that was written. "
        "Restore the database, and find out who wrote to it."
    )


def _promotion(row: Row) -> Promotion:
    parts = {"reasons": _reasons(row["reasons"]), "details": _object(row["details"]), "versions": _object(row["versions"])}
    return Promotion(**{**row, **parts})


def _reasons(text: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text))
    except ValueError:
        return (text,)  # whoever broke it is found by verify


def _object(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {"unreadable": text}


def _json(content: Any) -> str:
    try:
        return json.dumps(content, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as wrong:
        raise JournalError(f"A row holds plain JSON alone: {wrong}. Give text, finite numbers, lists and dicts.") from None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _beside(url: str) -> Path:
    where = make_url(url)
    if where.get_backend_name() != "sqlite" or not where.database:
        raise JournalError(f"Where are the keys of the journal at {where.render_as_string()}? Use Journal.of(settings).")
    return Path(where.database).parent
