"""The front page: the worst finding first, a failed DAG named, an empty platform that still has a page."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from infra.front import Newest, airflow_dags, app
from monitoring import checks, findings
from monitoring.checks import count, share
from monitoring.findings import Finding
from monitoring.front import page
from monitoring.front.state import Dag, State, gather
from registry.alarms import LOST, Alarm, Alarms
from registry.rows import stamp
from tests.builders import some_settings
from whence.answer_counts import Keeper
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Ports, Settings
from whence.contracts.times import Window
from whence.lake import Lake

NOW = datetime(2026, 5, 3, 9, tzinfo=UTC)
DAGS = (Dag("ingest_events", "success", "2026-05-02", "http://a/i"), Dag("watch_models", "failed", "2026-05-02", "http://a/w"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = some_settings(tmp_path)
    lake = Lake.of(made)
    told = {
        1: [Finding("touches", "calm", "all", "all", "9 measures agree.")],
        2: [
            Finding(
                "touches",
                "warn",
                "rows",
                "channel=social",
                "fewer rows <than> before",
                "tracker_outage",
                12_500_000,
                "USD",
                "tracker_outage",
                since="2026-05-01",
            ),
            Finding(IDENTITY_RANKER, "retrain", "psi", "score", "scores have moved"),
        ],
    }
    for day, found in told.items():
        window, name = Window(date(2026, 5, day), date(2026, 5, day)), f"2026-05-0{day}"
        measured = [share("conversions", "match_rate", "all", 6, 10), count("touches", "rows", "all", 5)]
        lake.replace("checks", checks.to_arrow(name, measured), window)
        lake.replace("findings", findings.to_arrow(name, found), window)
    return made


def shown(state: State) -> str:
    return page.html(state, {"Airflow": "http://a"}, {IDENTITY_RANKER: "http://e/projects/i?tab=Overview"})


def test_the_worst_finding_of_the_newest_day_heads_the_page(settings: Settings) -> None:
    state = gather(settings, NOW, lambda: DAGS)
    assert (state.day, state.level) == ("2026-05-02", "retrain")
    assert [each.level for each in state.found] == ["retrain", "warn"]
    said = shown(state)
    assert "Act: retrain" in said
    assert "fewer rows &lt;than&gt; before" in said
    assert state.trend == (("2026-05-01", 0, 0), ("2026-05-02", 1, 1))


def test_a_finding_says_what_it_costs_since_when_it_is_so_and_what_to_do(settings: Settings) -> None:
    said = shown(gather(settings, NOW, lambda: DAGS))
    assert "12.50 USD at stake · since 2026-05-01 · <a href='/runbooks#tracker_outage'>" in said
    assert "<a href='http://e/projects/i?tab=Overview'>identity-ranker</a>" in said


def test_a_champion_that_is_lost_is_told_until_it_is_found(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    words = f"{IDENTITY_RANKER}: the champion is not registered in MLflow."
    Alarms.of(settings).settle([Alarm(stamp(NOW), IDENTITY_RANKER, LOST, 1, words)], (LOST,), NOW)
    later = NOW + timedelta(days=9)
    said = shown(gather(settings, later, lambda: DAGS))
    assert f"<span>{words}</span>" in said
    assert "</span> See the alarm</b>" in said
    Alarms.of(settings).settle([], (LOST,), later)
    said = shown(gather(settings, later, lambda: DAGS))
    assert words not in said
    assert "</span> A run failed</b>" in said


def test_a_failed_dag_is_named_and_a_silent_airflow_is_said(settings: Settings) -> None:
    assert "watch_models failed: open the run" in shown(gather(settings, NOW, lambda: DAGS))
    assert "Airflow does not answer" in shown(gather(settings, NOW, lambda: None))


def test_how_many_the_service_answered_and_how_many_failed_is_told(settings: Settings) -> None:
    assert "The service was asked nothing since yesterday." in shown(gather(settings, NOW, lambda: DAGS))
    Keeper(settings.answer_counts, lambda: {("/v1/match", "200"): 1200, ("/v1/match", "500"): 3}).keep(date(2026, 5, 2))
    said = "The service answered 1,203 questions since yesterday: 3 failed, none turned away."
    assert said in shown(gather(settings, NOW, lambda: DAGS))


def test_a_platform_without_any_table_has_a_front_page_too(tmp_path: Path) -> None:
    state = gather(Settings(home=tmp_path), NOW, lambda: ())
    assert (state.day, state.level) == ("", "calm")
    assert "no champion yet" in shown(state)
    assert "trigger ingest_events with its days" in shown(state)
    assert "trigger retrain_rankers" in shown(state)
    assert "All calm" not in shown(state)


def test_nothing_on_a_page_is_loaded_from_elsewhere(settings: Settings) -> None:
    said = shown(gather(settings, NOW, lambda: DAGS))
    assert "src=" not in said
    assert "@import" not in said
    assert "url(http" not in said


def test_the_pages_answer_and_an_unknown_conversion_is_a_page_that_says_so(settings: Settings) -> None:
    async def asked() -> None:
        transport = httpx.ASGITransport(app(settings, lambda: DAGS))
        async with httpx.AsyncClient(transport=transport, base_url="http://front") as client:
            assert (await client.get("/")).headers["content-security-policy"].startswith("default-src 'none'")
            assert "fewer rows" in (await client.get("/findings")).text
            assert '<h2 id="tracker_outage">' in (await client.get("/runbooks")).text
            moved = await client.get(f"/models/{IDENTITY_RANKER}")
            assert moved.headers["location"].endswith("/projects/6a8bfe35-fcf0-5a90-b041-0f94ac99b345?tab=Overview")
            assert (await client.get("/models/nobody")).status_code == 404
            missing = await client.get("/explain/nobody")
            assert (missing.status_code, "There is no conversion" in missing.text) == (404, True)
            assert (await client.get("/explain", params={"conversion": " c1 "})).headers["location"] == "/explain/c1"

    asyncio.run(asked())


def test_a_young_state_is_shown_at_once_and_an_old_one_never() -> None:
    now, looked = [0.0], []

    def look() -> State:
        looked.append(now[0])
        return "a state"  # type: ignore[return-value]

    newest = Newest(look, clock=lambda: now[0])
    assert [newest.get(), newest.get()] == ["a state"] * 2
    assert looked == [0.0]
    now[0] = 3600.0  # nobody looked for an hour: what was so then is no answer
    newest.get()
    assert looked == [0.0, 3600.0]


def test_nobody_waits_for_an_airflow_that_is_down(tmp_path: Path) -> None:
    began = time.monotonic()
    assert airflow_dags(some_settings(tmp_path, ports=Ports(airflow=1))) is None
    assert time.monotonic() - began < 2
