"""The decision log as serving saw it: questions, options and answers by route, wide margins, and versions that changed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

from monitoring.serving_log import margin_checks, service_checks, serving_checks, version_checks
from whence.contracts.models import IDENTITY_RANKER

DAY = "2026-05-01"


def decided(*given: tuple[str, str, str, float, bool | None, str], **answered: list[object]) -> duckdb.DuckDBPyConnection:
    """Rows of route, subject, option, probability, chosen, features; and what the service noted of its answers."""
    frame = pd.DataFrame(given, columns=["route", "subject", "option", "probability", "chosen", "features"])
    noted = {"decision_id": [f"d{place}" for place in range(len(given))], "micros": None, "degraded": None} | answered
    frame = frame.assign(**noted).astype({"chosen": "boolean", "micros": "Int64", "degraded": "string"})
    con = duckdb.connect()
    con.register("decisions", frame.assign(day=DAY, model=IDENTITY_RANKER, bundle="b1"))
    return con


ROWS = (
    ("batch", "s1", "p1", 0.9, True, '{"a":1.0,"b":null}'),
    ("batch", "s1", "p2", 0.1, False, '{"a":null,"b":null}'),
    ("online", "s2", "p1", 0.5, None, '{"a":1.0,"b":"annulled"}'),
    ("online", "s2", "p3", 0.4, None, '{"a":1.0,"b":2.0}'),
)


def test_questions_options_answers_and_missing_inputs_are_told_by_route(tmp_path: Path) -> None:
    with decided(*ROWS) as con:
        found = {(c.metric, c.segment): c.value for c in serving_checks(con, IDENTITY_RANKER, DAY, tmp_path)}
    assert (found["requests", "batch"], found["options_per_request", "batch"]) == (1, 2)
    assert (found["answered_share", "batch"], found["answered_share", "online"]) == (1, 0)
    assert (found["route_null_share", "batch"], found["route_null_share", "online"]) == (0.75, 0)
    assert found["bundles", "all"] == 1
    assert found["bundle_age_days", "all"] is None, "the bundle is not on this machine"


def test_how_long_the_service_took_and_what_it_did_without_are_told_by_answers(tmp_path: Path) -> None:
    noted: dict[str, list[object]] = {
        "decision_id": ["b-0", "b-1", "o-0", "o-10"],
        "micros": [None, None, 1500, 1500],
        "degraded": [None, None, *["stale"] * 2],
    }
    with decided(*ROWS, **noted) as con:
        found = {(c.metric, c.segment): (c.value, c.n) for c in serving_checks(con, IDENTITY_RANKER, DAY, tmp_path)}
    assert found["answer_ms", "median"] == found["answer_ms", "99 of 100"] == (1.5, 1)
    assert found["degraded_share", "all"] == found["degraded_share", "stale"] == (1, 1)


def test_what_failed_was_turned_away_or_refused_is_a_share_of_all_that_was_asked() -> None:
    match = {("/v1/match", status): count for status, count in {"200": 90, "500": 2, "503": 1, "429": 3, "422": 4}.items()}
    found = {
        (c.metric, c.segment): (c.value, c.n) for c in service_checks({**match, ("/v1/score", "200"): 100, ("/livez", "200"): 9})
    }
    assert found["answers", "all"] == (200, 200)
    assert found["failed_share", "/v1/match"] == (0.03, 100)
    assert found["turned_away_share", "all"] == (0.015, 200)
    assert found["refused_share", "/v1/match"] == (0.04, 100)
    assert found["failed_share", "/v1/score"] == (0, 100)
    assert service_checks({("/livez", "200"): 9}) == []


def test_a_signal_is_surely_found_when_its_best_candidate_leads_by_far() -> None:
    with decided(*ROWS) as con:
        (check,) = margin_checks(con, DAY)
    assert (check.value, check.n) == (0.5, 2)


def test_a_day_without_decisions_tells_nothing(tmp_path: Path) -> None:
    with decided(*ROWS) as con:
        assert serving_checks(con, IDENTITY_RANKER, "2026-05-02", tmp_path) == []
        assert margin_checks(con, "2026-05-02") == []


def test_a_version_that_the_day_before_did_not_know_is_a_change() -> None:
    found = {(c.metric, c.segment): c.value for c in version_checks({"policy": {"b"}, "ranker": {"x", "y"}}, {"policy": {"a"}})}
    assert (found["changed", "policy"], found["versions", "ranker"]) == (1, 2)
    assert found["changed", "ranker"] == 0, "the first bundle of an algorithm follows nothing"
