"""The instruments of the serving benchmark: an open loop sees what callers wait, and the capacity page does its sums."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.bench_serving import capacity
from infra.bench_serving.open_loop import NEAR, ask, swaps


@contextmanager
def a_server(seconds: float, status: int = 200) -> Iterator[str]:
    """Answers one question at a time, each after some seconds."""
    turn = threading.Lock()

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65_536):
                with turn:
                    time.sleep(seconds)
                    connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/match"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.service
def test_questions_that_come_faster_than_answers_wait_longer_and_longer_and_are_all_counted() -> None:
    with a_server(0.01) as url:
        heard = ask(url, "token", ["{}"], rate=200, seconds=0.5, seed=1)
    assert (heard.asked, heard.failed) == (100, 0)
    assert heard.p50 > 150, "half of them waited for the ten milliseconds of many others"
    assert heard.p99 > heard.p50


@pytest.mark.service
def test_questions_that_are_answered_in_time_take_as_long_as_the_answer() -> None:
    with a_server(0.002) as url:
        heard = ask(url, "token", ["{}"], rate=50, seconds=0.5, seed=1)
    assert (heard.asked, heard.failed) == (25, 0)
    assert 2 <= heard.p50 < 500


def test_what_was_asked_around_a_change_of_bundle_is_told_apart() -> None:
    answered = [(place / 100, b"a" if place < 100 else b"b") for place in range(200)]
    moments, is_near = swaps([*answered[::2], *answered[1::2]])
    assert moments.tolist() == [1.0]
    assert is_near.sum() == pytest.approx(2 * NEAR * 100, abs=1)


def test_an_answer_that_is_an_error_is_a_failure() -> None:
    with a_server(0.0, status=503) as url:
        assert ask(url, "token", ["{}"], rate=100, seconds=0.1, seed=1).failed == 10


def test_machines_are_counted_with_spare_ones_and_rounded_up() -> None:
    measured = capacity.Measured("", redis=0.001, redis_store=0.0001, redis_bytes=50_000, sqlite=0.0005, score=0.0004)
    told = capacity.page(measured)
    assert "| 1,000,000 | Redis | 1,000 | 49 | 300 | 5 | 400 Gbit/s |" in told
    assert "| 5,000,000 | embedded store | 2,500 | 121 | – | – | – |" in told


@pytest.mark.parametrize(("rate", "cpu", "wanted"), [(1, 1e-6, 1), (62_000, 0.0005, 1), (62_001, 0.0005, 2)])
def test_one_request_more_than_a_machine_can_take_needs_another_one(rate: float, cpu: float, wanted: int) -> None:
    assert capacity.nodes(rate, cpu, spare=1.0) == wanted
