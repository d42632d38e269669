"""The service over HTTP, with real bundles, real online features and a real log."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from features import open_online
from features.online import OnlineStore, key_text, micros, pack
from registry.following import Following
from registry.journal import Journal
from serving import decision_log
from serving.champion import Follower
from serving.decision_log import DecisionLog
from serving.matcher import Store
from serving.web.app import application
from serving.web.doors import FAILED, MAX_BODY
from serving.web.limits import Buckets
from serving.web.metrics import Metrics
from serving.web.service import Service
from serving.web.tokens import add, open_book, own_token
from tests.builders import some_settings
from tests.serving.tiny import SCHEMAS, ChampionsAlone, a_bundle
from whence.bundle import Scorer, load_bundle
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER
from whence.contracts.settings import Features, Settings

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
KNOWN = datetime(2026, 5, 2, tzinfo=UTC)
EMAIL = "a" * 64
JSON = {"Content-Type": "application/json"}
TOUCHES = [
    {"touch_id": "t1", "happened_at": "2026-05-02T02:00:00+00:00", "kind": "click", "campaign_id": "c1", "channel": "search"},
    {"touch_id": "t2", "happened_at": "2026-05-02T11:00:00+00:00", "kind": "click", "campaign_id": "c2", "channel": "social"},
]


LOADED: dict[str, Scorer] = {}


def checked(settings: Settings, digest: str) -> Scorer:
    """The bundle's scorer; its check in a child process takes longer than a test, and is done once for all of them."""
    if digest not in LOADED:
        LOADED[digest] = load_bundle(settings.bundles, digest)
    return LOADED[digest]


