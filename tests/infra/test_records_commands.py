"""The commands as a person types them: what they say, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from infra import review_page
from infra.commands import app
from tests.identity.records.test_publish import a_file, some_people
from whence.contracts.settings import Settings
from whence.identity.records import review
from whence.identity.records.publish import Request, publish
from whence.identity.records.review import Label
from whence.identity.records.saved import Saved
from whence.identity.records.store import LABELS, Folder

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def whence(home: Path, *words: str, keys: str = "") -> Any:
    return CliRunner().invoke(app, list(words), obj=Settings(home=home), input=keys)


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resolved")
    publish(Request((a_file(folder, some_people()),), folder / "out"), NOON)
    return folder / "out"


@pytest.fixture
def out(resolved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(resolved, tmp_path / "out"))


@pytest.fixture
def sitting(out: Path) -> review_page.Sitting:
    asked = [
        review_page.Asked("0a", "1a", 0.4, "decides these two records"),
        review_page.Asked("0a", "0b", 0.6, "decides these two records"),
    ]
    return review_page.Sitting(Saved.open(Folder(out)), "Ada", clock=lambda: NOON, asked=asked)


class Browser:
    """Asks the page without a network, and keeps cookies."""

    def __init__(self, sitting: review_page.Sitting, *, knows_the_token: bool = True) -> None:
        self.app = review_page.app(sitting)
        self.cookies = httpx.Cookies({review_page.COOKIE: sitting.token} if knows_the_token else {})

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", cookies=self.cookies) as client:
                found = await client.request(method, path, **given)
                self.cookies = client.cookies
                return found

        return asyncio.run(once())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("GET", path, follow_redirects=True, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("POST", path, **given)


def test_resolve_wants_either_days_or_files(tmp_path: Path) -> None:
    assert whence(tmp_path, "resolve").exit_code == 1
    both = whence(tmp_path, "resolve", "2026-05-01", "--input", "people.csv")
    assert both.exit_code == 1
    assert "not both" in both.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "There is no file" in whence(tmp_path, "resolve", "--input", str(tmp_path / "no.csv")).stderr


@pytest.mark.service
def test_resolve_says_what_came_of_it_and_what_to_do_next(tmp_path: Path) -> None:
    found = whence(tmp_path, "resolve", "--input", str(a_file(tmp_path, some_people())))
    assert found.exit_code == 0, found.output
    assert "120 records new" in found.output
    assert "report.html" in found.output
    assert (tmp_path / "resolve" / "people" / "people.csv").exists()


def test_brackets_in_the_name_of_a_column_are_shown_as_they_are(tmp_path: Path) -> None:
    path = a_file(tmp_path, ["1,Abel Quint", "2,Zoe Marsh", "3,Ivo Klee"], header="id,[/name]")
    found = whence(tmp_path, "resolve", "--input", str(path))
    assert found.exit_code == 0, found.output
    assert "[/name] (3 different)" in found.output


@pytest.mark.service
def test_resolve_answers_in_json(tmp_path: Path) -> None:
    found = whence(tmp_path, "resolve", "--input", str(a_file(tmp_path, some_people())), "--json", "--dry-run")
    assert json.loads(found.output)["records"] == 120


@pytest.mark.service
def test_explain_and_who_answer_of_a_finished_run(out: Path) -> None:
    pair = whence(out, "explain", str(out), "1a", "1b", "--picture", str(out / "w.svg"))
    assert "together" in pair.output
    assert (out / "w.svg").read_text().startswith("<svg")
    assert "the weakest last" in whence(out, "explain", str(out), "1a").output.replace("\n", " ")
    assert json.loads(whence(out, "explain", str(out), "1a", "--json").output)["records"] == ["1a", "1b"]
    told = json.loads(whence(out, "who", str(out), "1a", "--known-at", "2026-05-02", "--json").output)
    assert told["person"].startswith("p20260501-")
    assert "1a was nobody" in whence(out, "who", str(out), "1a", "--known-at", "2026-04-01").output
    assert "is no time" in whence(out, "who", str(out), "1a", "--known-at", "soon").stderr
    assert "'zz' is not in the ledger" in whence(out, "who", str(out), "zz").stderr


@pytest.mark.service
def test_a_second_opinion_is_asked_within_its_budget_and_believed_by_nobody_yet(out: Path) -> None:
    review.append(out / LABELS, [Label("0a", "0b", "same", "Ada", NOON)])
    words = ["--url", "http://127.0.0.1:1/v1", "--model", "m", "--send", "surname", "--calls", "0", "--json"]
    told = json.loads(whence(out, "adjudicate", str(out), *words).output)
    assert (told["calls"], told["answers"], told["admitted"]) == (0, 0, False)
    assert "30 of each are needed" in told["why"]
    assert (out / "adjudicated.csv").read_text().startswith('"left_id"')
    assert "was not compared" in whence(out, "adjudicate", str(out), *words[:5], "ssn").stderr


@pytest.mark.service
def test_the_terminal_keeps_each_answer_at_once(out: Path) -> None:
    (out / "review.csv").write_text(
        '"left_id","right_id","probability","impact","why"\n"0a","1a",0.4,1,"x"\n"0a","0b",0.6,1,"x"\n'
    )
    found = whence_review(out, "m\nd\ns\n")
    assert "Kept: 1 same, 1 different" in found
    assert [(each.pair, each.verdict, each.author) for each in review.read(out / LABELS)] == [
        (("0a", "1a"), "different", "Ada"),
        (("0a", "0b"), "same", "Ada"),
    ]


def whence_review(out: Path, keys: str) -> str:
    from io import StringIO

    from rich.console import Console

    from infra import review_terminal

    saved = Saved(Folder(out), {"compared": ["first_name", "surname", "dob", "email"]})
    typed = iter(keys.replace("\n", ""))
    written = StringIO()
    counts = review_terminal.run(saved, "Ada", lambda: NOON, Console(file=written, width=120), lambda: next(typed, ""))
    return f"{written.getvalue()} Kept: {counts['same']} same, {counts['different']} different"


@pytest.mark.service
def test_the_page_shows_a_pair_and_keeps_the_answer(sitting: review_page.Sitting) -> None:
    client = Browser(sitting)
    assert "Is this one person?" in client.get("/").text
    answered = client.post("/answer", data={"token": sitting.token, "at": "0", "verdict": "different"})
    assert answered.status_code == 303
    client.post("/answer", data={"token": sitting.token, "at": "1", "verdict": "same"})
    assert "That was all" in client.get("/").text
    assert [each.verdict for each in review.read(sitting.saved.folder / LABELS)] == ["different", "same"]


@pytest.mark.service
@pytest.mark.parametrize(
    ("headers", "data", "code"),
    [
        ({}, {"token": "wrong", "at": "0", "verdict": "same"}, 403),
        ({}, {"at": "0", "verdict": "same"}, 403),
        ({"origin": "http://elsewhere.example"}, {"token": "right", "at": "0", "verdict": "same"}, 403),
        ({"host": "elsewhere.example"}, {"token": "right", "at": "0", "verdict": "same"}, 403),
        ({"cookie": "wrong"}, {"token": "right", "at": "0", "verdict": "same"}, 403),
        ({}, {"token": "right", "at": "9", "verdict": "same"}, 400),
        ({}, {"token": "right", "at": "0", "verdict": "maybe"}, 400),
    ],
)
def test_the_page_takes_answers_from_itself_alone(
    sitting: review_page.Sitting, headers: dict[str, str], data: dict[str, str], code: int
) -> None:
    given = data | ({"token": sitting.token} if data.get("token") == "right" else {})
    client = Browser(sitting)
    if "cookie" in headers:
        client.cookies = httpx.Cookies({review_page.COOKIE: "wrong"})
    assert (
        client.post(
            "/answer", data=given, headers={name: value for name, value in headers.items() if name != "cookie"}
        ).status_code
        == code
    )
    assert review.read(sitting.saved.folder / LABELS) == []


@pytest.mark.service
def test_the_token_opens_the_page_once_and_leaves_the_address(sitting: review_page.Sitting) -> None:
    client = Browser(sitting, knows_the_token=False)
    assert client.get("/").status_code == 403
    opened = client.get(f"/?token={sitting.token}")
    assert opened.status_code == 200
    assert "token" not in str(opened.url)
    assert "default-src 'none'" in opened.headers["content-security-policy"]


@pytest.mark.service
def test_values_are_never_markup_on_the_page(sitting: review_page.Sitting) -> None:
    sitting.author = "<script>x</script>"
    assert "<script>x" not in Browser(sitting).get("/").text


@pytest.mark.service
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium")
def test_a_browser_answers_with_keys(sitting: review_page.Sitting) -> None:
    from playwright.sync_api import sync_playwright

    threading.Thread(target=review_page.serve, args=(sitting, 0, lambda _: None), daemon=True).start()
    _wait_for(sitting)
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        browser = chromium.new_page()
        complaints: list[str] = []
        browser.on("console", lambda said: complaints.append(said.text))
        browser.goto(sitting.address)
        for key, waits_for in (("d", "1 of 2"), ("s", "That was all")):
            browser.keyboard.press(key)
            browser.get_by_text(waits_for).wait_for(timeout=10_000)
        chromium.close()
    assert complaints == []
    assert sitting.said == {0: "different", 1: "same"}


def _wait_for(sitting: review_page.Sitting) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if sitting.port and httpx.get(f"http://127.0.0.1:{sitting.port}/").status_code == 403:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.05)
    raise TimeoutError("The page did not come up.")
