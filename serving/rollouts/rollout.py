"""Which bundle answers for a person while a challenger is on its way, and what the next step is, given the evidence: on paper."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from registry.rollouts import WATCH, Rollout, Step
from registry.succession import ABORT, CANARY, FINISH, PROMOTE, ROLLBACK, SHADOW
from whence.contracts.events import LINK_KEYS
from whence.measures.arms import CHALLENGER, CHAMPION, GROUPS
from whence.measures.sequential import HARM, OPEN, Look, outcome

ARMS = ("champion", "challenger")
"""What the arms are called, by their number."""
FAILURES, SLOWNESS, SCORES = "failures", "slowness", "scores"
LOSS, LEVEL = "log loss", "calibration"
OF_ANSWERS, OF_LABELS = (FAILURES, SLOWNESS, SCORES), (LOSS, LEVEL)
WORDS = {
    FAILURES: "it fails more often than the champion",
    SLOWNESS: "its answers are slow more often than the champion's",
    SCORES: "its scores lie elsewhere than the champion's",
    LOSS: "it loses more than the champion on labels of the same decisions",
    LEVEL: "its probabilities are farther off their level than the champion's",
}


@dataclass(frozen=True)
class Place:
    """Where a person stands in a rollout: the same in every process, on every day, at every share."""

    height: float
    """Between 0 and 1: those below the share are in the canary, so whoever is in stays in when the share is raised."""
    group: int
    """The group of people that counts are kept by."""

    def arm(self, share: float) -> int:
        """Who answers for the person when the challenger has this share of the people."""
        return CHALLENGER if self.height < share else CHAMPION


@dataclass(frozen=True)
class Evidence:
    """What is known of a stage."""

    answers: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    """Looks at the answers of the stage, by check."""
    labels: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    """Looks at labels, by check."""
    broken: tuple[str, ...] = ()
    """What must not go on for another second, in words."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Counts that a person would want to see beside it."""

    def as_dict(self) -> dict[str, Any]:
        """As the journal keeps it: each check's looks as [share of the plan, standard errors]."""
        looks = {**self.answers, **self.labels}
        rounded = {name: [[round(each.share, 4), round(each.z, 2)] for each in seen] for name, seen in looks.items()}
        return {"looks": rounded, **({"broken": list(self.broken)} if self.broken else {}), **self.facts}


def place(key: bytes, rollout: Rollout, person: str) -> Place:
    """Where a person stands in a rollout; who does not know the key cannot choose to be in.

    `person` is what `person_key` gives.
    """
    drawn = hashlib.blake2b(f"{rollout.model}/{rollout.number}/{person}".encode(), key=key, digest_size=16).digest()
    return Place(int.from_bytes(drawn[:8], "big") / 2**64, int.from_bytes(drawn[8:], "big") % GROUPS)


def person_key(person: str | None, event: Mapping[str, Any]) -> str:
    """Who an event is of: the person where one is known, else its strongest identifier, its network, or itself.

    >>> event = {"cookie_id": "c1", "ip_key": "home", "event_id": "e1"}
    >>> person_key("p7", event), person_key(None, event), person_key(None, {"ip_key": "home"})
    ('person:p7', 'cookie_id:c1', 'ip_key:home')
    """
    if person:
        return f"person:{person}"
    for name in (*LINK_KEYS, "ip_key", "event_id"):
        if event.get(name) is not None:
            return f"{name}:{event[name]}"
    return ""


def next_step(rollout: Rollout, evidence: Evidence, now: datetime) -> Step | None:
    """What is to happen now; None while the stage goes on.

    Harm ends it at once. Otherwise a stage lasts until every check has seen all of its planned evidence, and for the least
    time; the last one before the promotion waits for labels, too. What is not shown in the longest time is not waited for.
    """
    if rollout.stage == FINISH:
        return Step(PROMOTE, ("Every stage of its rollout is behind it without harm.",))
    policy = rollout.policy
    found = {name: outcome(looks, policy.level_each) for name, looks in {**evidence.answers, **evidence.labels}.items()}
    harm = [*evidence.broken, *(f"{WORDS[name]} ({_z(name, evidence)})" for name in found if found[name] == HARM)]
    told = evidence.as_dict()
    if harm:
        return Step(
            ROLLBACK if rollout.stage == WATCH else ABORT, (f"In the {stage_name(rollout)}, {'; '.join(harm)}.",), 0.0, told
        )
    age = now - rollout.since
    if rollout.stage == WATCH:
        return None
    if waits := [name for name in _needed(rollout) if found.get(name, OPEN) == OPEN]:
        if age < timedelta(hours=policy.most_hours):
            return None
        words = f"After {policy.most_hours:g} h of {stage_name(rollout)} there is too little evidence on {', '.join(waits)}."
        return Step(ABORT, (f"{words} The champion stays.",), 0.0, told)
    return _onwards(rollout, told) if age >= timedelta(hours=policy.least_hours) else None


def stage_name(rollout: Rollout) -> str:
    """The stage as one says it, as `canary of 5 %`."""
    return f"canary of {100 * rollout.share:g} %" if rollout.stage == CANARY else rollout.stage


def _onwards(rollout: Rollout, told: Mapping[str, Any]) -> Step:
    reasons = (f"The {stage_name(rollout)} showed no harm in what was planned.",)
    share = next((share for share in rollout.policy.shares if rollout.stage == SHADOW or share > rollout.share), None)
    return Step(FINISH, reasons, rollout.share, told) if share is None else Step(CANARY, reasons, share, told)


def _needed(rollout: Rollout) -> tuple[str, ...]:
    """The checks that must have seen all of their evidence before the next stage."""
    is_last = rollout.stage == CANARY and rollout.share >= rollout.policy.shares[-1]
    return (*OF_ANSWERS, *(OF_LABELS if is_last and rollout.policy.labelled_people else ()))


def _z(name: str, evidence: Evidence) -> str:
    looks = [*evidence.answers.get(name, ()), *evidence.labels.get(name, ())]
    worst = max(looks, key=lambda look: look.z)
    return f"{worst.z:.1f} standard errors beyond what is tolerated, at {100 * worst.share:.0f} % of the planned evidence"
