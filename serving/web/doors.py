"""The service's HTTP: a raw ASGI callable that lets in who may, reads what fits, and answers every refusal in one form."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from serving.web import answers, strict
from serving.web.limits import Buckets
from serving.web.metrics import Metrics
from serving.web.requests import MAX_ROWS
from serving.web.shapes import Object, RequestError, Shape
from serving.web.tokens import TokenBook

MAX_BODY = 2**20
HUNG_UP = 499
"""Counted for a caller that hung up, and sent to nobody."""
FAILED = "The service failed; its log says how."
TOGETHER = 16
"""Questions of a batch that are answered together."""
JSON = "application/json"
ARRIVED = "whence.arrived"
"""Where the server notes in a request's scope when its first byte came, by `time.perf_counter`."""
log = logging.getLogger("serving")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
Life = Callable[[], AbstractAsyncContextManager[None]]
"""What runs from the first request to the last."""


class Refusal(Exception):
    """A request that is turned away as a whole: the status, the field, what to do, and headers to go with it."""

    def __init__(self, status: int, field: str, message: str, headers: Headers = ()):
        super().__init__(message)
        self.status, self.field, self.message, self.headers = status, field, message, headers


class Told(NamedTuple):
    """An answer as it goes out."""

    status: int
    body: bytes
    media: str = JSON
    headers: Headers = ()


class Gone(Exception):
    """The caller hung up."""


@dataclass(frozen=True)
class Asked:
    """One question, as it reaches a handler."""

    content: Any
    """The JSON of a POST; None of a GET."""
    now: datetime
    demand_time: Callable[[], None] = lambda: None
    """Raises Refusal when it has waited for too long to be begun; for a handler that lets it wait once more."""
    arrived: float = 0.0
    """By `time.perf_counter`; of a batch's question, when its turn came."""


class Reply(NamedTuple):
    """An answer with a status of its own."""

    status: int
    content: Any


Handler = Callable[[Asked], Awaitable[Any]]
"""Answers with what orjson can write, with bytes as they are, or with a Reply."""


@dataclass(frozen=True)
class Endpoint:
    """One route: what it takes, what it gives, who may ask."""

    path: str
    doc: str
    answer: Shape | None
    """None for what is no JSON of ours, as metrics."""
    handle: Handler
    scope: str = ""
    """What a token must allow; empty when everybody may ask."""
    request: Object | None = None
    """None for a GET."""
    is_batch: bool = False
    """Whether {"requests": [...]} is taken as well."""
    media: str = JSON
    statuses: Mapping[int, str] = field(default_factory=dict)
    """Refusals of its own, beside those that every route may give."""
    replies: Mapping[int, str] = field(default_factory=dict)
    """Other statuses that have the shape of the answer."""

    @property
    def method(self) -> str:
        """POST when it takes a body."""
        return "POST" if self.request is not None else "GET"


