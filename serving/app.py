"""The scoring service: two questions over HTTP, what its operators need, and a line in the log for each decision."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving import matcher, requests
from serving.champion import Champion, Follower, Lineup
from serving.decision_log import DecisionLog
from serving.tokens import Tokens
from whence.attribution import policy as policies
from whence.bundle import Scorer
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER, MODELS
from whence.contracts.settings import Settings

MAX_BODY = 256 * 1024
log = logging.getLogger("serving")


@dataclass(frozen=True)
class Metrics:
    """What /metrics shows."""

    registry: CollectorRegistry
    answers: Counter
    seconds: Histogram
    decisions: Counter
    lost: Counter
    stale: Counter
    swaps: Counter
    swap_failed: Counter
    poll_failed: Counter
    champion: Gauge

    @classmethod
    def new(cls) -> Metrics:
        """Metrics of one service, in a registry of their own."""
        own = CollectorRegistry()
        return cls(
            own,
            Counter("whence_answers_total", "Requests answered.", ["route", "status"], registry=own),
            Histogram("whence_answer_seconds", "Time to an answer.", ["route"], registry=own),
            Counter("whence_decisions_total", "Scored rows in the decision log.", ["model"], registry=own),
            Counter("whence_decisions_lost_total", "Scored rows that could not be logged.", ["model"], registry=own),
            Counter("whence_stale_values_total", "Feature values that were too old to be used.", ["view"], registry=own),
            Counter("whence_swaps_total", "Champions taken into service.", ["model"], registry=own),
            Counter(
                "whence_swap_failed_total",
                "Champions that could not be loaded; the last good one serves.",
                ["model"],
                registry=own,
            ),
            Counter("whence_journal_poll_failed_total", "Looks at the journal that failed.", registry=own),
            Gauge("whence_champion_epoch", "The journal's epoch that serves.", ["model", "bundle"], registry=own),
        )

    def swapped(self, model: str, outcome: str) -> None:
        """Count what the follower did."""
        if outcome == "poll_failed":
            self.poll_failed.inc()
        else:
            (self.swaps if outcome == "done" else self.swap_failed).labels(model).inc()

    def show(self, lineup: Lineup) -> bytes:
        """The text that Prometheus reads."""
        self.champion.clear()
        for model, one in lineup.items():
            self.champion.labels(model, one.scorer.digest).set(one.epoch)
        return generate_latest(self.registry)


@dataclass
class Service:
    """The service's parts, handed in at the front door."""

    settings: Settings
    tokens: Tokens
    follower: Follower
    store: matcher.Store
    log: DecisionLog
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    metrics: Metrics = field(default_factory=Metrics.new)

    def __post_init__(self) -> None:
        """Read the policy once; one that cannot be keeps the service from starting."""
        self.policy = policies.of(self.settings)

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/v1/match", self._timed(self.match), methods=["POST"]),
            Route("/v1/attribute", self._timed(self.attribute), methods=["POST"]),
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/metrics", self.show_metrics),
        ]
        return Starlette(routes=routes, lifespan=self._life)

    async def match(self, request: Request) -> Response:
        """POST /v1/match: whose is this signal?"""
        asked = requests.match_request(await _body(request), self.clock())
        champion = self.follower.lineup.get(IDENTITY_RANKER)
        known = matcher.Known(self.store, asked.signal["seen_at"])
        answer = await asyncio.to_thread(matcher.match, asked.signal, known, _scorer(champion), self.settings.identity)
        decision = await self._note(IDENTITY_RANKER, champion, asked.signal["event_id"], known, answer.options)
        return JSONResponse(
            {
                "decision_id": decision.name,
                "person_id": answer.person_id,
                "probability": answer.probability,
                "method": answer.method,
                "candidates": [{"person_id": each.option, "probability": each.probability} for each in _best(answer.options)],
                **_provenance(champion, (*answer.degraded, *decision.degraded)),
            }
        )

    async def attribute(self, request: Request) -> Response:
        """POST /v1/attribute: which touches earned this conversion?"""
        asked = requests.attribute_request(await _body(request), self.clock())
        champion = self.follower.lineup.get(ATTRIBUTION_RANKER)
        known = matcher.Known(self.store, asked.conversion["seen_at"])
        answer = await asyncio.to_thread(
            matcher.attribute,
            asked.conversion,
            asked.touches,
            asked.person_id,
            known,
            _scorer(champion),
            self.policy,
        )
        decision = await self._note(ATTRIBUTION_RANKER, champion, asked.conversion["conversion_id"], known, answer.options)
        return JSONResponse(
            {
                "decision_id": decision.name,
                "person_id": answer.person_id,
                "algorithm": answer.algorithm,
                "policy": self.policy.name,
                "currency": asked.conversion["currency"],
                "credits": _told(answer.earned),
                "beside": {name: _told(earned) for name, earned in answer.beside.items()},
                **_provenance(champion, (*answer.degraded, *decision.degraded)),
            }
        )

    async def live(self, _: Request) -> Response:
        """GET /livez: the process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """GET /readyz: it has looked at the journal; and what serves. A model without a champion degrades, it does not stop us."""
        lineup = self.follower.lineup
        models = {model: _standing(lineup.get(model)) for model in MODELS}
        degraded = [f"{model} has no champion" for model in MODELS if model not in lineup]
        status = "ready" if self.follower.has_polled else "starting"
        content = {"status": status, "models": models, "degraded": degraded}
        return JSONResponse(content, status_code=200 if self.follower.has_polled else 503)

    async def show_metrics(self, _: Request) -> Response:
        """GET /metrics: for Prometheus."""
        return Response(self.metrics.show(self.follower.lineup), media_type=CONTENT_TYPE_LATEST)

    async def _note(
        self,
        model: str,
        champion: Champion | None,
        subject: str | None,
        known: matcher.Known,
        options: tuple[matcher.Option, ...],
    ) -> Noted:
        """Log what was scored; an answer that cannot be logged goes out all the same, and says so."""
        for view in known.stale:
            self.metrics.stale.labels(view).inc()
        name = secrets.token_hex(16)
        if champion is None or not options:
            return Noted(name)
        rows = [
            {
                "decision_id": f"{name}-{place}",
                "made_at": known.now,
                "model": model,
                "bundle": champion.scorer.digest,
                "subject": subject or name,
                "option": each.option,
                "features": each.inputs,
                "score": each.score,
                "probability": each.probability,
                "chosen": each.chosen,
            }
            for place, each in enumerate(options)
        ]
        try:
            await self.log.write(rows)
        except OSError as failed:
            log.error("%d decisions of %s cannot be logged: %s", len(rows), model, failed)
            self.metrics.lost.labels(model).inc(len(rows))
            return Noted(name, ("the decision could not be logged",))
        self.metrics.decisions.labels(model).inc(len(rows))
        return Noted(name)

    def _timed(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Let only known callers in, turn what is wrong with a request into an answer, and count."""

        async def guarded(request: Request) -> Response:
            start = time.perf_counter()
            try:
                response = await self._guarded(request, answer)
            except ClientDisconnect:
                response = _error(499, "body", "The caller hung up.")
            except Exception:
                log.exception("%s failed", request.url.path)
                response = _error(500, "", "The service failed; its log says how.")
            self.metrics.answers.labels(request.url.path, str(response.status_code)).inc()
            self.metrics.seconds.labels(request.url.path).observe(time.perf_counter() - start)
            return response

        return guarded

    async def _guarded(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if self.tokens.holder(request.headers.get("authorization")) is None:
            refused = _error(401, "authorization", "Send a known token as 'Authorization: Bearer …'.")
            refused.headers["www-authenticate"] = "Bearer"
            return refused
        try:
            return await answer(request)
        except TooLarge:
            return _error(413, "body", f"The body has more than {MAX_BODY} bytes. Send fewer touches.")
        except requests.RequestError as wrong:
            return _error(422, wrong.field, str(wrong))

    @asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(self.follower.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self.log.close()


@dataclass(frozen=True)
class Noted:
    """The name of a decision, and whether its log is well."""

    name: str
    degraded: tuple[str, ...] = ()


class TooLarge(Exception):
    """A body that is larger than we take."""


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def _told(earned: tuple[matcher.Earned, ...]) -> list[dict[str, Any]]:
    return [
        {
            "touch_id": each.touch_id or None,
            "campaign_id": each.campaign_id or None,
            "channel": each.channel or None,
            "share": each.share,
            "credit_micros": each.credit_micros,
        }
        for each in earned
    ]


def _scorer(champion: Champion | None) -> Scorer | None:
    return champion.scorer if champion else None


def _provenance(champion: Champion | None, degraded: tuple[str, ...]) -> dict[str, Any]:
    return {"bundle": champion.scorer.digest if champion else None, "degraded": list(degraded)}


def _standing(champion: Champion | None) -> dict[str, Any]:
    return {"bundle": champion.scorer.digest if champion else None, "epoch": champion.epoch if champion else None}


def _best(options: tuple[matcher.Option, ...]) -> list[matcher.Option]:
    return sorted(options, key=lambda each: (-each.probability, each.option))[:5]


def _error(status: int, field: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"field": field, "message": message}}, status_code=status)
