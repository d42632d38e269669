"""Connections as the server holds them: none may send half a request for ever, and each request knows when it began."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.web import answers
from serving.web.doors import ARRIVED

PATIENCE = 10.0
"""Seconds for a request to come whole, from its first byte, or from the connection's first moment."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
LOOK_SECONDS = 1.0


class Connection(HttpToolsProtocol):
    """A connection that knows since when it waits for the rest of a request, and takes no endless headers."""

    waits_since: float | None = None
    """By `time.perf_counter`; None between requests, where the server's own keep-alive time counts."""
    _head: int | None = 0
    """Bytes of headers that came so far; None behind them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection waits for its first request."""
        super().connection_made(transport)
        self.waits_since = time.perf_counter()

    def data_received(self, data: bytes) -> None:
        """Some bytes, of one request or of several."""
        super().data_received(data)
        if self._head is not None and self.waits_since is not None:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(431, "headers", f"The headers have more than {MAX_HEAD} bytes. Send less.")

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        super().on_message_begin()
        self.waits_since = self.scope[ARRIVED] = time.perf_counter()  # type: ignore[literal-required]
        self._head = 0

    def on_headers_complete(self) -> None:
        """The headers are there, and the answer begins."""
        super().on_headers_complete()
        self._head = None

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        super().on_message_complete()
        self.waits_since = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of every refusal."""
        self._refuse(400, "request", f"{msg} Send HTTP/1.1.")

    def give_up(self, patience: float) -> None:
        """Say why, where nothing was said yet, and hang up."""
        self._refuse(408, "body", f"The request did not come whole in {patience:g} s. Send it at once.")

    def _refuse(self, status: int, field: str, message: str) -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = orjson.dumps(answers.error(field, message))
            line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n".encode()
            self.transport.write(line + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()


async def watch(state: ServerState, patience: float = PATIENCE) -> None:
    """Give up on connections that waited too long, for ever; one timer for all of them, so that a request pays nothing."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        limit = time.perf_counter() - patience
        for connection in list(state.connections):
            if isinstance(connection, Connection) and connection.waits_since is not None and connection.waits_since < limit:
                connection.give_up(patience)