@dataclass(frozen=True)
class Caller:
    """Asks an application without a socket between."""

    app: Any

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.ask("GET", path, **how)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self.ask("POST", path, **how)

    def ask(self, method: str, path: str, port: int = 80, **how: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://service:{port}") as client:
                return await client.request(method, path, **how)

        return asyncio.run(ask())


@dataclass(frozen=True)
class Held:
    """A store whose answers to other threads wait for a sign, and which notes what the loop had done when it was asked."""

    store: Store
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    turns: list[int] = field(default_factory=lambda: [0])
    seen: list[int] = field(default_factory=list)

    def columns(self, *asked: Any, **how: Any) -> Any:
        self.seen.append(self.turns[0])
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            assert self.go.wait(10)
        return self.store.columns(*asked, **how)

    async def columns_awaited(self, *asked: Any, **how: Any) -> Any:
        return self.columns(*asked, **how)


@dataclass(frozen=True)
class Bench:
    """A service on a test bench."""

    settings: Settings
    client: Caller
    store: OnlineStore
    follower: Follower
    journal: Journal

    def post(self, path: str, **content: Any) -> Any:
        return self.client.post(path, json=content, headers=self.key)

    def metrics(self) -> str:
        return self.client.get("/metrics", port=self.settings.ports.serving_admin, headers=self.key).text

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {own_token(self.settings)}"}

    def promote(self, model: str, seed: int = 1) -> str:
        digest = a_bundle(self.settings.bundles, model, seed)
        current = self.journal.champion(model)
        self.journal.promote(model, digest, "", ("for tests",), "tests", current.epoch if current else 0, NOON)
        self.follower.poll()
        return digest

    def knows(self, view: str, *key: str, at: datetime = KNOWN, **values: Any) -> None:
        self.store.shelf.put(view, [(key_text(list(key)), pack(view, values, micros(at)))])

    def decisions(self) -> list[dict[str, Any]]:
        return list(decision_log.read(self.settings.decision_log, "2026-05-02").rows)


def itself(store: Store) -> Store:
    return store


@contextmanager
def a_bench(settings: Settings, seen: Callable[[Store], Store] = itself) -> Iterator[Bench]:
    journal, metrics = Journal.of(settings), Metrics.new()
    with open_online(settings) as store:
        follower = Follower(Following(journal, lambda: NOON), lambda digest: checked(settings, digest))
        log = DecisionLog(settings.decision_log, metrics.logged)
        service = Service(settings, follower, ChampionsAlone(follower), seen(store), log, metrics, lambda: NOON)
        follower.poll()
        app = application(service, open_book(settings), clock=lambda: NOON)
        yield Bench(settings, Caller(app), store, follower, journal)
        log.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with a_bench(some_settings(tmp_path)) as made:
        yield made


def a_home(bench: Bench) -> None:
    """Ann is at home on this network every day, Bob came by once."""
    bench.knows("network_features", "home", people=json.dumps(["ann", "bob"]), persons_7d=2)
    for person, days in {"ann": 5, "bob": 1}.items():
        bench.knows("pair_features", "home", person, days_together_14d=days)
        bench.knows("person_features", person, user_agents='["Firefox"]', recent_touches=json.dumps(TOUCHES))


def test_an_identifier_that_names_a_person_is_answered_without_a_model(bench: Bench) -> None:
    bench.knows("identifier_features", f"email_hash:{EMAIL}", person_id="ann", person_probability=1.0)
    answer = bench.post("/v1/match", signal={"email_hash": EMAIL, "ip_key": "home"}).json()
    assert (answer["person_id"], answer["method"], answer["probability"], answer["bundle"]) == ("ann", "exact", 1.0, None)


def test_a_stranger_at_home_is_matched_by_the_champion_and_the_decision_is_logged(bench: Bench) -> None:
    digest = bench.promote(IDENTITY_RANKER)
    a_home(bench)
    signal = {"event_id": "e1", "ip_key": "home", "user_agent": "Firefox"}
    answer = bench.post("/v1/match", signal=signal, durable=True).json()
    assert (answer["person_id"], answer["method"], answer["bundle"]) == ("ann", "ranked", digest)
    rows = bench.decisions()
    assert [(row["subject"], row["option"], row["chosen"]) for row in rows] == [("e1", "ann", True), ("e1", "bob", False)]
    assert rows[0]["features"]["days_together_14d"] == 5.0
    assert rows[0]["decision_id"] == f"{answer['decision_id']}-0"
    assert rows[0]["probability"] == answer["probability"]
    assert answer["logged"] is True


def test_nobody_is_searched_for_without_consent(bench: Bench) -> None:
    bench.promote(IDENTITY_RANKER)
    a_home(bench)
    answer = bench.post("/v1/match", signal={"ip_key": "home", "consent": "denied"}).json()
    assert (answer["person_id"], answer["method"]) == (None, "none")
    assert bench.decisions() == []


def test_a_stale_value_does_not_speak_and_the_answer_says_so(bench: Bench) -> None:
    bench.promote(IDENTITY_RANKER)
    bench.knows("network_features", "home", at=KNOWN - timedelta(days=5), people='["ann"]')
    answer = bench.post("/v1/match", signal={"ip_key": "home"}).json()
    assert answer["person_id"] is None
    assert "network_features is stale: 132 h old" in answer["degraded"]
    assert 'whence_stale_values_total{view="network_features"} 1.0' in bench.metrics()


def test_credit_adds_up_to_the_value_and_the_later_touch_earns_more(bench: Bench) -> None:
    digest = bench.promote(ATTRIBUTION_RANKER)
    a_home(bench)
    conversion = {"conversion_id": "v1", "kind": "purchase", "value_micros": 1_000_001, "currency": "USD"}
    answer = bench.post("/v1/attribute", conversion=conversion, person_id="ann", durable=True).json()
    assert [(each["touch_id"], each["credit_micros"]) for each in answer["credits"]] == [("t2", 1_000_001)]
    assert (answer["policy"], answer["algorithm"], answer["bundle"]) == ("whence", "last_touch", digest)
    credit = {each["touch_id"]: each["credit_micros"] for each in answer["beside"]["ranker"]}
    assert sum(credit.values()) == 1_000_001
    assert credit["t2"] > credit["t1"]
    assert {row["option"]: row["chosen"] for row in bench.decisions()} == {"t1": False, "t2": True}


def test_without_a_champion_the_last_touch_earns_it_and_the_answer_says_so(bench: Bench) -> None:
    a_home(bench)
    conversion = {"conversion_id": "v1", "kind": "purchase", "value_micros": 10, "currency": "USD"}
    answer = bench.post("/v1/attribute", conversion=conversion, person_id="ann").json()
    assert [(each["touch_id"], each["credit_micros"]) for each in answer["credits"]] == [("t2", 10)]
    assert (answer["algorithm"], answer["degraded"]) == ("last_touch", ["attribution-ranker has no champion"])


def test_touches_that_come_with_the_request_count_once(bench: Bench) -> None:
    a_home(bench)
    sent = [{**TOUCHES[1]}, {**TOUCHES[1], "touch_id": "t3", "happened_at": "2026-05-02T11:30:00Z"}]
    conversion = {"conversion_id": "v1", "kind": "purchase", "value_micros": 10, "currency": "USD"}
    answer = bench.post("/v1/attribute", conversion=conversion, touches=sent, person_id="ann").json()
    assert [each["touch_id"] for each in answer["credits"]] == ["t3"]


def test_a_conversion_by_nobody_known_is_earned_by_no_ad(bench: Bench) -> None:
    bench.promote(ATTRIBUTION_RANKER)
    conversion = {"conversion_id": "v1", "kind": "purchase", "value_micros": 10, "currency": "USD"}
    answer = bench.post("/v1/attribute", conversion=conversion).json()
    assert answer["credits"] == [{"touch_id": None, "campaign_id": None, "channel": None, "share": 1.0, "credit_micros": 10}]


def test_only_known_callers_are_let_in(bench: Bench) -> None:
    for header in (
        {},
        {"Authorization": "Bearer guess"},
        {"Authorization": own_token(bench.settings)},
        {"Authorization": "Bearer "},
    ):
        answer = bench.client.post("/v1/match", json={"signal": {}}, headers=header)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_the_file_of_tokens_holds_digests_alone(bench: Bench) -> None:
    content = (bench.settings.home / "serving_tokens.json").read_text()
    assert own_token(bench.settings) not in content
    assert (bench.settings.home / "run" / "serving_token").stat().st_mode & 0o077 == 0


def test_a_wrong_field_is_named(bench: Bench) -> None:
    answer = bench.post("/v1/match", signal={"cookie": "c"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "signal.cookie")


def test_a_body_that_is_too_large_is_refused(bench: Bench) -> None:
    answer = bench.client.post("/v1/match", content=b" " * (MAX_BODY + 1), headers=bench.key | JSON)
    assert answer.status_code == 413


def test_health_says_what_serves(bench: Bench) -> None:
    digest = bench.promote(IDENTITY_RANKER)
    ready = bench.client.get("/readyz").json()
    assert bench.client.get("/livez").status_code == 200
    assert ready["models"][IDENTITY_RANKER] == {"bundle": digest, "epoch": 1}
    assert "attribution-ranker has no champion" in ready["degraded"]


def test_an_answer_goes_out_when_the_log_cannot_be_written_and_says_so(bench: Bench) -> None:
    bench.promote(IDENTITY_RANKER)
    a_home(bench)
    bench.settings.decision_log.write_text("in the way")
    answer = bench.post("/v1/match", signal={"ip_key": "home"}, durable=True).json()
    assert (answer["person_id"], answer["logged"]) == ("ann", False)
    assert answer["degraded"] == ["identifier_features is unknown", "the decision could not be logged"]
    assert 'whence_decisions_lost_total{model="identity-ranker"} 2.0' in bench.metrics()


@pytest.mark.service
def test_every_answer_during_a_swap_is_of_one_bundle_whole(bench: Bench) -> None:
    a_home(bench)
    answers: dict[str, set[float]] = {}
    for seed in (1, 2, 1, 2):
        bench.promote(IDENTITY_RANKER, seed)
        for _ in range(3):
            answer = bench.post("/v1/match", signal={"ip_key": "home"}).json()
            answers.setdefault(answer["bundle"], set()).add(answer["probability"])
    assert [len(given) for given in answers.values()] == [1, 1]


def a_row(**changes: float) -> dict[str, Any]:
    """A row of the identity ranker, nothing known but what is said."""
    return {name: changes.get(name) for name in SCHEMAS[IDENTITY_RANKER].names}


def test_rows_of_the_caller_are_scored_as_lists_and_as_objects_alike(bench: Bench) -> None:
    digest = bench.promote(IDENTITY_RANKER)
    rows = [a_row(days_together_14d=5), a_row(days_together_14d=1)]
    asked = {"model": IDENTITY_RANKER, "names": list(rows[0]), "rows": [list(row.values()) for row in rows]}
    by_name = bench.post("/v1/score", model=IDENTITY_RANKER, rows=rows).json()
    assert bench.post("/v1/score", **asked).json() == by_name
    assert by_name["bundle"] == digest
    assert by_name["probability"][0] > 0.9 > 0.1 > by_name["probability"][1]


def test_a_cell_of_the_wrong_kind_is_named_by_row_and_column(bench: Bench) -> None:
    bench.promote(IDENTITY_RANKER)
    answer = bench.post("/v1/score", model=IDENTITY_RANKER, rows=[a_row(), {**a_row(), "days_together_14d": "5"}])
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "rows")
    assert "Row 1, days_together_14d" in answer.json()["error"]["message"]


def test_an_explanation_sums_to_the_score(bench: Bench) -> None:
    digest = bench.promote(IDENTITY_RANKER)
    a_home(bench)
    answer = bench.post("/v1/explain", signal={"ip_key": "home", "user_agent": "Firefox"}).json()
    assert (answer["option"], answer["bundle"], answer["verdict"]["is_taken"]) == ("ann", digest, True)
    assert answer["features"][0]["name"] == "days_together_14d"
    assert sum(each["contribution"] for each in answer["features"]) + answer["base"] == pytest.approx(answer["raw"], abs=1e-9)


def test_what_cannot_be_done_now_says_why(bench: Bench) -> None:
    score = bench.post("/v1/score", model=IDENTITY_RANKER, rows=[a_row()])
    explain = bench.post("/v1/explain", signal={"ip_key": "nowhere"})
    assert (score.status_code, explain.status_code) == (409, 409)
    assert "has no champion" in score.json()["error"]["message"]


def test_of_a_batch_each_question_has_its_own_answer_or_error(bench: Bench) -> None:
    bench.promote(IDENTITY_RANKER)
    a_home(bench)
    good, bad = {"signal": {"ip_key": "home"}, "durable": True}, {"signal": {"cookie": "c"}}
    answers = bench.post("/v1/match", requests=[good, bad, good, 5]).json()["answers"]
    assert [answer.get("person_id") for answer in answers] == ["ann", None, "ann", None]
    assert [answer["error"]["field"] for answer in answers if "error" in answer] == ["signal.cookie", "body"]
    assert len(bench.decisions()) == 4
    assert bench.post("/v1/match", requests=[]).status_code == 422
    assert bench.post("/v1/match", requests=[good], more=1).json()["error"]["field"] == "body.more"


def test_a_question_of_a_batch_that_fails_is_counted_like_an_answer_that_does(bench: Bench) -> None:
    async def fail(asked: Any) -> Any:
        raise RuntimeError("for tests")

    app = bench.client.app
    broken = Caller(replace(app, public=[replace(app.public[0], handle=fail)]))
    answer = broken.post("/v1/match", json={"requests": [{}, {}]}, headers=bench.key)
    assert (answer.status_code, [each["error"]["message"] for each in answer.json()["answers"]]) == (200, [FAILED] * 2)
    assert broken.post("/v1/match", json={}, headers=bench.key).status_code == 500
    assert app.metrics.totals() == {("/v1/match", "200"): 1, ("/v1/match", "500"): 3}


def test_what_serves_is_told_with_its_schema(bench: Bench) -> None:
    digest = bench.promote(IDENTITY_RANKER)
    (model,) = bench.client.get("/v1/models", headers=bench.key).json()["models"]
    assert (model["model"], model["bundle"], model["epoch"], model["since"]) == (IDENTITY_RANKER, digest, 1, NOON.isoformat())
    assert "days_together_14d" in model["numbers"]


def test_a_token_does_only_what_it_was_given_out_for_and_the_admins_routes_are_on_a_port_of_their_own(bench: Bench) -> None:
    token = add(bench.settings, "shop", ["score"], NOON + timedelta(days=1), NOON)
    bench.client.app.tokens.clock = lambda: math.inf  # the file is looked at again
    key, admin = {"Authorization": f"Bearer {token}"}, bench.settings.ports.serving_admin
    assert bench.client.post("/v1/match", json={"signal": {}}, headers=key).status_code == 200
    assert bench.client.post("/v1/explain", json={"signal": {}}, headers=key).status_code == 403
    assert bench.client.get("/metrics", port=admin, headers=key).status_code == 403
    assert bench.client.get("/metrics", headers=bench.key).status_code == 404
    assert bench.client.get("/metrics", port=admin, headers=bench.key).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("GET", "/v1/match", {}, 405),
        ("POST", "/v1/nothing", {"json": {}}, 404),
        ("POST", "/v1/match", {"content": b"{}"}, 415),
        ("POST", "/v1/match", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/v1/match", {"content": b"{}", "headers": {**JSON, "Content-Encoding": "gzip"}}, 415),
        ("POST", "/v1/match", {"content": b'{"signal": {"ip_key": "\xff"}}', "headers": JSON}, 422),
        ("POST", "/v1/match", {"json": {"signal": {"ip_key": "10.0.0.1"}}}, 422),
        ("POST", "/v1/match", {"json": {"signal": {"event_id": "ann@example.org"}}}, 422),
    ],
    ids=["method", "path", "no kind", "other kind", "compressed", "no utf-8", "a plain address", "an e-mail as id"],
)
def test_what_cannot_be_taken_is_refused_in_one_form(
    bench: Bench, method: str, path: str, how: dict[str, Any], status: int
) -> None:
    answer = bench.client.ask(method, path, **{**how, "headers": {**bench.key, **how.get("headers", {})}})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"field", "message"}


