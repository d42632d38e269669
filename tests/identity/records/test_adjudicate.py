"""The protocol against a server of our own: budget, cache, retries, malformed answers, and what may be believed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from whence.identity.records.adjudicate import Adjudicator, Answer, Budget, Endpoint, EndpointError, judge, prompt, read_answer

Reply = tuple[int, Any]
ANN, ANNE, BO = {"name": "Ann", "ssn": "secret-1"}, {"name": "Anne", "ssn": "secret-2"}, {"name": "Bo", "ssn": "secret-3"}


def said(verdict: str = "same", confidence: float = 0.9, tokens: int = 100) -> Reply:
    content = json.dumps({"verdict": verdict, "confidence": confidence})
    return 200, {"choices": [{"message": {"content": content}}], "usage": {"prompt_tokens": tokens, "completion_tokens": 10}}


class Stub:
    """A chat endpoint on the loopback address that answers from a list, the last answer again and again."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [said()]
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.slow = threading.Event()

    def reply(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        self.bodies.append(body)
        self.headers.append(headers)
        return self.replies[min(len(self.bodies), len(self.replies)) - 1]


@pytest.fixture
def stub() -> Iterator[tuple[Stub, str]]:
    state = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            code, told = state.reply(body, dict(self.headers))
            if code == 0:
                state.slow.wait(5)
                return
            data = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(code)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_port}/v1"
    state.slow.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def asks(stub: tuple[Stub, str], tmp_path: Path) -> Iterator[Callable[..., Adjudicator]]:
    clients = []

    def make(calls: int = 10, money: float = 1.0, **given: Any) -> Adjudicator:
        clients.append(httpx.Client(trust_env=False))
        endpoint = Endpoint(stub[1], "small", **given)
        return Adjudicator(endpoint, ["name"], tmp_path / "answers.sqlite", Budget(calls, money), clients[-1], lambda _: None)

    yield make
    for each in clients:
        each.close()


def test_only_the_listed_fields_are_sent(
    stub: tuple[Stub, str], asks: Callable[..., Adjudicator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHENCE_ADJUDICATOR_KEY", "k")
    found = asks().ask([(ANN, ANNE)])
    assert found.answers == (Answer("same", 0.9),)
    assert "secret" not in json.dumps(stub[0].bodies)
    assert stub[0].bodies[0]["model"] == "small"
    assert stub[0].headers[0]["Authorization"] == "Bearer k"


def test_the_same_question_again_costs_no_call(asks: Callable[..., Adjudicator]) -> None:
    asks().ask([(ANN, ANNE)])
    again = asks(calls=0).ask([(ANN, ANNE)])
    assert (again.calls, again.cached, again.answers) == (0, 1, (Answer("same", 0.9, is_cached=True),))


def test_another_model_is_another_question(asks: Callable[..., Adjudicator], stub: tuple[Stub, str]) -> None:
    first = asks()
    first.ask([(ANN, ANNE)])
    other = Adjudicator(Endpoint(stub[1], "large"), ["name"], first.cache, Budget(5, 1), first.client, lambda _: None)
    assert other.ask([(ANN, ANNE)]).calls == 1


def test_calls_stop_at_the_budget(asks: Callable[..., Adjudicator]) -> None:
    found = asks(calls=1).ask([(ANN, ANNE), (ANN, BO), (ANNE, BO)])
    assert [each is not None for each in found.answers] == [True, False, False]
    assert found.stopped == "All 1 calls are made."
    assert found.malformed == 0


def test_money_stops_before_it_is_passed(asks: Callable[..., Adjudicator], stub: tuple[Stub, str]) -> None:
    ask = asks(calls=100, money=0.001, price_in=1.0, price_out=1.0)
    found = ask.ask([({"name": f"a{at}"}, {"name": "b"}) for at in range(20)])
    assert 0 < found.calls < 20
    assert found.spent <= 0.001
    assert "may cost" in found.stopped
    assert len(stub[0].bodies) == found.calls


def test_busy_servers_are_asked_again_and_each_attempt_counts(asks: Callable[..., Adjudicator], stub: tuple[Stub, str]) -> None:
    stub[0].replies = [(429, "later"), (503, "later"), said("different")]
    found = asks().ask([(ANN, BO)])
    assert found.answers == (Answer("different", 0.9),)
    assert found.calls == 3


def test_a_server_that_never_answers_ends_in_no_answer(asks: Callable[..., Adjudicator], stub: tuple[Stub, str]) -> None:
    stub[0].replies = [(0, "")]
    found = asks(timeout=0.05, attempts=2).ask([(ANN, BO)])
    assert (found.answers, found.calls, found.malformed) == ((None,), 2, 1)


def test_what_trying_again_cannot_mend_is_said_at_once(asks: Callable[..., Adjudicator], stub: tuple[Stub, str]) -> None:
    stub[0].replies = [(401, "no such key")]
    with pytest.raises(EndpointError, match="answered 401: no such key"):
        asks().ask([(ANN, BO)])


def test_an_address_where_nobody_listens_is_said_after_a_few_attempts_and_costs_nothing(tmp_path: Path) -> None:
    budget, waited = Budget(9, 9), list[float]()
    with socket.socket() as taken, httpx.Client() as client:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        nobody = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "m", attempts=2)
        with pytest.raises(EndpointError, match=r"cannot be reached .* Is the address right"):
            Adjudicator(nobody, ["name"], tmp_path / "a.sqlite", budget, client, waited.append).ask([(ANN, BO)])
    assert (waited, budget.spent) == ([1.0], 0.0)


@pytest.mark.parametrize("told", ["not json", {"choices": []}, {"choices": [{"message": {"content": "surely!"}}]}, ["odd"]])
def test_malformed_answers_are_no_answers_and_are_not_kept(
    asks: Callable[..., Adjudicator], stub: tuple[Stub, str], told: Any
) -> None:
    stub[0].replies = [(200, told), said()]
    ask = asks()
    assert ask.ask([(ANN, BO)]).malformed == 1
    assert ask.ask([(ANN, BO)]).answers == (Answer("same", 0.9),)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"verdict": "maybe", "confidence": 1}', '{"verdict": "same", "confidence": 7}', "[1]"]
)
def test_only_answers_as_asked_are_read(content: str) -> None:
    assert read_answer(content) is None


