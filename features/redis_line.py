"""Connections to Redis for questions alone: of an answer only what is not as it was last time is taken apart.

The client's own way, which makes an object of each of a hundred rows and looks at every one, takes some twenty microseconds more of a
match's five hundred. The client still connects, signs in and speaks TLS. A thread has a line of its own, and waits at it; all
questions of an event loop share one, and others are answered while they wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from socket import socket
from typing import Any, Generic, NamedTuple, TypeVar, cast

from features.rows import taken

T = TypeVar("T")
CHUNK = 2**17
PIECE = 2**14
"""So many bytes of what came are taken apart at once: behind them may lie the answers to many other questions."""
END = b"\r\n"
MISSING, AROUND = len(b"$-1\r\n"), len(b"$\r\n\r\n")
"""Bytes of a text that is not there, and of what stands around one besides its length."""
TEXTS: frozenset[type] = frozenset((bytes, type(None)))
NOT_YET = object()


class Reply:
    """An array of texts as it comes over the line, in RESP; whatever is asked of it and has not come yet is waited for."""

    def __init__(self, receive: Callable[[], bytes], came: bytes = b"", at: int = 0) -> None:
        """It begins at a place of what came; `receive` gives the bytes after that, and raises whatever is wrong with the line."""
        self._receive, self._came, self._at = receive, came or receive(), at

    @property
    def end(self) -> int:
        """The place behind what was taken, where the next answer begins."""
        return self._at

    def open(self, length: int) -> None:
        """Read the head; raises redis.ResponseError for what Redis refuses, and for an array of another length."""
        head = self._line()
        if head != b"*%d" % length:
            raise _refused(head, f"{length} texts were to come")

    def is_next(self, raw: bytes) -> bool:
        """Whether these very bytes come next, and then step over them. Bytes that were whole texts once are whole texts again."""
        while len(self._came) - self._at < len(raw) and raw.startswith(self._came[self._at :]):
            self._came += self._receive()
        if not self._came.startswith(raw, self._at):
            return False
        self._at += len(raw)
        return True

    def take(self, count: int) -> tuple[bytes, list[bytes | None]]:
        """The next texts, None for one that is not there, and the bytes that they came in.

        >>> reply = Reply(iter([b"*3\\r\\n$2\\r\\nab\\r\\n$-1\\r\\n$0\\r", b"\\n\\r\\n"]).__next__)
        >>> reply.open(3)
        >>> reply.is_next(b"$2\\r\\nab\\r\\n"), reply.is_next(b"$1\\r\\n")
        (True, False)
        >>> reply.take(2)
        (b'$-1\\r\\n$0\\r\\n\\r\\n', [None, b''])
        """
        if (read := taken(self._came, self._at, count)) is not None:
            texts, end = read
        else:
            texts, end = self._taken_slowly(count)
        start, self._at = self._at, end
        return self._came[start:end], texts

    def _taken_slowly(self, count: int) -> tuple[list[bytes | None], int]:
        """The same by the client's own parser, which waits for what has not come, and says what is no text."""
        import hiredis

        reader, at = hiredis.Reader(notEnoughData=NOT_YET), self._at
        reader.feed(b"*%d\r\n" % count)
        while (found := reader.gets()) is NOT_YET:
            if at >= len(self._came):
                self._came += self._receive()
            piece = self._came[at : at + PIECE]
            reader.feed(piece)
            at += len(piece)
        texts: list[bytes | None] = found
        if not TEXTS.issuperset(map(type, texts)):
            raise _refused(b"%a" % texts, "texts were to come")
        lengths = [len(text) for text in texts if text is not None]
        digits = len(str(lengths)) - 2 * max(len(lengths), 1)  # for "[12, 3]" has two more bytes for each
        return texts, self._at + sum(lengths) + digits + AROUND * len(lengths) + MISSING * (count - len(lengths))

    def _line(self) -> bytes:
        while (end := self._came.find(END, self._at)) < 0:
            self._came += self._receive()
        line, self._at = self._came[self._at : end], end + len(END)
        return line


def _refused(line: bytes, wanted: str) -> Exception:
    """What Redis says is wrong, or that this is no answer."""
    import redis

    if line.startswith(b"-"):
        return redis.ResponseError(line[1:].decode())
    return redis.InvalidResponse(f"{wanted}, and {line!r} came")


class Line:
    """One thread's connection; it connects when it is first asked."""

    def __init__(self, connection: Any) -> None:
        """`connection` is the client's, of nobody else."""
        self._connection = connection

    def ask(self, packed: bytes, read: Callable[[Reply], T]) -> T:
        """What `read` makes of the answer to a packed command, all of which it must take.

        Raises redis.RedisError or OSError; the line is new afterwards. Asked a second time where the server hung up, as it may have
        done long ago; an answer that is late is not.
        """
        import redis

        try:
            return self._asked(packed, read)
        except (redis.ConnectionError, ConnectionError):
            return self._asked(packed, read)

    def _asked(self, packed: bytes, read: Callable[[Reply], T]) -> T:
        try:
            self._connection.send_packed_command([packed], check_health=False)
            return read(Reply(self._receive))
        except BaseException:
            self._connection.disconnect()  # half an answer may still come
            raise

    def _receive(self) -> bytes:
        import redis

        came: bytes = self._connection._sock.recv(CHUNK)
        if not came:
            raise redis.ConnectionError("Redis hung up.")
        return came


