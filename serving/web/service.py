"""The service's questions, each answered whole by one bundle, and its decision handed to the log."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar, TypeVarTuple

from features.online import OnlineStore
from serving import explaining, matcher, scoring
from serving.at_once import Blocking, at_once
from serving.champion import Champion, Follower
from serving.decision_frames import Decision
from serving.decision_log import DecisionLog
from serving.explaining import NothingToExplain
from serving.rollouts.picking import Found, Mirrored, Picked, Picker
from serving.scored import Scored
from serving.web import answers, requests
from serving.web.doors import Asked, Refusal, Reply
from serving.web.metrics import Metrics, kinds
from serving.web.shapes import RequestError
from whence.attribution import policy as policies
from whence.bundle import InputError, Scorer
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER, MODELS
from whence.contracts.settings import Settings

ROWS_INLINE = 200
"""More rows than these are scored in a thread: the kernels let go of the interpreter, and other callers have their turn."""
Given = TypeVarTuple("Given")
Made = TypeVar("Made")
NOT_LOGGED = "the decision could not be logged"


@dataclass
class Service:
    """The parts, handed in at the front door.

    To match and to attribute take less than going to a thread, and are done on the event loop; while they wait for Redis, it
    answers others. To explain takes fifty times as long, and is done in a thread, one after the other, so that the others pass by.
    """

    settings: Settings
    follower: Follower
    picker: Picker
    store: OnlineStore
    log: DecisionLog
    metrics: Metrics
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _since: dict[tuple[str, int], datetime] = field(default_factory=dict)
    """By model and epoch, when it was first seen to serve here."""

    def __post_init__(self) -> None:
        """Read the policy once; one that cannot be keeps the service from starting."""
        self.policy = policies.of(self.settings)
        self._thread = ThreadPoolExecutor(1, "apart")
        self._blocking = Blocking(self.store)

    async def match(self, asked: Asked) -> dict[str, Any]:
        """Whose is this signal?"""
        question = requests.match_request(asked.content, asked.now)
        ask = self._matching(question, self.store)
        picked, (known, found) = await self._answered(IDENTITY_RANKER, question.person_key, ask)
        name = secrets.token_hex(16)
        answer = answers.matched(name, found, _digest(picked), _arm(picked))
        subject = question.signal["event_id"] or name
        await self._note(answer, picked, subject, known, found.scored, asked.arrived, question.durable)
        self._mirror(picked, known, subject, found.scored, self._matching(question, self._blocking))
        return answer

    async def attribute(self, asked: Asked) -> dict[str, Any]:
        """Which touches earned this conversion?"""
        question = requests.attribute_request(asked.content, asked.now)
        ask = self._attributing(question, self.store)
        picked, (known, credit) = await self._answered(ATTRIBUTION_RANKER, question.person_key, ask)
        name, conversion = secrets.token_hex(16), question.conversion
        answer = answers.attributed(name, credit, self.policy.name, conversion["currency"], _digest(picked), _arm(picked))
        await self._note(answer, picked, conversion["conversion_id"], known, credit.scored, asked.arrived, question.durable)
        again = self._attributing(question, self._blocking)
        self._mirror(picked, known, conversion["conversion_id"], credit.scored, again)
        return answer

    async def score(self, asked: Asked) -> dict[str, Any]:
        """How likely are these rows? They are the caller's own, and are not logged."""
        question = requests.score_request(asked.content)
        picked = self._picked(question.model, "")
        if picked is None:
            raise Refusal(409, "model", f"{question.model} has no champion. Promote one, or ask another model.")
        scorer = picked.champion.scorer
        try:
            if len(question.rows) <= ROWS_INLINE:
                scored = _score(scorer, question)
            else:
                scored = await asyncio.to_thread(_score, scorer, question)
        except InputError as wrong:
            raise RequestError("rows", str(wrong)) from None
        return answers.scored(scorer, _arm(picked), scored)

    async def explain(self, asked: Asked) -> dict[str, Any]:
        """Why was this the answer?"""
        try:
            return await self._apart(asked, self._explained, requests.explain_request(asked.content, asked.now))
        except NothingToExplain as why:
            raise Refusal(409, "", str(why)) from None

    def _explained(self, asked: requests.ExplainRequest) -> dict[str, Any]:
        question, option = asked.question, asked.option
        if isinstance(question, requests.MatchRequest):
            picked = self.picker.pick(IDENTITY_RANKER, question.person_key)
            known, scorer = matcher.Known(self._blocking, question.signal["seen_at"]), picked.champion.scorer if picked else None
            return explaining.explain_match(question.signal, option, known, scorer, self.settings.identity)
        picked = self.picker.pick(ATTRIBUTION_RANKER, question.person_key)
        known, scorer = matcher.Known(self._blocking, question.conversion["seen_at"]), picked.champion.scorer if picked else None
        conversion, touches, person = question.conversion, question.touches, question.person_id
        return explaining.explain_attribute(conversion, touches, person, option, known, scorer, self.policy)

    async def _apart(self, asked: Asked, work: Callable[[*Given], Made], *given: *Given) -> Made:
        """What `work` makes of what is given, in the thread; Refusal when too much time went by before it was its turn."""

        def done() -> Made:
            asked.demand_time()
            return work(*given)

        return await asyncio.get_running_loop().run_in_executor(self._thread, done)

    async def models(self, asked: Asked) -> dict[str, Any]:
        """What serves now."""
        self._look()
        lineup, since = self.follower.lineup, self._since
        return {
            "models": [_serving(lineup[model], since.get((model, lineup[model].epoch), asked.now)) for model in sorted(lineup)]
        }

    async def live(self, asked: Asked) -> dict[str, Any]:
        """The process answers."""
        return {"status": "live"}

    async def ready(self, asked: Asked) -> Reply:
        """It has looked at the journal; and what serves. A model without a champion degrades, it does not stop us."""
        lineup, is_ready = self.follower.lineup, self.follower.has_polled
        content = {
            "status": "ready" if is_ready else "starting",
            "models": {model: _standing(lineup.get(model)) for model in MODELS},
            "degraded": [f"{model} has no champion" for model in MODELS if model not in lineup],
        }
        return Reply(200 if is_ready else 503, content)

    async def show_metrics(self, asked: Asked) -> bytes:
        """What is counted."""
        self._look()
        return self.metrics.show()

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """From the first look at the journal to the last line of the log."""
        tasks = [asyncio.create_task(self.follower.follow()), asyncio.create_task(self._look_on())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._thread.shutdown)
            await asyncio.to_thread(self.log.close)

    async def _look_on(self) -> None:
        """Look once a second, so that another worker that is asked for gauges shows this one's, too."""
        while True:
            self._look()
            await asyncio.sleep(1.0)

    def _look(self) -> None:
        """See who serves and what waits."""
        now = self.clock()
        for model, champion in self.follower.lineup.items():
            self._since.setdefault((model, champion.epoch), now)
            self.metrics.champion.labels(model).set(champion.epoch)
        self.metrics.waiting.set(self.log.waiting)

    def _picked(self, model: str, person_key: str) -> Picked | None:
        return self._counted(model, self.picker.pick(model, person_key))

    async def _answered(self, model: str, person_key: str, ask: _Ask[Found]) -> tuple[Picked | None, _Answered[Found]]:
        """The answer of the bundle whose turn it is for the person, and which one it was in the end."""
        picked = self.picker.pick(model, person_key)
        if picked is None:
            return None, await ask(None)
        picked, answered = await self.picker.answer(picked, ask)
        return self._counted(model, picked), answered

    def _counted(self, model: str, picked: Picked | None) -> Picked | None:
        if picked is not None:
            self.metrics.scored_by(model, picked.champion.scorer.digest, picked.role)
        return picked

    def _matching(self, question: requests.MatchRequest, store: matcher.Store) -> _Ask[matcher.Answer]:
        async def ask(scorer: Scorer | None) -> _Answered[matcher.Answer]:
            known = matcher.Known(store, question.signal["seen_at"])
            return _Answered(known, await matcher.match(question.signal, known, scorer, self.settings.identity))

        return ask

    def _attributing(self, question: requests.AttributeRequest, store: matcher.Store) -> _Ask[matcher.Credit]:
        async def ask(scorer: Scorer | None) -> _Answered[matcher.Credit]:
            known = matcher.Known(store, question.conversion["seen_at"])
            found = await matcher.attribute(question.conversion, question.touches, question.person_id, known, scorer, self.policy)
            return _Answered(known, found)

        return ask

    async def _note(
        self,
        answer: dict[str, Any],
        picked: Picked | None,
        subject: str,
        known: matcher.Known,
        scored: Scored | None,
        arrived: float,
        is_durable: bool,
    ) -> None:
        """Log what was scored, and say in the answer whether the disk has it; one that cannot be logged goes out all the same."""
        answer["logged"] = None
        if picked is not None and scored is not None:
            scorer = picked.champion.scorer
            about = (answer["decision_id"], known.now, scorer.model, scorer.digest, subject, scored, picked.role)
            decision = Decision(*about, int((time.perf_counter() - arrived) * 1e6), kinds(answer["degraded"]))
            if is_durable:
                answer["logged"] = await self.log.durably(decision)
            elif not self.log.offer(decision):
                answer["logged"] = False
            if answer["logged"] is False:
                answer["degraded"].append(NOT_LOGGED)
        if answer["degraded"]:
            self.metrics.doubts(answer["degraded"], known.stale, known.unknown)

    def _mirror(self, picked: Picked | None, known: matcher.Known, subject: str, scored: Scored | None, ask: _Ask[Found]) -> None:
        if picked is not None and picked.turn is not None and scored is not None:
            self.picker.mirror(Mirrored(picked, known.now, subject, lambda scorer: at_once(ask(scorer)).scored))


