"""Answers of Redis in whatever bits they come: what is as it was is stepped over, what is not is read, and a refusal is one.

On a loop's line many questions wait at once, and each hears its own answer, or what is wrong.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
import redis

from features.redis_line import Reply, SharedLine

BEFORE = [b"one", None, b"", b"a\r\n$-1\r\nb"]


def packed(texts: Sequence[bytes | None]) -> bytes:
    return b"".join(b"$-1\r\n" if text is None else b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


def a_reply(came: bytes, bits: int) -> Reply:
    """The bytes as they come, so many at a time; a wait for more than there is would raise StopIteration."""
    return Reply(iter([came[at : at + bits] for at in range(0, len(came), bits)]).__next__)


@pytest.mark.parametrize("bits", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("place", range(len(BEFORE) + 1))
def test_a_part_that_is_as_it_was_is_stepped_over_and_another_is_read_whole(bits: int, place: int) -> None:
    now: list[bytes | None] = [*BEFORE]
    if place < len(BEFORE):
        now[place] = b"a"
    reply = a_reply(b"*6\r\n" + packed([*now, b"last", None]), bits)
    reply.open(6)
    assert reply.is_next(packed(BEFORE)) == (place == len(BEFORE))
    if place < len(BEFORE):
        assert reply.take(4) == (packed(now), now)
    assert reply.take(2) == (packed([b"last", None]), [b"last", None])


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (b"-NOAUTH Sign in.\r\n", "NOAUTH Sign in."),
        (b"*1\r\n:5\r\n", "texts were to come, and .*5"),
        (b"*2\r\n", "1 texts were to come, and"),
    ],
    ids=["refusal", "number", "length"],
)
def test_what_is_no_answer_is_said_so(came: bytes, words: str) -> None:
    def read() -> None:
        reply = a_reply(came, 1000)
        reply.open(1)
        reply.take(1)

    with pytest.raises(redis.RedisError, match=words):
        read()


async def on_a_line(seconds: float, play: Callable[[SharedLine, list[socket.socket]], Awaitable[None]]) -> None:
    """A line, and the other ends of its connections, the latest last."""
    ends: list[socket.socket] = []

    def connect() -> socket.socket:
        ours, theirs = socket.socketpair()
        ends.append(theirs)
        return ours

    line = SharedLine(connect, seconds)
    try:
        await play(line, ends)
    finally:
        line.close()
        await asyncio.sleep(0)
        for end in ends:
            end.close()


async def asked(line: SharedLine, count: int = 1) -> list[bytes | None]:
    def read(reply: Reply) -> list[bytes | None]:
        reply.open(count)
        return reply.take(count)[1]

    return await line.ask(b"question", read)


async def heard(ends: list[socket.socket], questions: int, connections: int = 1) -> None:
    """Wait until so many questions came over the last of so many connections."""
    while len(ends) < connections:
        await asyncio.sleep(0.001)
    assert await asyncio.to_thread(ends[-1].recv, questions * 8, socket.MSG_WAITALL) == b"question" * questions


@pytest.mark.parametrize("bits", [1, 5, 1000])
def test_questions_of_a_loop_are_on_their_way_together_and_each_gets_its_own_answer(bits: int) -> None:
    async def play(line: SharedLine, ends: list[socket.socket]) -> None:
        waiting = [asyncio.create_task(asked(line, count)) for count in (1, 2, 3)]
        await heard(ends, 3)
        waiting[1].cancel()  # its answer comes all the same
        answers = [[b"%d" % count] * count for count in (1, 2, 3)]
        came = b"".join(b"*%d\r\n" % len(each) + packed(each) for each in answers)
        for at in range(0, len(came), bits):
            ends[0].sendall(came[at : at + bits])
            await asyncio.sleep(0)
        assert await asyncio.gather(waiting[0], waiting[2]) == [answers[0], answers[2]]
        assert len(ends) == 1

    asyncio.run(on_a_line(5.0, play))


def test_an_answer_that_came_while_the_loop_was_busy_is_not_late_and_one_that_never_comes_ends_the_line() -> None:
    async def play(line: SharedLine, ends: list[socket.socket]) -> None:
        first = asyncio.create_task(asked(line))
        await heard(ends, 1)
        ends[0].sendall(b"*1\r\n$1\r\na\r\n")
        time.sleep(0.1)
        assert await first == [b"a"]
        with pytest.raises(TimeoutError, match="did not answer"):
            await asked(line)
        again = asyncio.create_task(asked(line))
        await heard(ends, 1, connections=2)
        ends[1].sendall(b"*1\r\n$1\r\nb\r\n")
        assert await again == [b"b"]

    asyncio.run(on_a_line(0.02, play))


def test_where_the_server_hung_up_it_is_asked_once_more_and_what_it_refuses_is_said() -> None:
    async def play(line: SharedLine, ends: list[socket.socket]) -> None:
        waiting = asyncio.create_task(asked(line))
        await heard(ends, 1)
        ends[0].close()
        await heard(ends, 1, connections=2)
        ends[1].sendall(b"-NOAUTH Sign in.\r\n")
        with pytest.raises(redis.ResponseError, match="Sign in"):
            await waiting

    asyncio.run(on_a_line(5.0, play))
