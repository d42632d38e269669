"""The whole loop on real Airflow, MLflow, Feast, Evidently and the scoring service, looked at from outside after it ended."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import registry
from infra import drills, platform, scores, traffic
from infra.demo import DAILY, DAYS_ONE_BY_ONE, TRAINING, as_toml
from registry import candidates
from registry.journal import Journal, Promotion
from tests.end_to_end import pages
from tests.end_to_end.approvals import Approvals, like_the_champion, until
from tests.end_to_end.conftest import Demo, whence
from whence.attribution import statements
from whence.attribution.policy import ALGORITHMS
from whence.bundle import bundle_manifest
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, MODELS
from whence.contracts.settings import Source
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.ingest import ingest
from whence.lake import Lake

pytestmark = [pytest.mark.service, pytest.mark.timeout(1600)]

KEPT = sorted(set(TABLES))


def mlflow(demo: Demo, path: str, **params: Any) -> Any:
    address = f"{demo.settings.mlflow_url}/api/2.0/mlflow/{path}"
    return httpx.get(address, params=params, timeout=20).raise_for_status().json()


def days(demo: Demo) -> list[Window]:
    world = demo.settings.world
    return [Window(day, day) for day in Window(world.first_day, world.first_day + timedelta(days=world.days - 1))]


def content(demo: Demo) -> dict[str, Any]:
    """Everything that the tables hold, and their versions."""
    lake = Lake.of(demo.settings)
    return {name: (lake.version(name), lake.read(name).to_pylist()) for name in KEPT}


def test_every_dag_is_green_though_a_task_the_scheduler_and_the_service_were_killed(demo: Demo):
    assert demo.airflow.import_errors() == ()
    assert set(demo.airflow.dags()) == {*DAILY, *TRAINING, "recalibrate_models"}
    states = {(dag, run.key): run.state for dag in demo.airflow.dags() for run in demo.airflow.runs(dag)}
    assert set(states.values()) == {"success"}, states
    assert "killed: task, scheduler, serving" in demo.told
    assert f"`whence --settings {demo.settings.home / 'demo.toml'} down` stops it" in demo.told


def test_each_model_has_a_champion_and_mlflows_alias_is_the_journals(demo: Demo):
    journal = Journal(demo.settings.journal_url)
    journal.verify()
    for model in MODELS:
        champion = journal.champion(model)
        assert champion is not None, f"{model} has no champion:\n{demo.told}"
        version = mlflow(demo, "registered-models/alias", name=model, alias="champion")["model_version"]
        tags = {each["key"]: each["value"] for each in version["tags"]}
        assert tags["bundle_sha256"] == champion.bundle
        assert tags["verdict"] == "promote"


def test_candidates_of_shuffled_labels_were_refused_and_mlflow_says_why(demo: Demo):
    for model in MODELS:
        found = mlflow(demo, "model-versions/search", filter=f"name='{model}'")["model_versions"]
        tags = [{each["key"]: each["value"] for each in version["tags"]} for version in found]
        drills = [each for each in tags if each["drill"] == "shuffled_labels"]
        assert [each["verdict"] for each in drills] == ["refuse"]
        assert len(drills[0]["reasons"]) > 40


def test_the_loss_of_signals_was_noticed_and_caused_the_retraining(demo: Demo):
    last = days(demo)[-1]
    assert scores.findings(demo.settings, days(demo)[-3]) == "calm"
    assert not scores.wants_retrain(demo.settings, days(demo)[-2])
    assert scores.wants_retrain(demo.settings, last)
    caused = [run for run in demo.airflow.runs("retrain_rankers") if run.run_id.startswith("asset_triggered")]
    assert [run.key for run in caused] == [str(last)]
    assert any(scores.promotions(demo.settings, model) > 1 for model in MODELS), "no retrained candidate was promoted"


def _drilled(demo: Demo) -> list[Promotion]:
    """The champion that came past the gate on the way."""
    rows = Journal(demo.settings.journal_url).rows()
    return [row for row in rows if row.model == ATTRIBUTION_RANKER and row.reasons[0].startswith("A drill")]


def test_a_champion_off_its_level_was_noticed_and_caused_a_recalibration_that_the_gate_judged(demo: Demo):
    day = days(demo)[-2]
    found = Lake.of(demo.settings).read("findings", day).to_pylist()
    loud = [(row["model"], row["level"], row["cause"]) for row in found if row["level"] != "calm"]
    assert loud == [(ATTRIBUTION_RANKER, "recalibrate", "prior_shift")]
    caused = demo.airflow.runs("recalibrate_models")
    assert {(run.key, run.run_id.startswith("asset_triggered")) for run in caused} == {(str(day), True)}
    judged = [run for run in demo.airflow.runs("judge_and_promote") if run.key == str(day)]
    assert {run.run_id.startswith("asset_triggered") for run in judged} == {True}
    (off,) = _drilled(demo)
    (candidate,) = (each for each in candidates(demo.settings, day.last) if each.model == ATTRIBUTION_RANKER)
    assert candidate.recalibrates == off.bundle
    moved = bundle_manifest(demo.settings.bundles, candidate.bundle)["about"]["recalibrated"]
    assert -1.5 * drills.SURER < moved["shift"] < -0.5 * drills.SURER
    assert scores.verdict_of(candidate)["decision"] in ("promote", "no_decision")


def test_the_rollback_is_a_row_and_is_served(demo: Demo):
    (back,) = (row for row in Journal(demo.settings.journal_url).rows() if row.kind == "rollback")
    assert traffic.wait_for_bundle(demo.settings, back.model, back.bundle, seconds=5) < 5


def test_credit_adds_up_to_the_micro_and_nothing_is_counted_twice(demo: Demo):
    with Lake.of(demo.settings).connect() as con:
        sums = con.sql(
            "SELECT c.conversion_id, algorithm, any_value(value_micros), sum(credit_micros), count(DISTINCT c.day), sum(share)"
            f" FROM ({statements.CURRENT}) c JOIN conversions v USING (conversion_id) GROUP BY ALL"
        ).fetchall()
        events = con.sql("SELECT count(*), count(DISTINCT event_id) FROM touches").fetchall()[0]
        orders = con.sql(
            "SELECT order_id, algorithm, count(DISTINCT c.conversion_id) AS n FROM credits c JOIN conversions v USING (conversion_id)"
            " WHERE order_id IS NOT NULL AND refund_of IS NULL GROUP BY ALL HAVING n > 1"
        ).fetchall()
        counts = con.sql("SELECT sum(read), sum(accepted + duplicates + quarantined) FROM ingest_counts").fetchall()[0]
    assert len(sums) > 1000
    assert [row for row in sums if row[2] > 0 and (row[2] != row[3] or row[4] != 1)] == []
    assert events[0] == events[1]
    assert orders == []
    assert counts[0] == counts[1]


def test_the_credits_of_the_rankers_days_have_a_row_for_every_algorithm(demo: Demo):
    last = Lake.of(demo.settings).read("credits", days(demo)[-2])["algorithm"].unique().to_pylist()
    assert set(last) == set(ALGORITHMS)


def test_no_day_is_credited_by_a_model_that_learned_from_it(demo: Demo):
    credits = Lake.of(demo.settings).read("credits", columns=["day", "algorithm"]).to_pylist()
    by_ranker = {row["day"] for row in credits if row["algorithm"] == "ranker"}
    assert by_ranker == {str(day) for day in days(demo)[-DAYS_ONE_BY_ONE:]}


def test_decisions_of_batch_and_service_are_in_the_log_that_monitoring_reads(demo: Demo):
    with Lake.of(demo.settings).connect(days(demo)[-2], "decisions") as con:
        routes = dict(con.sql("SELECT route, count(*) FROM decisions GROUP BY 1").fetchall())
        models = {row[0] for row in con.sql("SELECT DISTINCT model FROM decisions").fetchall()}
        taken = dict(con.sql("SELECT route, count(micros) FROM decisions GROUP BY 1").fetchall())
    assert routes["online"] > 50
    assert routes["batch"] > 1000
    assert models == set(MODELS)
    assert taken == {"online": routes["online"], "batch": 0}
    told = {
        (row["model"], row["metric"], row["segment"]): row["value"]
        for row in Lake.of(demo.settings).read("checks", days(demo)[-2]).to_pylist()
    }
    assert 0 < told[ATTRIBUTION_RANKER, "answer_ms", "median"] <= told[ATTRIBUTION_RANKER, "answer_ms", "99 of 100"] < 1000
    assert 0 <= told[ATTRIBUTION_RANKER, "degraded_share", "all"] <= 1


def test_the_dashboard_has_every_day(demo: Demo):
    project = httpx.get(f"http://{platform.LOOPBACK}:{demo.settings.ports.evidently}/api/projects").json()[0]
    found = httpx.get(f"http://{platform.LOOPBACK}:{demo.settings.ports.evidently}/api/projects/{project['id']}/snapshots").json()
    seen = {each["timestamp"][:10] for each in found}
    assert {str(day) for day in days(demo)} <= seen


def test_every_dag_of_a_finished_day_run_again_changes_no_table(demo: Demo):
    day = days(demo)[-2]
    before = content(demo)
    for dag in DAILY:
        ran = frozenset(run.run_id for other in DAILY for run in demo.airflow.runs(other))
        demo.airflow.wait(dag, run_id=demo.airflow.trigger(dag, day), seconds=240)
        for follower in DAILY[DAILY.index(dag) + 1 :]:
            demo.airflow.wait(follower, key=str(day), after=ran, seconds=240)
        if dag == DAILY[0]:
            break  # each DAG starts the next: the whole chain has run again
    after = content(demo)
    changed = [name for name in KEPT if before[name] != after[name]]
    assert changed == []
    assert len(demo.airflow.runs("retrain_rankers")) == 3, "a calm day run again asked for a retraining"


def test_training_and_judging_again_register_and_promote_nothing_new(demo: Demo):
    key = days(demo)[-1]
    rows = Journal(demo.settings.journal_url).rows()
    versions = {model: len(mlflow(demo, "model-versions/search", filter=f"name='{model}'")["model_versions"]) for model in MODELS}
    judged = frozenset(run.run_id for run in demo.airflow.runs("judge_and_promote"))
    demo.airflow.wait("retrain_rankers", run_id=demo.airflow.trigger("retrain_rankers", key), seconds=240)
    demo.airflow.wait("judge_and_promote", key=str(key), after=judged, seconds=240)
    assert Journal(demo.settings.journal_url).rows() == rows
    assert versions == {
        model: len(mlflow(demo, "model-versions/search", filter=f"name='{model}'")["model_versions"]) for model in MODELS
    }


def test_a_person_who_says_no_keeps_the_champion_and_one_who_says_yes_is_named_in_the_journal(demo: Demo):
    journal, approvals = Journal.of(demo.settings), Approvals(demo.airflow, EXPOSURE_RESPONSE)
    candidate = like_the_champion(demo.settings, EXPOSURE_RESPONSE)
    registry.register(demo.settings, candidate)
    off = drills.put_off_level(demo.settings, EXPOSURE_RESPONSE, who="tests", now=datetime.now(UTC))
    with approvals.asked_for():
        run = approvals.judge(candidate.as_of)
        question = approvals.question(run)
        assert question["subject"].startswith(f"Shall {EXPOSURE_RESPONSE} {candidate.bundle[:12]}")
        assert question["body"].startswith("## Promote")
        assert question["defaults"] == ["Reject"]
        assert approvals.answer(run, "Reject")[f"promote_{EXPOSURE_RESPONSE}"] == "skipped"
        assert journal.champion(EXPOSURE_RESPONSE) == off
        run = approvals.judge(candidate.as_of)
        approvals.question(run)
        assert approvals.answer(run, "Approve")[f"promote_{EXPOSURE_RESPONSE}"] == "success"
    row = journal.champion(EXPOSURE_RESPONSE)
    assert row is not None
    assert (row.bundle, row.who, row.epoch) == (candidate.bundle, "admin, who approved it", off.epoch + 1)


def test_the_command_line_tells_programs_the_same(demo: Demo):
    file = demo.settings.home / "demo.toml"
    status = json.loads(whence(file, "status", "--json").stdout)
    assert {each["name"] for each in status if each["is_well"]} == {each.name for each in platform.programs(demo.settings)}
    journal = json.loads(whence(file, "journal", "--json").stdout)
    assert [row["epoch"] for row in journal] == list(range(1, len(journal) + 1))
    until(lambda: all(each["is_well"] for each in json.loads(whence(file, "doctor", "--json").stdout)), pause=2.0)
    refused = whence(file, "rollback", "no-such-model", "--reason", "x")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines() == [
        f"ValueError: There is no model 'no-such-model'. There are {', '.join(MODELS)}."
    ]


def test_a_killed_service_is_back_within_seconds_with_the_same_champions(demo: Demo):
    was, address = platform.process_id(demo.settings, "serving"), f"http://{platform.LOOPBACK}:{demo.settings.ports.serving}"
    champions = httpx.get(f"{address}/readyz").json()["models"]
    os.kill(was, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{address}/readyz").json()
            if answer["status"] == "ready":
                break
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    assert platform.process_id(demo.settings, "serving") not in (0, was)
    assert httpx.get(f"{address}/readyz").json()["models"] == champions


@pytest.mark.skipif(pages.CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium")
def test_the_pages_that_people_open_are_there_without_errors(demo: Demo, tmp_path: Path):
    with pages.browser() as chromium:
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        pages.sign_in(page, demo.settings)
        for name, (address, text) in pages.addresses(demo.settings).items():
            seen = pages.look(page, address, tmp_path / f"{name}.png", wait_for=text)
            assert seen.complaints == [], name
            assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_rows_that_a_file_brings_days_later_go_through_the_dags_with_the_days_since_and_before_the_files(
    demo: Demo, tmp_path: Path
):
    last, logs = days(demo)[-1].last, tmp_path / "logs"
    day, later = (Window(at, at) for at in (last + timedelta(days=1), last + timedelta(days=3)))
    again = f"{day}..{later.first - timedelta(days=1)}"  # what was said of the days since may rest on the rows
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[sightings]\nhappened_at = "at"\ncookie_id = "cookie"\nkind = { value = "login" }\n')
    logs.mkdir()
    (logs / "first.csv").write_text(f"at,cookie\n{day}T10:00:00Z,in-time\n")
    settings = replace(demo.settings, source=Source("mapping", str(logs), str(mapping)))
    (demo.settings.home / "demo.toml").write_text(as_toml(settings))
    ingest(settings, day)

    (logs / "second.csv").write_text(f"at,cookie\n{later}T10:00:00Z,next\n{day}T11:00:00Z,late\n")
    demo.airflow.call("PATCH", "/api/v2/dags/materialise_features", json={"is_paused": True})  # or it would go on to train
    demo.airflow.wait("ingest_events", run_id=demo.airflow.trigger("ingest_events", later), seconds=120)
    demo.airflow.wait("resolve_identities", key=again, seconds=120)
    assert [run.key for run in demo.airflow.runs("resolve_identities")][:2] == [str(later), again]
    assert {"cookie_id:in-time", "cookie_id:late"} <= set(Lake.of(settings).read("persons", day)["identifier"].to_pylist())


def test_real_clicks_give_attributed_installs_and_a_champion(clicks: Demo):
    champion = Journal(clicks.settings.journal_url).champion(CONVERSION_VALUE)
    assert champion is not None, clicks.told
    report = next(clicks.settings.candidates.glob(f"{CONVERSION_VALUE}/2017-11-09/*/metrics.json"))
    auc = json.loads(report.read_text())["roc_auc"]
    assert auc["value"] >= 0.97, auc
    with Lake.of(clicks.settings).connect() as con:
        installs, credited = con.sql("SELECT count(*), count(DISTINCT conversion_id) FROM conversions").fetchall()[0]
        to_touches = con.sql(
            "SELECT count(DISTINCT c.conversion_id) FROM credits c JOIN conversions v USING (conversion_id) JOIN touches t USING (touch_id)"
            " WHERE algorithm = 'last_touch' AND t.click_id = v.click_id"
        ).fetchall()[0][0]
    assert installs == credited == 227
    assert to_touches >= 0.95 * installs, "last touch names another click than the one that truly led to the install"
    assert {run.state for dag in clicks.airflow.dags() for run in clicks.airflow.runs(dag)} == {"success"}
    assert whence(clicks.settings.home / "demo.toml", "doctor").returncode == 0


def test_down_stops_everything(clicks: Demo):
    pids = [each.pid for each in platform.status(clicks.settings)]
    assert whence(clicks.settings.home / "demo.toml", "down").returncode == 0
    assert platform.status(clicks.settings) == ()
    time.sleep(1)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