class _Answered(NamedTuple, Generic[Found]):
    """What the matcher found, and what it knew."""

    known: matcher.Known
    found: Found

    @property
    def scored(self) -> Scored | None:
        """What the model scored."""
        return self.found.scored


_Ask = Callable[["Scorer | None"], Coroutine[Any, Any, _Answered[Found]]]


def _arm(picked: Picked | None) -> str | None:
    """Who answered, while a challenger is on trial."""
    return picked.role if picked is not None and picked.turn is not None else None


def _digest(picked: Picked | None) -> str | None:
    return picked.champion.scorer.digest if picked else None


def _standing(champion: Champion | None) -> dict[str, Any]:
    return {"bundle": champion.scorer.digest if champion else None, "epoch": champion.epoch if champion else None}


def _score(scorer: Scorer, question: requests.ScoreRequest) -> scoring.ScoredRows:
    if question.names is None:
        names = scorer.schema.names
        return scoring.score(scorer, names, scoring.listed(scorer.schema, question.rows))
    return scoring.score(scorer, question.names, question.rows)


def _serving(champion: Champion, since: datetime) -> dict[str, Any]:
    scorer = champion.scorer
    return {
        "model": scorer.model,
        "bundle": scorer.digest,
        "epoch": champion.epoch,
        "engine": scorer.engine,
        "since": since.isoformat(),
        "numbers": list(scorer.schema.numbers),
        "categories": {name: list(known) for name, known in scorer.schema.categories.items()},
    }