@dataclass
class Doors:
    """The ASGI application: public routes on every port but `admin_port`, the admin's there."""

    public: Sequence[Endpoint]
    admin: Sequence[Endpoint]
    tokens: TokenBook
    metrics: Metrics
    buckets: Buckets
    life: Life
    admin_port: int | None = None
    queue: Callable[[], int] = lambda: 0
    """How many requests wait or are being answered."""
    most_waiting: int = 256
    most_connections: int = 10_000
    """More are let go at once: files and the journal need room, too."""
    deadline: float = 2.0
    """Seconds after which a request that still waits is not begun, nor, of a batch that was, the next question."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self._public = {each.path: each for each in self.public}
        self._admin = {each.path: each for each in self.admin}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live one life."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise RuntimeError(f"The service speaks HTTP alone, and {scope['type']} came.")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = scope.get(ARRIVED) or time.perf_counter()
        server = scope.get("server")
        is_admin = server is not None and server[1] == self.admin_port
        endpoint = (self._admin if is_admin else self._public).get(scope["path"])
        told = await self._told(endpoint, scope, receive, arrived)
        if told.status != HUNG_UP:
            fixed = ((b"content-type", told.media.encode()), (b"content-length", b"%d" % len(told.body)))
            await send({"type": "http.response.start", "status": told.status, "headers": [*fixed, *told.headers]})
            await send({"type": "http.response.body", "body": told.body})
        self.metrics.answered(endpoint.path if endpoint else "other", told.status, time.perf_counter() - arrived)

    async def _told(self, endpoint: Endpoint | None, scope: Scope, receive: Receive, arrived: float) -> Told:
        """The answer, or whatever stands in its place."""
        try:
            if endpoint is None:
                raise Refusal(404, "path", "There is no such route. /openapi.json names all.")
            answer = await self._answer(endpoint, scope, receive, arrived)
            status, content = answer if isinstance(answer, Reply) else (200, answer)
            return Told(status, content if isinstance(content, bytes) else orjson.dumps(content), endpoint.media)
        except Refusal as refused:
            return Told(refused.status, orjson.dumps(answers.error(refused.field, refused.message)), JSON, refused.headers)
        except RequestError as wrong:
            return Told(422, orjson.dumps(answers.error(wrong.field, str(wrong))))
        except Gone:
            return Told(HUNG_UP, b"")
        except Exception:
            log.exception("%s failed", scope["path"])
            return Told(500, orjson.dumps(answers.error("", FAILED)))

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, arrived: float) -> Any:
        if scope["method"] != endpoint.method:
            allowed = ((b"allow", endpoint.method.encode()),)
            raise Refusal(405, "method", f"{endpoint.path} takes {endpoint.method}.", allowed)
        headers = dict(scope["headers"])
        now = self.clock()
        caller = self._caller(endpoint, headers, now) if endpoint.scope else ""
        if endpoint.request is None:
            return await endpoint.handle(Asked(None, now))
        _demand_json(headers)
        self._demand_room(arrived)
        content = strict.loads(await _body(receive, headers))
        questions = _several(content) if endpoint.is_batch else None
        self._demand_permits(caller, 1 if questions is None else len(questions))
        if questions is None:
            return await endpoint.handle(Asked(content, now, partial(self._demand_time, arrived), arrived))
        return {"answers": await self._each(endpoint, questions, now)}

    async def _each(self, endpoint: Endpoint, questions: Sequence[Any], now: datetime) -> list[Any]:
        """A batch's answers: a few together, so that they share an fsync; after each, other callers have their turn."""
        given, began = list[Any](), time.perf_counter()
        for first in range(0, len(questions), TOGETHER):
            async with asyncio.TaskGroup() as group:
                tasks = []
                for each in questions[first : first + TOGETHER]:
                    asked = Asked(each, now, partial(self._demand_begin, began), time.perf_counter())
                    tasks.append(group.create_task(self._one(endpoint, asked)))
                    await asyncio.sleep(0)
            given += [task.result() for task in tasks]
        return given

    async def _one(self, endpoint: Endpoint, asked: Asked) -> Any:
        """One of a batch: what is wrong with it is its own answer."""
        try:
            asked.demand_time()
            return await endpoint.handle(asked)
        except RequestError as wrong:
            return answers.error(wrong.field, str(wrong))
        except Refusal as refused:
            return answers.error(refused.field, refused.message)
        except Exception:
            log.exception("A question of a batch to %s failed", endpoint.path)
            self.metrics.failed.labels(endpoint.path).inc()
            return answers.error("", FAILED)

    def _caller(self, endpoint: Endpoint, headers: Mapping[bytes, bytes], now: datetime) -> str:
        """The token's holder; raises Refusal for a token that is not known, or not for this."""
        token = self.tokens.find(headers.get(b"authorization", b"").decode("latin-1"), now)
        if token is None:
            challenge = ((b"www-authenticate", b"Bearer"),)
            raise Refusal(401, "authorization", "Send a known, live token as 'Authorization: Bearer …'.", challenge)
        if endpoint.scope not in token.scopes:
            may = ", ".join(token.scopes)
            raise Refusal(403, "authorization", f"This token allows {may}, and {endpoint.path} needs {endpoint.scope}.")
        return token.holder

    def _demand_room(self, arrived: float) -> None:
        if self.queue() > self.most_waiting:
            self._turn_away(
                "queue", 1.0, f"More than {self.most_waiting} requests wait. Send it again later, or to another replica."
            )
        self._demand_time(arrived)

    def _demand_time(self, arrived: float) -> None:
        if time.perf_counter() - arrived > self.deadline:
            self._turn_away("late", 1.0, f"It waited for more than {self.deadline:g} s. Send it again later.")

    def _demand_begin(self, began: float) -> None:
        """The same of a batch's next question."""
        if time.perf_counter() - began > self.deadline:
            raise Refusal(429, "", f"was not begun in {self.deadline:g} s. Send it again, in a smaller batch.")

    def _demand_permits(self, caller: str, cost: int) -> None:
        if seconds := self.buckets.wait(caller, cost):
            self._turn_away("rate", seconds, f"{caller} may ask {self.buckets.rate:g} questions a second. Send it again later.")

    def _turn_away(self, reason: str, seconds: float, message: str) -> None:
        self.metrics.refused.labels(reason).inc()
        raise Refusal(429, "", message, ((b"retry-after", b"%d" % max(1, -int(-seconds // 1))),))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.life():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _demand_json(headers: Mapping[bytes, bytes]) -> None:
    if headers.get(b"content-type") == b"application/json" and b"content-encoding" not in headers:
        return
    kind, _, parameter = headers.get(b"content-type", b"").decode("latin-1").lower().partition(";")
    name, _, charset = parameter.strip().partition("=")
    if kind.strip() != JSON or (name and (name != "charset" or charset.strip('"') not in ("utf-8", "utf8"))):
        raise Refusal(415, "content-type", f"Send {JSON}, in UTF-8.")
    if b"content-encoding" in headers:
        raise Refusal(415, "content-encoding", "Send the body as it is, not compressed.")


async def _body(receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
    """The whole body, no longer than MAX_BODY; the server gives up on one that does not come (see serving.web.connections)."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > MAX_BODY:
        raise _too_large()
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > MAX_BODY:
            raise _too_large()
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Gone
    if len(body) > MAX_BODY:
        raise _too_large()
    return body


def _too_large() -> Refusal:
    return Refusal(413, "body", f"The body has more than {MAX_BODY} bytes. Send less at once.", ((b"connection", b"close"),))


def _several(content: Any) -> list[Any] | None:
    """The questions of a batch; None when it is no batch."""
    if not isinstance(content, dict) or "requests" not in content:
        return None
    if extra := sorted(set(content) - {"requests"}):
        raise RequestError(f"body.{extra[0]}", "is not known beside requests.")
    questions = content["requests"]
    if not isinstance(questions, list) or not 0 < len(questions) <= MAX_ROWS:
        raise RequestError("requests", f"must be a list of 1 to {MAX_ROWS} questions.")
    return questions
