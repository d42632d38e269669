"""The service behind real sockets: swaps under load, callers that dawdle, TLS, and what the document promises."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import HealthCheck

from features import open_online
from registry.following import Following
from registry.journal import Journal
from serving.champion import Follower
from serving.decision_log import DecisionLog
from serving.web import connections
from serving.web.app import application
from serving.web.doors import Doors
from serving.web.metrics import Metrics
from serving.web.service import Service
from serving.web.tokens import open_book, own_token
from tests.builders import some_settings
from tests.serving.live import SIGNAL, a_home, free_ports, promote, served
from tests.serving.tiny import ChampionsAlone
from whence.bundle import Scorer, load_bundle
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Serving, Settings

pytestmark = pytest.mark.service

SWAPS = int(os.environ.get("WHENCE_SWAPS", "30"))
CALLERS = 4
PLAIN = Serving()


@dataclass(frozen=True)
class Parts:
    """A service whose follower looks at the journal when the test says so."""

    settings: Settings
    app: Doors
    follower: Follower

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {own_token(self.settings)}"}


@contextmanager
def assembled(folder: Path, serving: Serving = PLAIN) -> Iterator[Parts]:
    settings = replace(some_settings(folder), ports=free_ports(), serving=serving)
    journal, scorers, metrics = Journal.of(settings), dict[str, Scorer](), Metrics.new()

    def load(digest: str) -> Scorer:
        if digest not in scorers:
            scorers[digest] = load_bundle(settings.bundles, digest)
        return scorers[digest]

    follower = Follower(Following(journal, lambda: datetime.now(UTC)), load)
    with open_online(settings) as store:
        a_home(store)
        log = DecisionLog(settings.decision_log, metrics.logged)
        service = Service(settings, follower, ChampionsAlone(follower), store, log, metrics)
        promote(settings, seed=1)
        follower.poll()
        yield Parts(settings, application(service, open_book(settings)), follower)


def test_every_answer_during_swaps_is_of_one_bundle_bit_by_bit_and_none_fails(tmp_path: Path) -> None:
    with assembled(tmp_path) as parts, served(parts.app, parts.settings) as address:
        answers: list[httpx.Response] = []
        done = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=address, headers=parts.key, timeout=10) as client:
                while not done.is_set():
                    answers.append(client.post("/v1/match", json={"signal": SIGNAL}))

        callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
        for each in callers:
            each.start()
        served_by = [parts.follower.lineup[IDENTITY_RANKER].scorer.digest]
        for swap in range(SWAPS):
            served_by.append(promote(parts.settings, seed=2 - swap % 2))
            seen = len(answers)
            parts.follower.poll()
            while len(answers) < seen + CALLERS:
                time.sleep(0.001)
        done.set()
        for each in callers:
            each.join()
    assert {each.status_code for each in answers} == {200}
    said: dict[str, set[float]] = {}
    for each in answers:
        content = each.json()
        said.setdefault(content["bundle"], set()).add(content["probability"])
    assert set(said) == set(served_by)
    assert [len(probabilities) for probabilities in said.values()] == [1, 1]
    assert len(set.union(*said.values())) == 2


def test_half_a_request_holds_a_connection_for_a_moment_alone_and_nobody_else_up(tmp_path: Path) -> None:
    with assembled(tmp_path) as parts, served(parts.app, parts.settings, patience=1.0) as address:
        key = parts.key["Authorization"]
        head = f"POST /v1/match HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-type: application/json\r\n"
        halves = ["", "POST /v1/ma", head, head + 'content-length: 99\r\n\r\n{"signal": {']
        held = [socket.create_connection(("localhost", parts.settings.ports.serving)) for _ in halves]
        for half, connection in zip(halves, held, strict=True):
            connection.settimeout(10)
            connection.sendall(half.encode())
        assert httpx.post(f"{address}/v1/match", json={"signal": SIGNAL}, headers=parts.key).status_code == 200
        for connection in held:
            with connection:
                assert connection.recv(1024).startswith(b"HTTP/1.1 408 ")
                assert connection.recv(1024) == b""


def test_what_is_no_http_and_headers_without_end_are_refused_at_once(tmp_path: Path) -> None:
    with assembled(tmp_path) as parts, served(parts.app, parts.settings):
        endless = b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 20_000
        for sent, status in ((b"\x16\x03\x01\x02\x00", b"400"), (endless, b"431")):
            with socket.create_connection(("localhost", parts.settings.ports.serving)) as connection:
                connection.sendall(sent)
                assert connection.recv(1024).startswith(b"HTTP/1.1 " + status)


def test_a_connection_answers_in_order_and_closes_when_it_is_asked_to(tmp_path: Path) -> None:
    with assembled(tmp_path) as parts, served(parts.app, parts.settings):
        asked = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nHEAD /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /%6civez HTTP/1.1\r\n\r\n"
        statuses = [each.split()[1] for each in said(parts, asked + b"GET /nowhere HTTP/1.1\r\nconnection: close\r\n\r\n")]
        assert statuses == [b"200", b"405", b"200", b"404"]
        assert len(said(parts, b"GET /livez HTTP/1.0\r\n\r\n")) == 1
        key, question = parts.key["Authorization"].encode(), b'{"signal": {}}'
        head = b"POST /v1/match HTTP/1.1\r\nauthorization: %b\r\ncontent-type: application/json\r\n" % key
        chunked = b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n7\r\n%b\r\n7\r\n%b\r\n0\r\n\r\n" % (
            question[:7],
            question[7:],
        )
        assert said(parts, head + chunked)[0].split()[1] == b"200"
        large = said(parts, head + b"expect: 100-continue\r\ncontent-length: 9999999\r\n\r\n")
        assert [each.split()[1] for each in large] == [b"413"]  # before a byte of the body was sent
        with socket.create_connection(("localhost", parts.settings.ports.serving)) as connection:
            connection.settimeout(10)
            connection.sendall(head + b"expect: 100-continue\r\ncontent-length: 14\r\n\r\n")
            assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b'{"signal": {}}')
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_who_takes_no_answers_is_let_go_and_who_takes_them_slowly_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD", 1.5)
    with assembled(tmp_path) as parts, served(parts.app, parts.settings) as address:
        place = ("localhost", parts.settings.ports.serving)
        with socket.create_connection(place) as stuck, socket.create_connection(place) as slow:
            for each in (stuck, slow):
                each.sendall(b"GET /openapi.json HTTP/1.1\r\n\r\n" * 1000)
            until = time.monotonic() + 6
            while time.monotonic() < until:
                assert slow.recv(16_384)
                time.sleep(0.01)
            assert parts.app.queue() == 1
            assert httpx.get(f"{address}/livez").status_code == 200
            stuck.settimeout(10)
            assert b"".join(iter(lambda: stuck.recv(65_536), b"")).count(b"HTTP/1.1 200") < 1000


def test_what_follows_a_body_without_end_is_not_waited_for(tmp_path: Path) -> None:
    with assembled(tmp_path) as parts, served(parts.app, parts.settings, patience=600) as address:
        key = parts.key["Authorization"].encode()
        head = b"POST /v1/match HTTP/1.1\r\nauthorization: %b\r\ncontent-type: application/json\r\n" % key
        for begun in (head, b"POST /nowhere HTTP/1.1\r\n"):
            with socket.create_connection(("localhost", parts.settings.ports.serving)) as connection:
                connection.sendall(begun + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
                with pytest.raises((ConnectionResetError, BrokenPipeError)):
                    connection.sendall(b"x: y\r\n" * 10_000_000)
        assert httpx.get(f"{address}/livez").status_code == 200


def test_more_connections_than_there_is_room_for_are_let_go_at_once(tmp_path: Path) -> None:
    with assembled(tmp_path) as parts, served(parts.app, parts.settings):
        parts.app.most_connections = 3
        place = ("localhost", parts.settings.ports.serving)
        held = [socket.create_connection(place) for _ in range(3)]
        with socket.create_connection(place, timeout=5) as another:
            assert another.recv(1) == b""
        for each in held:
            each.sendall(b"GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n")
            assert each.recv(1024).startswith(b"HTTP/1.1 200 ")
            each.close()
        assert parts.app.metrics.refused.labels("connections")._value.get() == 1


def said(parts: Parts, asked: bytes) -> list[bytes]:
    """The answers on one connection until the service closes it, each from its status line."""
    with socket.create_connection(("localhost", parts.settings.ports.serving)) as connection:
        connection.settimeout(10)
        connection.sendall(asked)
        told = b"".join(iter(lambda: connection.recv(65_536), b""))
    return [b"HTTP/1.1 " + each for each in told.split(b"HTTP/1.1 ")[1:]]


def test_with_a_certificate_the_service_speaks_tls_alone(tmp_path: Path) -> None:
    certificate, key = a_certificate(tmp_path)
    with (
        assembled(tmp_path, Serving(certificate=str(certificate), key=str(key))) as parts,
        served(parts.app, parts.settings) as address,
    ):
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert httpx.get(f"{address}/livez", verify=trusting).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{address.replace('https', 'http')}/livez")


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, made by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private


def is_allowed(case: Any) -> bool:
    """Whether the document allows the body; one that is no JSON value it does not."""
    try:
        return any(each.is_valid(case.body) for each in case.operation.body)
    except ValueError:
        return False


CASES = int(os.environ.get("WHENCE_CASES", "150"))
"""Of schemathesis in all; 10,000 are tried by WHENCE_CASES=10000."""


def test_the_document_is_true_whatever_is_sent(tmp_path: Path) -> None:
    """No 5xx, and no status, kind, header or shape that the document does not name; what it forbids is refused.

    That everything it allows is taken is not asked: that an event is seen after it happened, no schema can say.
    """
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import load_all_checks
    from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

    load_all_checks()
    with assembled(tmp_path) as parts, served(parts.app, parts.settings) as address:
        content = httpx.get(f"{address}/openapi.json").json()
        operations = [each.ok() for each in schemathesis.openapi.from_dict(content).get_all_operations()]
        asked = [(each, mode) for each in operations for mode in GenerationMode if each.body or mode.is_positive]
        tried = Counter[tuple[str, int]]()
        for operation, mode in asked:
            share = CASES // sum(bool(each.body) for each, _ in asked) if operation.body else 2

            @hypothesis.settings(
                max_examples=share, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def holds(case: schemathesis.Case) -> None:
                unasked: list[Any] = [positive_data_acceptance]
                if is_allowed(case):  # the token alone was left out, and the call brings one
                    unasked.append(negative_data_rejection)
                answer = case.call_and_validate(address, headers=parts.key, excluded_checks=unasked)
                tried[case.operation.path, answer.status_code] += 1

            holds()
        print(f"{tried.total()} cases; by route and status: {dict(sorted(tried.items()))}")  # for pytest -s
