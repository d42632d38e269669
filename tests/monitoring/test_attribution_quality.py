"""Where credit went, who is known, and whether the truth agrees."""

from __future__ import annotations

import duckdb
import pandas as pd
import pytest

from monitoring.attribution_quality import credit_checks, match_checks, person_checks, truth_checks
from tests.builders import a_touch, rows


def credits(*given: tuple[str, str, str, str, float, int]) -> pd.DataFrame:
    names = ["conversion_id", "algorithm", "touch_id", "channel", "share", "credit_micros"]
    return pd.DataFrame(given, columns=names).assign(certainty=[1.0 if row[2] != "t3" else 0.9 for row in given])


DAY = credits(
    ("c1", "linear", "t1", "search", 0.5, 50),
    ("c1", "linear", "t2", "social", 0.5, 50),
    ("c2", "linear", "t3", "search", 1.0, 300),
    ("c3", "linear", "", "", 1.0, 100),
    ("c4", "linear", "t9", "video", 1.0, -100),
)


def test_shares_of_credit_leave_refunds_out() -> None:
    found = {(c.metric, c.segment): c.value for c in credit_checks(DAY)}
    assert found["unattributed_share", "linear"] == 1 / 3
    assert found["credit_share", "linear:search"] == 0.7
    assert found["credit_share", "linear:no ad"] == 0.2
    assert ("credit_share", "linear:video") not in found


def test_credit_is_at_risk_by_how_unsure_its_links_are() -> None:
    found = {(c.metric, c.segment): c.value for c in credit_checks(DAY)}
    assert found["at_identity_risk", "linear"] == pytest.approx(300 * 0.1 / 400)


def test_persons_that_are_too_large_or_hold_two_accounts_are_counted() -> None:
    people = [
        ("external_id:a", "p1"),
        ("external_id:b", "p1"),
        ("cookie_id:c", "p1"),
        ("external_id:d", "p2"),
        ("cookie_id:e", "p3"),
    ]
    with duckdb.connect() as con:
        con.register("people", pd.DataFrame(people, columns=["identifier", "person_id"]))
        con.register("persons", pd.DataFrame({"day": ["2026-05-01"], "method": ["exact"]}))
        found = {(c.metric, c.segment): c.value for c in person_checks(con, "2026-05-01", 2)}
        con.execute("CREATE TABLE nobody AS SELECT * FROM people LIMIT 0")
        con.unregister("people")
        con.execute("ALTER TABLE nobody RENAME TO people")
        none = {(c.metric, c.segment): c.value for c in person_checks(con, "2026-05-02", 2)}
    assert found["crowded_share", "all"] == 3 / 5
    assert found["contradicting_share", "all"] == 1 / 2, "p3 has no account and cannot contradict itself"
    assert (found["largest", "all"], found["size", "0.5"]) == (3, 1)
    assert (none["largest", "all"], none["contradicting_share", "all"]) == (0, None)


def test_two_channels_that_claim_one_conversion_count_it_twice() -> None:
    found = {c.metric: c.value for c in credit_checks(DAY)}
    assert found["double_counting"] == 1.5, "c1 is claimed by two channels, c2 by one"


def test_credit_on_the_true_cause_is_told_by_algorithm() -> None:
    truth = pd.DataFrame({"conversion_id": ["c1", "c2", "c3"], "caused_by": ["t1", "t3", None]})
    touches = pd.DataFrame({"touch_id": ["t1", "t2", "t3"], "channel": ["search", "social", "search"]})
    found = {c.metric: c.value for c in truth_checks(DAY, truth, touches)}
    assert found["true_credit"] == (0.5 + 1 + 1) / 3


def test_a_person_counts_as_matched_when_a_log_in_names_them() -> None:
    people = pd.DataFrame(
        {
            "identifier": ["cookie_id:c1", "cookie_id:c2", "email_hash:e1"],
            "person_id": ["p1", "p2", "p1"],
            "has_account": [True, False, True],
        }
    )
    touches = [
        a_touch(cookie_id="c1"),
        a_touch(cookie_id="c2"),
        a_touch(cookie_id="c3"),
        a_touch(email_hash="e1", cookie_id="c2"),
    ]
    with duckdb.connect() as con:
        con.register("touches", rows("touches", *touches))
        con.register("people", people.astype({"identifier": "string", "person_id": "string"}))
        found = {c.metric: c.value for c in match_checks(con, "touches", "2026-05-01")}
    assert found == {"known_share": 0.75, "match_rate": 0.5}


def test_no_credits_give_no_checks() -> None:
    assert credit_checks(DAY.head(0)) == []
