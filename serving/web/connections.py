"""Connections as the server holds them: HTTP/1.1 with one answer at a time, and nobody may send half a request, or leave an answer, for ever.

It takes the place of uvicorn's own protocol, which takes as long for a request as finding its candidates does: an answer here
goes out in one piece, the server's timers are one for all connections, and headers of ours are not looked through again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.utils import get_local_addr
from uvicorn.server import ServerState

from serving.web import answers
from serving.web.doors import ARRIVED, FAILED, MAX_BODY, Doors, Scope

PATIENCE = 10.0
"""Seconds for a request to come whole, from its first byte, or from the connection's first moment."""
KEEP_ALIVE = 30.0
"""Seconds for which a connection may ask nothing between two requests."""
UNREAD = 30.0
"""Seconds for which a caller may take nothing of what was sent to it."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
MAX_WHOLE = 8 * MAX_BODY
"""Bytes of a request in all: of a body in the smallest chunks, and of what follows them."""
LOOK_SECONDS = 1.0
LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
log = logging.getLogger("serving.web.connections")

Message = MutableMapping[str, Any]


class Connection(asyncio.Protocol):
    """A connection that knows since when it waits, and takes no endless headers; uvicorn's server makes and closes them."""

    transport: asyncio.Transport
    _flow: FlowControl

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        """As uvicorn calls it."""
        self._app: Doors = config.app  # type: ignore[assignment]
        self._loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._parser = httptools.HttpRequestParser(self)
        self._server: tuple[str, int | None] | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._exchange: Exchange | None = None
        """The one whose request came last."""
        self._waiting: deque[Exchange] = deque()
        """Requests that came before the answer to the one ahead of them."""
        self._arrived = 0.0
        self.waits_since: float | None = None
        """By `time.perf_counter`; None between requests."""
        self.idle_since: float | None = None
        """The same of the last answer; None while a request is under way."""
        self._came = 0
        """Bytes of the request that came so far, while it is not whole."""
        self._most = MAX_HEAD
        """How many it may have: first of its headers, then in all."""
        self._written = self._taken = 0
        """Bytes of answers in all, and those of them that were taken when they were looked at last."""
        self._taken_at = 0.0
        """When some of them were taken, or none waited."""

    # what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection waits for its first request."""
        self.transport = cast("asyncio.Transport", transport)
        self._flow, self._server = FlowControl(self.transport), get_local_addr(self.transport)
        if len(self._state.connections) >= self._app.most_connections:
            self._app.metrics.refused.labels("connections").inc()
            self.transport.abort()
            return
        self._state.connections.add(self)  # type: ignore[arg-type]
        self.waits_since = self._taken_at = time.perf_counter()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more: whoever waits for them goes on."""
        self._state.connections.discard(self)  # type: ignore[arg-type]
        if self._exchange is not None:
            self._exchange.lose()
        for each in self._waiting:
            each.lose()
        self._flow.resume_writing()
        self.waits_since = self.idle_since = None

    def data_received(self, data: bytes) -> None:
        """Some bytes, of one request or of several."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400, "request", "This is no HTTP. Send HTTP/1.1.")
            return
        except httptools.HttpParserUpgrade:  # the request is answered as it is; what would follow the upgrade is not read
            return
        if self.waits_since is not None:
            self._came += len(data)
            if self._came > self._most and self._is_in_head:
                self._refuse(431, "headers", f"The headers have more than {MAX_HEAD} bytes. Send less.")
            elif self._came > self._most:
                self._refuse(413, "body", f"The request has more than {MAX_WHOLE} bytes. Send less at once.")

    def pause_writing(self) -> None:
        """The caller does not read as fast as answers come."""
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._flow.resume_writing()

    # what the parser tells

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        self.waits_since = self._arrived = time.perf_counter()
        self.idle_since = None
        self._url, self._headers, self._came, self._most = b"", [], 0, MAX_HEAD

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what stands behind the body is none of ours."""
        if self._is_in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The headers are there, and the answer begins, unless another one is under way."""
        self._most = MAX_WHOLE
        ahead, self._exchange = self._exchange, Exchange(self, self._scope(), self._parser)
        if ahead is None or ahead.is_over:
            self._begin(self._exchange)
        else:
            self._flow.pause_reading()
            self._waiting.append(self._exchange)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._exchange is not None and self._exchange.take(body) > HIGH_WATER_LIMIT:
            self._flow.pause_reading()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self.waits_since = None
        if self._exchange is not None:
            self._exchange.complete()
            if self._exchange.is_over:
                self.idle_since = time.perf_counter()

    # what the server and its exchanges tell

    def over(self) -> None:
        """An answer is on its way; the next request in the line begins."""
        self._state.total_requests += 1
        if self.transport.is_closing():
            return
        self._flow.resume_reading()
        if self._waiting:
            self._begin(self._waiting.popleft())
        elif self.waits_since is None:
            self.idle_since = time.perf_counter()

    def more(self) -> None:
        """More of the body is wanted."""
        self._flow.resume_reading()

    async def write(self, data: bytes) -> None:
        """Send, once the caller has read what went before."""
        if self._flow.write_paused:
            await self._flow.drain()
        self._written += len(data)
        self.transport.write(data)

    def fixed(self) -> bytes:
        """The server's own headers: the date."""
        return b"".join([b"%b: %b\r\n" % pair for pair in self._state.default_headers])

    def shutdown(self) -> None:
        """Close after the answer that is under way, or now."""
        if self._exchange is None or self._exchange.is_over:
            self.transport.close()
        else:
            self._exchange.is_kept = False

    def look(self, now: float, patience: float) -> None:
        """Give up on half a request that waits too long, and on who takes no answers; hang up where nothing is asked."""
        unread = self.transport.get_write_buffer_size()
        if not unread or self._written - unread > self._taken:
            self._taken_at = now
        self._taken = self._written - unread
        if now - self._taken_at > UNREAD:
            self.transport.abort()  # to close it would be to wait for them
        elif self.waits_since is not None and now - self.waits_since > patience:
            self._refuse(408, "body", f"The request did not come whole in {patience:g} s. Send it at once.")
        elif self.idle_since is not None and now - self.idle_since > KEEP_ALIVE:
            self.transport.close()

    @property
    def _is_in_head(self) -> bool:
        """Whether the headers are not whole, or no request has begun."""
        return self._most == MAX_HEAD

    def _scope(self) -> Scope:
        path = httptools.parse_url(self._url).path.decode("ascii")
        return {
            "type": "http",
            "method": self._parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "headers": self._headers,
            "server": self._server,
            ARRIVED: self._arrived,
        }

    def _begin(self, exchange: Exchange) -> None:
        task = self._loop.create_task(self._answer(exchange))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("%s failed before it was answered", exchange.scope["path"])
            self._refuse(500, "", FAILED)

    def _refuse(self, status: int, field: str, message: str) -> None:
        """Say why, unless something is being said, or was said of this very request; and hang up."""
        last, is_in_body = self._exchange, self.waits_since is not None and not self._is_in_head
        if last is None or not last.has_begun or (last.is_over and not is_in_body):
            body = orjson.dumps(answers.error(field, message))
            head = LINES[status] + b"content-type: application/json\r\nconnection: close\r\n"
            self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()