def test_answers_in_a_sentence_are_read() -> None:
    assert read_answer('Here: {"verdict": "unsure", "confidence": 0.5} Bye') == Answer("unsure", 0.5)
    assert Answer("unsure", 0.9).score == 0
    assert Answer("different", 1.0).score < -5


def test_nothing_is_sent_without_naming_fields(tmp_path: Path) -> None:
    with httpx.Client() as client, pytest.raises(EndpointError, match="Name the fields"):
        Adjudicator(Endpoint("http://127.0.0.1:1/v1", "m"), [], tmp_path / "a.sqlite", Budget(1, 1), client)
    assert prompt(ANN, {}, ["ssn"]) == '{"a": {"ssn": "secret-1"}, "b": {}}'


def labelled(n: int, strength: float) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    truth = rng.random(n) < 0.5
    log_odds = rng.normal(0, 1, n)
    scores = np.where(truth, strength, -strength) + rng.normal(0, 1, n)
    return log_odds, scores, truth


@pytest.mark.service
def test_answers_that_help_are_admitted_with_an_interval() -> None:
    log_odds, scores, truth = labelled(300, 1.5)
    found = judge(log_odds, scores, truth, np.arange(300))
    assert found.is_admitted
    assert found.gain is not None
    assert found.gain[0] > 0
    better = found.apply(log_odds, scores)
    assert ((better > 0.5) == truth).mean() > 0.85
    assert found.apply(np.zeros(1), np.array([np.nan])).tolist() == [0.5]


@pytest.mark.service
def test_answers_that_say_nothing_are_not_admitted() -> None:
    log_odds, scores, truth = labelled(300, 0.0)
    found = judge(log_odds, scores, truth, np.arange(300))
    assert not found.is_admitted
    assert found.apply(np.zeros(1), np.ones(1)).tolist() == [0.5]


def test_without_enough_labels_by_people_answers_are_no_probabilities() -> None:
    log_odds, scores, truth = labelled(40, 3.0)
    found = judge(log_odds, scores, truth, np.arange(40))
    assert not found.is_admitted
    assert "30 of each are needed" in found.reason