class _NotWhole(Exception):
    """More of an answer has to come first."""


class _Sent(NamedTuple, Generic[T]):
    """A question that is on its way."""

    read: Callable[[Reply], T]
    answer: asyncio.Future[T]
    since: float
    """By the loop's clock."""


class _Wire(asyncio.Protocol):
    """A connection on which many questions are on their way at once; the answers come in their order."""

    def __init__(self, seconds: float) -> None:
        """An answer that takes longer than `seconds` ends it."""
        self._loop, self._seconds = asyncio.get_running_loop(), seconds
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: deque[_Sent[Any]] = deque()
        self._came = b""
        self._looking: asyncio.TimerHandle | None = None
        self._overdue: _Sent[Any] | None = None
        """What the last look found to wait for too long."""

    @property
    def is_open(self) -> bool:
        """Whether it may be asked."""
        return self._transport is not None

    def ask(self, packed: bytes, read: Callable[[Reply], T]) -> asyncio.Future[T]:
        """Send it, and promise what `read` makes of the answer; raises ConnectionError when it is not open."""
        if self._transport is None:
            raise ConnectionResetError("Redis hung up.")
        sent = _Sent(read, self._loop.create_future(), self._loop.time())
        self._waiting.append(sent)
        self._transport.write(packed)
        if self._looking is None:
            self._looking = self._loop.call_later(self._seconds, self._look)
        return sent.answer

    def lose(self, wrong: Exception) -> None:
        """Hang up, for half an answer may still come; whoever waits hears what is wrong."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._looking is not None:
            self._looking.cancel()
        waiting, self._waiting = self._waiting, deque()
        for sent in waiting:
            if not sent.answer.done():
                sent.answer.set_exception(wrong)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, wrong: Exception | None) -> None:
        """Redis hung up, or we did."""
        self.lose(wrong or ConnectionResetError("Redis hung up."))

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or several answers."""
        self._came += data
        at = 0
        while self._waiting and at < len(self._came):
            sent, reply = self._waiting[0], Reply(_no_more, self._came, at)
            try:
                found = sent.read(reply)
            except _NotWhole:
                break
            except Exception as wrong:
                self.lose(wrong)
                return
            self._waiting.popleft()
            at = reply.end
            if not sent.answer.done():
                sent.answer.set_result(found)
        self._came = self._came[at:]

    def _look(self) -> None:
        """Hang up where the oldest question waits for too long, also after one more turn of the loop.

        Where it was the loop that was kept busy, the answer lies there, and comes in that turn.
        """
        self._looking = None
        if not self._waiting:
            return
        oldest = self._waiting[0]
        left = oldest.since + self._seconds - self._loop.time()
        if left <= 0 and self._overdue is oldest:
            self.lose(TimeoutError(f"Redis did not answer in {self._seconds:g} s."))
            return
        self._overdue = oldest if left <= 0 else None
        self._looking = self._loop.call_later(max(left, self._seconds / 10), self._look)


class SharedLine:
    """An event loop's line, for all of its questions; it connects when it is first asked."""

    def __init__(self, connect: Callable[[], socket], seconds: float) -> None:
        """`connect` gives a socket that is signed in, and may block; an answer may take `seconds`."""
        self.loop = asyncio.get_running_loop()
        self._connect, self._seconds = connect, seconds
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None

    async def ask(self, packed: bytes, read: Callable[[Reply], T]) -> T:
        """What `read` makes of the answer to a packed command, all of which it must take; see Line.ask.

        `read` is asked again where more of an answer has to come first.
        """
        import redis

        try:
            return await (await self._open()).ask(packed, read)
        except (redis.ConnectionError, ConnectionError):
            return await (await self._open()).ask(packed, read)

    def close(self) -> None:
        """Hang up."""
        if self._wire is not None and not self.loop.is_closed():
            self._wire.lose(ConnectionAbortedError("The line was closed."))

    async def _open(self) -> _Wire:
        """The wire, once it is there; all who wait for it wait for the same one."""
        if self._wire is not None and self._wire.is_open:
            return self._wire
        if self._connecting is None:
            self._connecting = self.loop.create_task(self._connected())
        return await asyncio.shield(self._connecting)

    async def _connected(self) -> _Wire:
        try:
            made = await asyncio.to_thread(self._connect)
            made.setblocking(False)
            _, self._wire = await self.loop.create_connection(lambda: _Wire(self._seconds), sock=made)
            return self._wire
        finally:
            self._connecting = None


def _no_more() -> bytes:
    raise _NotWhole