class Exchange:
    """One request and its answer, as ASGI has them; an answer's head waits for its body, and both go out in one piece."""

    __slots__ = ("_body", "_connection", "_head", "_is_whole", "_may_wait", "_more", "has_begun", "is_kept", "is_over", "scope")

    def __init__(self, connection: Connection, scope: Scope, parser: httptools.HttpRequestParser) -> None:
        """The headers were read."""
        self.scope = scope
        self.has_begun = self.is_over = False
        self.is_kept = parser.get_http_version() != "1.0" and bool(parser.should_keep_alive())
        """Whether another request may follow."""
        self._connection = connection
        self._may_wait = True
        self._body, self._is_whole = b"", False
        self._more: asyncio.Future[None] | None = None
        self._head = b""

    def take(self, body: bytes) -> int:
        """A part of the body; how much of it waits to be read."""
        if not self.is_over:
            self._body += body
            self._wake()
        return len(self._body)

    def complete(self) -> None:
        """The body is whole."""
        self._is_whole = True
        self._wake()

    def lose(self) -> None:
        """The caller is gone."""
        self.is_over = True
        self._wake()

    async def receive(self) -> Message:
        """The next part of the body, or that the caller is gone."""
        while not (self._is_whole or self._body or self.is_over):
            await self._let_go_on()
            self._connection.more()
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        if self.is_over:
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body, "more_body": not self._is_whole}

    async def send(self, message: Message) -> None:
        """The head of an answer, with its length, or the whole of its body."""
        if self.is_over:
            return
        if message["type"] == "http.response.start":
            self._head = self._heading(message["status"], message["headers"])
            return
        self.has_begun = True
        await self._connection.write(self._head + message["body"] if self.scope["method"] != "HEAD" else self._head)
        self.is_over = True
        if not self.is_kept:
            self._connection.transport.close()
        self._connection.over()

    async def _let_go_on(self) -> None:
        """Tell a caller that asked first to send its body; once."""
        if self._may_wait and dict(self.scope["headers"]).get(b"expect", b"").lower() == b"100-continue":
            await self._connection.write(LINES[100] + b"\r\n")
        self._may_wait = False

    def _heading(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        if (b"connection", b"close") in headers:
            self.is_kept = False
        elif not self.is_kept:
            headers = [*headers, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        return b"".join((LINES[status], self._connection.fixed(), *lines, b"\r\n"))

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)


async def watch(state: ServerState, patience: float = PATIENCE) -> None:
    """Look at all connections again and again, for ever; one timer for all of them, so that a request pays nothing."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = time.perf_counter()
        for connection in list(state.connections):
            if isinstance(connection, Connection):
                connection.look(now, patience)