def test_who_asks_too_much_at_once_is_told_when_to_come_again(bench: Bench) -> None:
    at = [0.0]
    bench.client.app.buckets = Buckets(1.0, lambda: at[0], burst=3.0)
    assert [bench.post("/v1/match", signal={}).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert bench.post("/v1/match", requests=[{"signal": {}}] * 2).headers["retry-after"] == "2"
    at[0] = 2.0
    assert bench.post("/v1/match", signal={}).status_code == 200


def test_a_long_queue_and_a_request_that_waited_too_long_are_shed(bench: Bench) -> None:
    app = bench.client.app
    app.queue = lambda: app.most_waiting + 1
    shed = bench.post("/v1/match", signal={})
    app.queue, app.deadline = lambda: 1, -1.0
    late = bench.post("/v1/match", signal={})
    assert [(each.status_code, each.headers["retry-after"]) for each in (shed, late)] == [(429, "1"), (429, "1")]
    assert 'whence_refused_total{reason="queue"} 1.0' in bench.metrics()


def test_every_answer_has_the_shape_that_the_document_says(bench: Bench) -> None:
    bench.promote(IDENTITY_RANKER)
    bench.promote(ATTRIBUTION_RANKER)
    a_home(bench)
    conversion = {"conversion_id": "v1", "kind": "purchase", "value_micros": 10, "currency": "USD"}
    asked: dict[str, dict[str, Any]] = {
        "/v1/match": {"signal": {"ip_key": "home"}},
        "/v1/attribute": {"conversion": conversion, "person_id": "ann"},
        "/v1/score": {"model": IDENTITY_RANKER, "rows": [a_row()]},
        "/v1/explain": {"conversion": conversion, "person_id": "ann"},
    }
    for endpoint in bench.client.app.public:
        if endpoint.answer is not None:
            body = {"json": asked[endpoint.path]} if endpoint.request else {}
            answer = bench.client.ask(endpoint.method, endpoint.path, headers=bench.key, **body)
            assert answer.status_code == 200, answer.text
            endpoint.answer.read(answer.json())


@pytest.mark.parametrize("does_accept", [False, True], ids=["nobody listens", "nobody answers"])
def test_with_the_online_store_down_every_answer_comes_soon_and_says_what_it_lacks(tmp_path: Path, does_accept: bool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if does_accept:
            silent.listen()
        features = Features(online="redis", redis=f"127.0.0.1:{silent.getsockname()[1]}")
        with a_bench(replace(some_settings(tmp_path), features=features)) as bench:
            bench.promote(IDENTITY_RANKER)
            start = time.monotonic()
            answers = [bench.post("/v1/match", signal={"ip_key": "home"}) for _ in range(5)]
            assert time.monotonic() - start < 5.0
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(
        "network_features is unknown: the online store does not answer" in str(answer.json()["degraded"]) for answer in answers
    )


def test_what_a_batch_does_not_begin_in_time_is_given_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    monkeypatch.setattr("serving.web.doors.time", SimpleNamespace(perf_counter=lambda: next(looks) / 1000))  # a look takes 1 ms
    bench.client.app.deadline = 0.02
    answers = bench.post("/v1/match", requests=[{"signal": {}}] * 1000).json()["answers"]
    assert len(answers) == 1000
    assert answers[0]["method"] == "none"
    assert answers[-1]["error"]["message"].startswith("was not begun in 0.02 s")


@contextmanager
def a_held_bench(settings: Settings) -> Iterator[tuple[Bench, Held]]:
    held: list[Held] = []

    def hold(store: Store) -> Store:
        held.append(Held(store))
        return held[0]

    with a_bench(settings, hold) as bench:
        yield bench, held[0]


SALE = {"conversion_id": "v1", "kind": "purchase", "value_micros": 10, "currency": "USD"}


def test_a_match_is_answered_while_an_explanation_is_under_way_and_one_that_waits_too_long_is_not_begun(tmp_path: Path) -> None:
    with a_held_bench(some_settings(tmp_path)) as (bench, held):
        app = bench.client.app

        async def ask() -> tuple[list[int], bool]:
            transport = httpx.ASGITransport(app)
            async with asyncio.timeout(10), httpx.AsyncClient(transport=transport, base_url="http://service:80") as client:

                async def post(path: str, **content: Any) -> int:
                    return (await client.post(path, json=content, headers=bench.key)).status_code

                first = asyncio.create_task(post("/v1/explain", conversion=SALE, person_id="ann"))
                while not held.begun.is_set():
                    await asyncio.sleep(0.001)
                app.deadline = 0.2
                second = asyncio.create_task(post("/v1/explain", conversion=SALE, person_id="ann"))
                match = await post("/v1/match", signal={"ip_key": "home"})
                is_under_way = not first.done()
                await asyncio.sleep(0.3)
                held.go.set()
                return [await first, await second, match], is_under_way

        statuses, is_under_way = asyncio.run(ask())
    assert (statuses, is_under_way) == ([409, 429, 200], True)


def test_between_the_questions_of_a_batch_others_have_their_turn(tmp_path: Path) -> None:
    with a_held_bench(some_settings(tmp_path)) as (bench, held):

        async def count() -> None:
            while True:
                held.turns[0] += 1
                await asyncio.sleep(0)

        async def ask() -> None:
            counting = asyncio.create_task(count())
            async with httpx.AsyncClient(transport=httpx.ASGITransport(bench.client.app), base_url="http://service:80") as client:
                answer = await client.post("/v1/match", json={"requests": [{"signal": {}}] * 8}, headers=bench.key)
            counting.cancel()
            assert len(answer.json()["answers"]) == 8

        asyncio.run(ask())
    assert len(set(held.seen)) == 8
