"""A connection to Redis for questions alone: of an answer only what is not as it was last time is taken apart.

The client's own way, which makes an object of each of a hundred rows and looks at every one, takes some twenty microseconds more of a
match's five hundred. The client still connects, signs in and speaks TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
CHUNK = 2**17
END = b"\r\n"
MISSING, AROUND = len(b"$-1\r\n"), len(b"$\r\n\r\n")
"""Bytes of a text that is not there, and of what stands around one besides its length."""
TEXTS: frozenset[type] = frozenset((bytes, type(None)))
NOT_YET = object()


class Reply:
    """An array of texts as it comes over the line, in RESP; whatever is asked of it and has not come yet is waited for."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        """`receive` gives the next bytes; raises whatever is wrong with the line."""
        self._receive, self._came, self._at = receive, receive(), 0

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
        import hiredis

        reader, start = hiredis.Reader(notEnoughData=NOT_YET), self._at
        reader.feed(b"*%d\r\n" % count)
        reader.feed(self._came[start:])
        while (found := reader.gets()) is NOT_YET:
            came = self._receive()
            self._came += came
            reader.feed(came)
        texts: list[bytes | None] = found
        if not TEXTS.issuperset(map(type, texts)):
            raise _refused(b"%a" % texts, "texts were to come")
        lengths = [len(text) for text in texts if text is not None]
        around = AROUND * len(lengths) + MISSING * (count - len(lengths))
        self._at += sum(lengths) + sum(map(len, map(str, lengths))) + around
        return self._came[start : self._at], texts

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
