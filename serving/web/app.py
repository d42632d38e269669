"""The table of routes, and the application made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from serving.web import answers, openapi, requests
from serving.web.doors import Asked, Doors, Endpoint
from serving.web.limits import Buckets
from serving.web.service import Service
from serving.web.tokens import TokenBook

NO_CHAMPION = {409: "The model has no champion."}
NOT_YET = {503: "It has not looked at the journal yet."}
NOTHING = {409: "Nothing was ranked, so there is nothing to explain."}


def application(
    service: Service,
    tokens: TokenBook,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Doors:
    """The ASGI application of a service."""
    settings = service.settings
    buckets = Buckets(settings.serving.rate, time.monotonic)
    public, admin = public_routes(service), admin_routes(service)
    return Doors(public, admin, tokens, service.metrics, buckets, service.life, settings.ports.serving_admin, clock=clock)


def public_routes(service: Service) -> list[Endpoint]:
    """What callers may ask."""
    score = "score"
    routes = [
        Endpoint("/v1/match", "Whose is this signal?", answers.MATCH, service.match, score, requests.MATCH, True),
        Endpoint(
            "/v1/attribute",
            "Which touches earned this conversion?",
            answers.ATTRIBUTE,
            service.attribute,
            score,
            requests.ATTRIBUTE,
            True,
        ),
        Endpoint(
            "/v1/score",
            "How likely are these rows?",
            answers.SCORE,
            service.score,
            score,
            requests.SCORE,
            True,
            statuses=NO_CHAMPION,
        ),
        Endpoint("/v1/explain", "Why?", answers.EXPLAIN, service.explain, "explain", requests.EXPLAIN, statuses=NOTHING),
        Endpoint("/v1/models", "What serves now.", answers.SERVED, service.models, score),
        Endpoint("/livez", "Whether the process answers.", answers.LIVE, service.live),
        Endpoint(
            "/readyz", "Whether it has looked at the journal, and what serves.", answers.READY, service.ready, replies=NOT_YET
        ),
    ]
    return [*routes, _described(routes)]


def admin_routes(service: Service) -> list[Endpoint]:
    """What operators may ask, on a port of their own."""
    routes = [
        Endpoint("/metrics", "For Prometheus.", None, service.show_metrics, "admin", media=CONTENT_TYPE_LATEST),
        Endpoint("/v1/models", "What serves now.", answers.SERVED, service.models, "admin"),
        Endpoint("/livez", "Whether the process answers.", answers.LIVE, service.live),
        Endpoint(
            "/readyz", "Whether it has looked at the journal, and what serves.", answers.READY, service.ready, replies=NOT_YET
        ),
    ]
    return [*routes, _described(routes)]


def _described(routes: list[Endpoint]) -> Endpoint:
    content = openapi.document(routes, requests.MAX_ROWS)

    async def show(asked: Asked) -> dict[str, Any]:
        return content

    return Endpoint("/openapi.json", "This document.", None, show)
