"""From candidate to champion: register it, judge it, promote it, and go back when it was a mistake.

Each function may run twice: the second time it finds its work done.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whence.contracts.models import Candidate

if TYPE_CHECKING:
    from registry.gate import Verdict
    from registry.journal import Promotion
    from whence.contracts.settings import Settings

ATTEMPTS = 3
VERDICTS = "verdicts"
"""Below home: each verdict in full, by the digest that the journal's row names."""


class RegistryError(RuntimeError):
    """A candidate cannot be registered, judged or promoted; the message says why."""


def register(settings: Settings, candidate: Candidate) -> str:
    """Keep a candidate for the gate and put it into MLflow; gives its version, the same for the same candidate."""
    from registry import store
    from whence import bundle_store

    bundle_store.share(settings, candidate.bundle)
    told = candidate.as_dict()
    del told["folder"]  # it is where this lies, and a home may move
    _write(Path(candidate.folder) / "candidate.json", told)
    return store.log_candidate(settings, candidate)


def candidates(settings: Settings, as_of: date) -> list[Candidate]:
    """The registered candidates of a day, in the order of model and digest."""
    paths = settings.candidates.glob(f"*/{as_of.isoformat()}/*/candidate.json")
    found = (Candidate(**{**json.loads(path.read_text()), "folder": str(path.parent)}) for path in paths)
    return sorted(found, key=lambda each: (each.model, each.bundle))


def judge(settings: Settings, candidate: Candidate, now: datetime) -> Verdict:
    """Score candidate and champion on the candidate's held-out rows, judge, and write the verdict into MLflow.

    A bundle that has had its turn as champion keeps the verdict that it had. A drill is never promoted.
    """
    from registry import gate, store
    from registry.journal import Journal
    from registry.judging import verdict_on

    journal = Journal.of(settings)
    kept = Path(candidate.folder) / "verdict.json"
    if journal.was_champion(candidate.model, candidate.bundle) and kept.exists():
        return gate.Verdict.from_dict(json.loads(kept.read_text()))
    champion = journal.champion(candidate.model)
    verdict = verdict_on(settings, candidate, champion)
    _write(settings.home / VERDICTS / f"{verdict.digest}.json", verdict.as_dict())
    _write(kept, verdict.as_dict())
    store.log_verdict(settings, candidate, verdict)
    return verdict


def promote(
    settings: Settings, candidate: Candidate, verdict: Verdict, who: str, now: datetime, *, again: bool = False
) -> Promotion | None:
    """Make the candidate champion when its verdict allows, or the challenger where registry/rollout.toml says so; None when not.

    A bundle that is champion gives its row. One that was champion before, or was withdrawn from a rollout, is left alone, so
    that a rerun of an old day undoes no rollback, unless `again`. Raises Conflict when the champion changed since the verdict: judge again.
    """
    from registry import gate, rollouts
    from registry.journal import Journal
    from whence import bundle_store

    if verdict.bundle != candidate.bundle:
        raise RegistryError(
            f"The verdict is on {verdict.bundle[:12]}, not on {candidate.bundle[:12]}. Judge the candidate first."
        )
    if verdict.decision != gate.PROMOTE or candidate.drill:
        return None
    journal = Journal.of(settings)
    row = journal.champion(candidate.model)
    if row is None or row.bundle != candidate.bundle:
        if journal.had_its_turn(candidate.model, candidate.bundle) and not again:
            return None
        expected = row.epoch if again and row else verdict.epoch
        bundle_store.share(settings, candidate.bundle)  # whoever follows the row must find it
        made_of = versions(settings, candidate)
        if row and rollouts.is_staged(settings, candidate.model):
            said = (verdict.reasons, who, now, verdict.digest, expected, made_of)
            return rollouts.challenge(settings, candidate, *said)
        row = journal.promote(candidate.model, candidate.bundle, verdict.digest, verdict.reasons, who, expected, now, made_of)
    _reconcile_if_up(settings, now)
    return row


def judge_and_promote(settings: Settings, as_of: date, who: str, now: datetime, *, is_person: bool = False) -> dict[str, str]:
    """Judge every candidate of a day and promote those that pass; what came of each, in words.

    Where the policy asks for a person's approval, one that passes is left waiting (see registry.approvals), unless `who`
    is a person.
    """
    return {
        f"{each.model} {each.bundle[:12]}{f' ({each.drill})' if each.drill else ''}": decide(
            settings, each, who, now, is_person=is_person
        )
        for each in candidates(settings, as_of)
    }


def decide(settings: Settings, candidate: Candidate, who: str, now: datetime, *, is_person: bool = False) -> str:
    """Judge one registered candidate, and promote it when it passes; in words what came of it. See judge_and_promote."""
    from registry import approvals
    from registry.journal import Conflict

    for attempt in range(ATTEMPTS):
        verdict = judge(settings, candidate, now)
        if not is_person and approvals.waiting(settings, candidate.model, as_of=date.fromisoformat(candidate.as_of)):
            return f"waits for a person: {' '.join(verdict.reasons)}"
        try:
            row = promote(settings, candidate, verdict, who, now)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return f"{_came_of(verdict, row)}: {' '.join(verdict.reasons)}"
    raise AssertionError("unreachable")


def rollback(
    settings: Settings, model: str, who: str, reason: str, now: datetime, *, expected_epoch: int | None = None
) -> Promotion:
    """Bring back the champion before this one. The journal's row counts; MLflow's alias follows when MLflow is up.

    Asked twice it goes back two, unless `expected_epoch` says which champion is meant: then the second is a Conflict.
    """
    from registry.journal import Journal

    row = Journal.of(settings).rollback(model, who, reason, now, expected_epoch)
    _reconcile_if_up(settings, now)
    return row


def champion(settings: Settings, model: str) -> Promotion | None:
    """The model's champion, None before the first."""
    from registry.journal import Journal

    return Journal.of(settings).champion(model)


def versions(settings: Settings, candidate: Candidate) -> dict[str, Any]:
    """What a candidate was made of, for its rows in the journal: data, features, identity, policies and libraries."""
    from registry.policy import load_policy
    from whence.attribution import policy
    from whence.bundle import bundle_manifest
    from whence.contracts.events import EVENTS

    report = Path(candidate.folder) / "data.json"
    tables = json.loads(report.read_text()).get("tables", {}) if report.exists() else {}
    pays = policy.of(settings)
    return {
        "data": {name: version for name, version in tables.items() if name in EVENTS},
        "features": {name: version for name, version in tables.items() if name not in (*EVENTS, "persons")},
        "identity": {name: version for name, version in tables.items() if name == "persons"},
        "policy": {"gate": load_policy(candidate.model, settings.home).digest, "attribution": policy.digest(pays)},
        "libraries": bundle_manifest(settings.bundles, candidate.bundle)["versions"],
    }


def _came_of(verdict: Verdict, row: Promotion | None) -> str:
    from registry.journal import CHAMPION_KINDS

    if row is None:
        return "had its turn, or another challenger has" if verdict.decision == "promote" else verdict.decision
    return f"{'champion' if row.kind in CHAMPION_KINDS else 'challenger'} of epoch {row.epoch}"


def _reconcile_if_up(settings: Settings, now: datetime) -> None:
    """Promotion and rollback must work with MLflow down; the watcher (registry.follow) sets the alias when it is back."""
    from registry import aliases

    try:
        aliases.reconcile(settings, now)
    except aliases.AliasError as down:
        logging.getLogger(__name__).warning("The journal's row counts; MLflow's alias follows later: %s", down)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    os.replace(draft, path)
