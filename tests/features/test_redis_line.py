"""Answers of Redis in whatever bits they come: what is as it was is stepped over, what is not is read, and a refusal is one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import redis

from features.redis_line import Reply

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
