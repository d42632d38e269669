"""A challenger's way to traffic, as the journal's rows tell it: what is under way, under which policy, and its next row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import policy_files
from registry.succession import ABORT, PROMOTE, ROLLBACK, SHADOW

if TYPE_CHECKING:
    from registry.journal import Journal
    from registry.succession import Promotion
    from whence.contracts.models import Candidate
    from whence.contracts.settings import Settings

POLICY = Path(__file__).with_name("rollout.toml")
DIRECT, STAGED = "direct", "staged"
WATCH = "watch"
"""The stage after the promotion: the champion before stands by."""
CHECKS, BY_LABEL = 3, 2
"""Checks of each stage's answers, and of labels before and after the promotion."""


class RolloutError(RuntimeError):
    """A rollout cannot be started or stopped as asked; the message says why."""


@dataclass(frozen=True)
class RolloutPolicy:
    """How a model's challengers are tried; see rollout.toml for what each number means."""

    mode: str
    level: float
    looks: int
    shares: tuple[float, ...]
    answers: int
    slow_ms: float
    shift: float
    labelled_people: int
    loss: float
    calibration: float
    least_hours: float
    most_hours: float
    watch_hours: float
    mirror_duty: float

    @property
    def level_each(self) -> float:
        """The level of one check of one stage: the stages are shadow, the canaries and the watch."""
        return self.level / (CHECKS * (len(self.shares) + 2) + 2 * BY_LABEL)

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for the journal."""
        return {**asdict(self), "shares": list(self.shares)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> RolloutPolicy:
        """The policy that a dict was made of."""
        return cls(**{**content, "shares": tuple(content["shares"])})


@dataclass(frozen=True)
class Rollout:
    """A challenger on its way."""

    model: str
    number: int
    """The epoch of its first row: who is in the canary follows from it."""
    champion: str
    """The bundle that it is compared with; in the watch, the champion before."""
    challenger: str
    stage: str
    """shadow, canary, finish or watch."""
    share: float
    """Of the people, whom the challenger answers."""
    epoch: int
    """Of the row that began the stage."""
    since: datetime
    policy: RolloutPolicy
    """As it was when the rollout began."""
    verdict: str = ""
    """SHA-256 of the gate's verdict."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    """What the challenger was made of."""

    def is_over(self, now: datetime) -> bool:
        """True when it is a watch that has ended."""
        return self.stage == WATCH and now >= self.since + timedelta(hours=self.policy.watch_hours)

    def as_dict(self) -> dict[str, Any]:
        """A plain dict, for another process."""
        return {**vars(self), "since": self.since.isoformat(), "policy": self.policy.as_dict(), "versions": dict(self.versions)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Rollout:
        """The rollout that a dict was made of."""
        policy, since = RolloutPolicy.of(content["policy"]), datetime.fromisoformat(content["since"])
        return cls(**{**content, "since": since, "policy": policy})


@dataclass(frozen=True)
class Step:
    """What is to happen next: canary, finish, promote, abort or rollback."""

    kind: str
    reasons: tuple[str, ...]
    share: float = 0.0
    evidence: Mapping[str, Any] | None = None


def load_policy(model: str, home: Path | None = None) -> RolloutPolicy:
    """The policy of a model: [all], then the model's own section; home/rollout.toml goes before. Raises RolloutError naming the key."""
    contents, path = policy_files.contents(POLICY, home, RolloutError)
    given: dict[str, Any] = {}
    for section in ("all", model):
        for content in contents:
            given |= content.get(section, {})
    known = {each.name for each in fields(RolloutPolicy)}
    if unknown := sorted(set(given) - known):
        raise RolloutError(f"{path} knows no '{unknown[0]}' for {model}. Known: {', '.join(sorted(known))}.")
    return _sound(RolloutPolicy(**{**given, "shares": tuple(given["shares"])}), path)


def stage_of(row: Promotion) -> Rollout:
    """The stage that a step of a rollout began."""
    return Rollout(
        model=row.model,
        number=int(row.details.get("rollout", row.epoch)),
        champion=row.previous,
        challenger=row.bundle,
        stage=row.kind,
        share=float(row.details.get("share", 0.0)),
        epoch=row.epoch,
        since=datetime.fromisoformat(row.at),
        policy=RolloutPolicy.of(row.details["policy"]),
        verdict=str(row.details.get("verdict", "")),
        versions=row.versions,
    )


def start(
    settings: Settings,
    model: str,
    bundle: str,
    reasons: Sequence[str],
    who: str,
    now: datetime,
    verdict: str = "",
    expected_epoch: int | None = None,
    versions: Mapping[str, Any] | None = None,
) -> Promotion:
    """Let a bundle challenge the model's champion, first in the shadow.

    With `expected_epoch`, only if that is the model's newest row. Raises JournalError or Conflict when it cannot be.
    """
    from registry.journal import Journal

    journal = Journal.of(settings)
    details = {"verdict": verdict, "policy": load_policy(model, settings.home).as_dict()}
    expected = journal.head(model) if expected_epoch is None else expected_epoch
    return journal.step(SHADOW, model, bundle, details, tuple(reasons), who, expected, now, versions)


def is_staged(settings: Settings, model: str) -> bool:
    """True when the gate's word makes a challenger of a candidate, and not yet a champion."""
    return load_policy(model, settings.home).mode == STAGED


def challenge(
    settings: Settings,
    candidate: Candidate,
    reasons: Sequence[str],
    who: str,
    now: datetime,
    verdict: str,
    expected_epoch: int,
    versions: Mapping[str, Any],
) -> Promotion | None:
    """Let a candidate challenge the champion of `expected_epoch`, which its verdict was on; its row if it does already.

    None while another one challenges: a candidate of every day would otherwise keep every rollout from ending. Raises Conflict
    when the champion changed since the verdict.
    """
    from registry.journal import Conflict, Journal

    journal = Journal.of(settings)
    head, champion = journal.head(candidate.model), journal.champion(candidate.model)
    if champion is None or champion.epoch != expected_epoch:
        raise Conflict(f"The champion of {candidate.model} is not of epoch {expected_epoch} any more. Judge again.")
    if row := journal.challenger(candidate.model):
        return row if row.bundle == candidate.bundle else None
    return start(settings, candidate.model, candidate.bundle, reasons, who, now, verdict, head, versions)


def abort(settings: Settings, model: str, who: str, reason: str, now: datetime) -> Promotion:
    """Withdraw the model's challenger; the champion stays. A new champion under watch is not aborted but rolled back."""
    from registry.journal import Journal

    journal = Journal.of(settings)
    row = journal.challenger(model)
    if row is None:
        raise RolloutError(f"No challenger of {model} is on its way. `whence rollout status` shows what is.")
    return journal.step(ABORT, model, row.bundle, {"rollout": stage_of(row).number}, (reason,), who, row.epoch, now)


def proceed(journal: Journal, rollout: Rollout, step: Step, who: str, now: datetime) -> Promotion:
    """Write the step as the journal's next row. Raises Conflict when somebody else made one since."""
    if step.kind == ROLLBACK:
        return journal.rollback(rollout.model, who, " ".join(step.reasons), now, rollout.epoch)
    if step.kind == PROMOTE:
        promoted = (rollout.model, rollout.challenger, rollout.verdict, step.reasons, who, rollout.epoch, now, rollout.versions)
        return journal.promote(*promoted)
    details = {
        "rollout": rollout.number,
        "stage": rollout.stage,
        "share": step.share,
        "verdict": rollout.verdict,
        "policy": rollout.policy.as_dict(),
        "evidence": step.evidence or {},
    }
    return journal.step(
        step.kind, rollout.model, rollout.challenger, details, step.reasons, who, rollout.epoch, now, rollout.versions
    )


def _sound(policy: RolloutPolicy, file: Path) -> RolloutPolicy:
    wrong = {
        "mode": policy.mode not in (DIRECT, STAGED),
        "level": not 0 < policy.level < 0.5,
        "looks": policy.looks < 1,
        "shares": not all(low < high for low, high in zip((0.0, *policy.shares), (*policy.shares, 1.0), strict=True)),
        "answers": policy.answers < policy.looks,
        "calibration": policy.calibration < 1,
        "mirror_duty": not 0 < policy.mirror_duty <= 1,
    }
    if bad := next((name for name, is_wrong in wrong.items() if is_wrong), None):
        raise RolloutError(f"{file}: {bad} cannot be {getattr(policy, bad)!r}. See registry/rollout.toml for what it means.")
    return policy
