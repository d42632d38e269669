"""Column checks on tables of a few rows, with numbers one can check in the head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from monitoring.checks import Check
from monitoring.data.columns import event_checks, ingest_checks
from tests.builders import a_touch, rows
from whence.contracts.tables import TABLES

DAY, BEFORE = "2026-05-02", ("2026-05-01",)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def measured(con: duckdb.DuckDBPyConnection, *touches: dict[str, Any]) -> dict[tuple[str, str], Check]:
    con.register("touches", rows("touches", *touches))
    return {(check.metric, check.segment): check for check in event_checks(con, "touches", DAY, BEFORE)}


def today(**changes: Any) -> dict[str, Any]:
    return a_touch(on=DAY, **{"cookie_id": "c1", "ip_key": "n1", **changes})


def yesterday(**changes: Any) -> dict[str, Any]:
    return a_touch(on="2026-05-01", **changes)


def test_shares_are_of_the_days_rows_alone(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, today(), today(cookie_id=None, consent="denied"), yesterday(cookie_id=None))
    assert found["rows", "all"].value == 2
    assert found["null_share", "cookie_id"].value == 0.5
    assert found["null_share", "email_hash"].value == 1.0
    assert found["consent_share", "granted"].value == 0.5
    assert found["identifiers_per_event", "all"].value == 0.5


def test_a_channel_that_is_gone_is_counted_as_none(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, today(channel="search"), yesterday(channel="social"))
    assert found["rows", "channel=social"].value == 0
    assert found["rows", "channel=search"].value == 1


def test_values_that_no_earlier_day_had_are_unseen(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, today(), today(campaign_id="new"), yesterday())
    assert found["unseen_share", "campaign_id"].value == 0.5
    assert found["unseen_share", "channel"].value == 0.0


def test_late_rows_idle_hours_and_the_busiest_network(con: duckdb.DuckDBPyConnection) -> None:
    late = a_touch("23:00", "2026-04-29", seen_at=f"{DAY}T10:00Z", ip_key="n1")
    found = measured(con, late, today(seen_at="18:00"), today(ip_key="n2"), today(ip_key=None))
    assert found["late_share", "24h"].value == 0.25
    assert found["hours_since_last", "all"].value == 6
    assert found["top_network_share", "all"].value == pytest.approx(2 / 3)


def test_money_is_told_as_a_power_of_ten(con: duckdb.DuckDBPyConnection) -> None:
    amounts = [10**6, 10**8, 0] * 5
    found = measured(con, *(today(price_micros=amount) for amount in amounts))
    assert found["log10_amount", "price_micros:channel=social"].value == 7
    assert found["zero_amount_share", "price_micros:channel=social"].value == pytest.approx(1 / 3)


def test_an_absent_day_is_a_count_of_zero_and_nothing_else(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, yesterday())
    assert {key for key, check in found.items() if check.value == 0} == {("rows", "all"), ("rows", "channel=social")}
    assert len(found) == 2


def test_duplicates_and_quarantine_are_shares_of_what_was_read(con: duckdb.DuckDBPyConnection) -> None:
    counts = {"day": DAY, "table": "touches", "source": "f", "read": 100, "accepted": 85, "duplicates": 10, "quarantined": 5}
    con.register("ingest_counts", pa.Table.from_pylist([counts], schema=TABLES["ingest_counts"].schema))
    assert {c.metric: c.value for c in ingest_checks(con, DAY)} == {"duplicate_share": 0.1, "quarantined_share": 0.05}
