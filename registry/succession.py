"""Who may follow whom: what the rows of one model say about its champion and its challenger, and which row may come next.

A promotion or a rollback changes the champion. A challenger is tried first, beside the champion:

    shadow   it scores mirrored traffic, and nobody sees its answers
    canary   it answers a share of the people, which `details` names
    finish   it has shown what it had to; its promotion is next
    abort    it is withdrawn

It is no challenger any more once it was aborted, was promoted, or another bundle became champion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

PROMOTE, ROLLBACK = "promote", "rollback"
SHADOW, CANARY, FINISH, ABORT = "shadow", "canary", "finish", "abort"
CHAMPION_KINDS = (PROMOTE, ROLLBACK)
ROLLOUT_KINDS = (SHADOW, CANARY, FINISH, ABORT)
SIGN = "sign"
"""A row that says nothing of a model: the rows before it, which nobody signed, are covered by its signature."""


class JournalError(RuntimeError):
    """The journal cannot do this; the message says why."""


class Conflict(JournalError):
    """Somebody else decided first, so this decision was based on a champion that is no longer one."""


class Tampered(JournalError):
    """A row is not the row that was written, or is no longer there."""


class _OfKind(Protocol):
    @property
    def kind(self) -> str: ...


Row = TypeVar("Row", bound=_OfKind)
"""A row whole, or as much of it as says what kind it is of."""


class Told(NamedTuple):
    """As much of a row as tells who follows whom, and its seal, which no other row has."""

    epoch: int
    model: str
    kind: str
    bundle: str
    seal: str


@dataclass(frozen=True)
class Promotion:
    """One row. For a promotion or a rollback: from `at` on, `bundle` is the champion of `model`."""

    epoch: int
    model: str
    bundle: str
    previous: str
    """The champion that it replaced, or that a challenger is tried against; empty for a first champion."""
    kind: str
    """promote, rollback, shadow, canary, finish or abort."""
    verdict: str
    """SHA-256 of the verdict that allowed it; empty for a rollback and for a step of a rollout."""
    reasons: tuple[str, ...]
    who: str
    """Who or what decided."""
    at: str
    """UTC instant, ISO 8601."""
    prior: str
    """The seal of the row before."""
    seal: str
    """SHA-256 over every column but the signature."""
    form: int = 2
    """What the seal covers: rows of form 1 are older, and signed by a later row alone."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Of a step of a rollout: its share, stage and evidence."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    """What the bundle was made of: data, features, identity, policy and libraries."""
    signature: str = ""
    """Ed25519 of the seal, by the promoter."""

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for JSON and XCom."""
        return {**asdict(self), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Decision:
    """What is to become the next row."""

    kind: str
    model: str
    bundle: str
    previous: str = ""
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    who: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)


def champion_of(rows: Sequence[Row]) -> Row | None:
    """The newest row that made a champion."""
    return next((row for row in reversed(rows) if row.kind in CHAMPION_KINDS), None)


def challenger_of(rows: Sequence[Row]) -> Row | None:
    """The newest step of the rollout that is under way."""
    return rows[-1] if rows and rows[-1].kind in (SHADOW, CANARY, FINISH) else None


def demand_promotion(rows: Sequence[Promotion], model: str, bundle: str, expected_epoch: int) -> None:
    """Refuse with a Conflict when somebody decided otherwise since the epoch that this promotion was based on.

    That epoch is the champion's, or the one of any later step of its challenger.
    """
    found = champion.epoch if (champion := champion_of(rows)) else 0
    if expected_epoch not in (found, _head(rows)):
        raise Conflict(
            f"The champion of {model} is of epoch {found}, and this decision was based on epoch {expected_epoch}. Judge again."
        )
    stopped = next((row for row in rows if row.kind == ABORT and row.bundle == bundle and row.epoch > expected_epoch), None)
    if stopped:
        raise Conflict(
            f"{bundle[:12]} was aborted at epoch {stopped.epoch} ({' '.join(stopped.reasons)}). Train another candidate."
        )


def step(rows: Sequence[Promotion], decision: Decision, expected_epoch: int) -> None:
    """Refuse a step of a rollout that does not follow from the rows: a Conflict when somebody else made one meanwhile."""
    kind, model, bundle = decision.kind, decision.model, decision.bundle
    if kind not in ROLLOUT_KINDS:
        raise JournalError(f"A rollout has no step '{kind}'. It has {', '.join(ROLLOUT_KINDS)}.")
    if (found := _head(rows)) != expected_epoch:
        raise Conflict(
            f"The newest row of {model} is of epoch {found}, and this step was based on epoch {expected_epoch}. Look again."
        )
    champion, under_way = champion_of(rows), challenger_of(rows)
    if champion is None:
        raise JournalError(f"{model} has no champion that {bundle[:12]} could challenge. Promote a candidate first.")
    if champion.bundle == bundle:
        raise JournalError(f"{bundle[:12]} is the champion of {model}, and cannot challenge itself.")
    if under_way and under_way.bundle != bundle:
        raise JournalError(f"{under_way.bundle[:12]} challenges the champion of {model} already. Abort that rollout first.")
    if kind in (FINISH, ABORT) and not under_way:
        raise JournalError(f"No rollout of {model} is under way, so there is none to {kind}.")


def before_last(rows: Sequence[Promotion], model: str, expected_epoch: int | None) -> Promotion:
    """The row that made the champion before this one. Raises JournalError when there is none, Conflict on another champion."""
    stand = standing(rows)
    if len(stand) < 2:
        have = f"{model} has no champion"
        if stand:  # others may have been there since, and were taken back
            have += f" before {stand[0].bundle[:12]}, which was promoted as epoch {stand[0].epoch}"
        raise JournalError(f"{have}, so there is none to go back to. Promote another candidate instead.")
    champion = champion_of(rows)
    assert champion is not None
    if expected_epoch is not None and champion.epoch != expected_epoch:
        raise Conflict(f"The champion of {model} is of epoch {champion.epoch} already, not {expected_epoch}. Look again.")
    return stand[-2]


def standing(rows: Sequence[Row]) -> list[Row]:
    """The champions that stand on one another, newest last: a promotion puts one on top, a rollback takes one off."""
    stand: list[Row] = []
    for row in rows:
        if row.kind == PROMOTE:
            stand.append(row)
        elif row.kind == ROLLBACK:
            stand.pop()
    return stand


def _head(rows: Sequence[Promotion]) -> int:
    return rows[-1].epoch if rows else 0
