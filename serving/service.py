"""The service's questions, each answered whole by one bundle, and its decision handed to the log."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from serving import answers, matcher, requests
from serving.champion import Champion, Follower
from serving.decision_lines import Decision
from serving.decision_log import DecisionLog
from serving.doors import Asked, Refusal
from serving.metrics import Metrics
from serving.picking import Mirrored, Picked, Picker
from serving.scored import Scored
from serving.shapes import RequestError
from whence.attribution import policy as policies
from whence.bundle import InputError, Scorer
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER, MODELS
from whence.contracts.settings import Settings

NOT_LOGGED = "the decision could not be logged"


@dataclass
class Service:
    """The parts, handed in at the front door. Handlers run on the event loop: a question takes less than going to a thread."""

    settings: Settings
    follower: Follower
    picker: Picker
    store: matcher.Store
    log: DecisionLog
    metrics: Metrics

    def __post_init__(self) -> None:
        """Read the policy once; one that cannot be keeps the service from starting."""
        self.policy = policies.of(self.settings)

    async def match(self, asked: Asked) -> dict[str, Any]:
        """Whose is this signal?"""
        question = requests.match_request(asked.content, asked.now)
        picked = self._picked(IDENTITY_RANKER, question.person_key)
        known, ask = self._matching(question)
        found = ask(known, _scorer(picked))
        name = secrets.token_hex(16)
        answer = answers.matched(name, found, _digest(picked))
        subject = question.signal["event_id"] or name
        await self._note(answer, picked, subject, known, found.scored, question.durable)
        self._mirror(IDENTITY_RANKER, question.person_key, picked, known, found.scored, ask)
        return answer

    async def attribute(self, asked: Asked) -> dict[str, Any]:
        """Which touches earned this conversion?"""
        question = requests.attribute_request(asked.content, asked.now)
        picked = self._picked(ATTRIBUTION_RANKER, question.person_key)
        known, ask = self._attributing(question)
        credit = ask(known, _scorer(picked))
        name, conversion = secrets.token_hex(16), question.conversion
        answer = answers.attributed(name, credit, self.policy.name, conversion["currency"], _digest(picked))
        await self._note(answer, picked, conversion["conversion_id"], known, credit.scored, question.durable)
        self._mirror(ATTRIBUTION_RANKER, question.person_key, picked, known, credit.scored, ask)
        return answer

    async def score(self, asked: Asked) -> dict[str, Any]:
        """How likely are these rows? They are the caller's own, and are not logged."""
        question = requests.score_request(asked.content)
        picked = self._picked(question.model, "")
        if picked is None:
            raise Refusal(409, "model", f"{question.model} has no champion. Promote one, or ask another model.")
        scorer = picked.champion.scorer
        columns = dict(zip(question.names, zip(*question.rows, strict=True), strict=True))
        try:
            raw, probability = scorer.score(columns)
        except InputError as wrong:
            raise RequestError("rows", str(wrong)) from None
        return {"model": question.model, "bundle": scorer.digest, "raw": raw.tolist(), "probability": probability.tolist()}

    async def models(self, asked: Asked) -> dict[str, Any]:
        """What serves now."""
        return {"models": [_serving(champion) for _, champion in sorted(self.follower.lineup.items())]}

    async def live(self, asked: Asked) -> dict[str, Any]:
        """The process answers."""
        return {"status": "live"}

    async def ready(self, asked: Asked) -> dict[str, Any]:
        """It has looked at the journal; and what serves. A model without a champion degrades, it does not stop us."""
        lineup = self.follower.lineup
        return {
            "status": "ready" if self.follower.has_polled else "starting",
            "models": {model: _standing(lineup.get(model)) for model in MODELS},
            "degraded": [f"{model} has no champion" for model in MODELS if model not in lineup],
        }

    async def show_metrics(self, asked: Asked) -> bytes:
        """What is counted."""
        for model, champion in self.follower.lineup.items():
            self.metrics.champion.labels(model).set(champion.epoch)
        return self.metrics.show()

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """From the first look at the journal to the last line of the log."""
        following = asyncio.create_task(self.follower.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await asyncio.to_thread(self.log.close)

    def _picked(self, model: str, person_key: str) -> Picked | None:
        picked = self.picker.pick(model, person_key)
        if picked is not None:
            self.metrics.scored_by(model, picked.champion.scorer.digest, picked.role)
        return picked

    def _matching(self, question: requests.MatchRequest) -> tuple[matcher.Known, _Ask]:
        def ask(known: matcher.Known, scorer: Scorer | None) -> matcher.Answer:
            return matcher.match(question.signal, known, scorer, self.settings.identity)

        return matcher.Known(self.store, question.signal["seen_at"]), ask

    def _attributing(self, question: requests.AttributeRequest) -> tuple[matcher.Known, Any]:
        def ask(known: matcher.Known, scorer: Scorer | None) -> matcher.Credit:
            return matcher.attribute(question.conversion, question.touches, question.person_id, known, scorer, self.policy)

        return matcher.Known(self.store, question.conversion["seen_at"]), ask

    async def _note(
        self,
        answer: dict[str, Any],
        picked: Picked | None,
        subject: str,
        known: matcher.Known,
        scored: Scored | None,
        is_durable: bool,
    ) -> None:
        """Log what was scored, and say in the answer whether the disk has it; one that cannot be logged goes out all the same."""
        answer["logged"] = None
        if picked is not None and scored is not None:
            scorer = picked.champion.scorer
            decision = Decision(answer["decision_id"], known.now, scorer.model, scorer.digest, subject, scored)
            if is_durable:
                answer["logged"] = await self.log.durably(decision)
            elif not self.log.offer(decision):
                answer["logged"] = False
            if answer["logged"] is False:
                answer["degraded"].append(NOT_LOGGED)
        if answer["degraded"] or known.stale:
            self.metrics.doubts(answer["degraded"], known.stale)

    def _mirror(
        self, model: str, person_key: str, picked: Picked | None, known: matcher.Known, scored: Scored | None, ask: _Ask
    ) -> None:
        if picked is not None and scored is not None:

            def again(scorer: Scorer) -> Scored | None:
                found: Scored | None = ask(matcher.Known(known.store, known.now), scorer).scored
                return found

            self.picker.mirror(Mirrored(model, person_key, picked, scored, again))


_Ask = Callable[[matcher.Known, "Scorer | None"], Any]


def _scorer(picked: Picked | None) -> Scorer | None:
    return picked.champion.scorer if picked else None


def _digest(picked: Picked | None) -> str | None:
    return picked.champion.scorer.digest if picked else None


def _standing(champion: Champion | None) -> dict[str, Any]:
    return {"bundle": champion.scorer.digest if champion else None, "epoch": champion.epoch if champion else None}


def _serving(champion: Champion) -> dict[str, Any]:
    scorer = champion.scorer
    return {
        "model": scorer.model,
        "bundle": scorer.digest,
        "epoch": champion.epoch,
        "numbers": list(scorer.schema.numbers),
        "categories": {name: list(known) for name, known in scorer.schema.categories.items()},
    }
