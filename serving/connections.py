"""Connections as the server holds them: none may send half a request for ever, and each request knows when it began."""

from __future__ import annotations

import asyncio
import time

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving import answers
from serving.doors import ARRIVED

PATIENCE = 10.0
"""Seconds for a request to come whole, from its first byte, or from the connection's first moment."""
LOOK_SECONDS = 1.0


class Connection(HttpToolsProtocol):
    """A connection that knows since when it waits for the rest of a request."""

    waits_since: float | None = None
    """By `time.perf_counter`; None between requests, where the server's own keep-alive time counts."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection waits for its first request."""
        super().connection_made(transport)
        self.waits_since = time.perf_counter()

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        super().on_message_begin()
        self.waits_since = self.scope[ARRIVED] = time.perf_counter()  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        super().on_message_complete()
        self.waits_since = None

    def give_up(self, patience: float) -> None:
        """Say why, where nothing was said yet, and hang up."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            said = f"The request did not come whole in {patience:g} s. Send it at once."
            body = orjson.dumps(answers.error("body", said))
            head = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
            self.transport.write(head + b"%d\r\n\r\n" % len(body) + body)
        self.transport.close()


async def watch(state: ServerState, patience: float = PATIENCE) -> None:
    """Give up on connections that waited too long, for ever; one timer for all of them, so that a request pays nothing."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        limit = time.perf_counter() - patience
        for connection in list(state.connections):
            if isinstance(connection, Connection) and connection.waits_since is not None and connection.waits_since < limit:
                connection.give_up(patience)
