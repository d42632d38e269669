"""What waits for a person: a candidate that the gate would promote, whose policy asks for an approval, and the answer."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING

from registry import VERDICTS, RegistryError, candidates, promote
from registry.policy import PERSON, load_policy
from whence.contracts.models import Candidate

if TYPE_CHECKING:
    from registry.gate import Verdict
    from whence.contracts.settings import Settings

WHO = 120
"""The journal's column is a little longer."""


def waiting(settings: Settings, model: str, as_of: date) -> dict[str, str]:
    """What a person is asked about a model's candidate of a day: subject, body, and the verdict's digest; empty when nothing waits."""
    from registry.gate import PROMOTE
    from registry.journal import Journal
    from registry.store import verdict_words

    journal = Journal.of(settings)
    for candidate in candidates(settings, as_of):
        if candidate.model != model or candidate.drill or load_policy(model, settings.home).approval != PERSON:
            continue
        verdict = _newest(settings, candidate)
        if verdict and verdict.decision == PROMOTE and not journal.had_its_turn(model, candidate.bundle):
            subject = f"Shall {model} {candidate.bundle[:12]}, as of {candidate.as_of}, become champion?"
            return {"subject": subject, "body": verdict_words(candidate, verdict), "verdict": verdict.digest}
    return {}


def approve(settings: Settings, model: str, as_of: date, digest: str, who: str, now: datetime) -> str:
    """Promote what a person approved, in their name; in words what came of it.

    The approval is of one verdict. Raises RegistryError when that verdict is not of this day's candidate any more, and
    Conflict when another became champion while it waited.
    """
    for candidate in candidates(settings, as_of):
        verdict = _newest(settings, candidate) if candidate.model == model else None
        if verdict and verdict.digest == digest:
            row = promote(settings, candidate, verdict, f"{who}, who approved it"[:WHO], now)
            return f"epoch {row.epoch}: {row.kind} by {row.who}" if row else "it had its turn"
    raise RegistryError(
        f"The verdict {digest[:12]} that {who} approved is not the newest on a candidate of {model} as of {as_of}. "
        "Run judge_and_promote for the day again, and ask again."
    )


def _newest(settings: Settings, candidate: Candidate) -> Verdict | None:
    """The newest verdict on a candidate, by the copy that is named by its digest."""
    from pathlib import Path

    from registry.gate import Verdict

    kept = Path(candidate.folder) / "verdict.json"
    if not kept.exists():
        return None
    verdict = Verdict.from_dict(json.loads(kept.read_text()))
    return verdict if (settings.home / VERDICTS / f"{verdict.digest}.json").exists() else None
