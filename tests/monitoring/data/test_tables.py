"""What a day's delivery shows beyond its columns: clocks, hours, copies, replays, renamed words, other units, other hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from monitoring.data.tables import table_checks
from tests.builders import a_conversion, a_sighting, a_touch, rows
from whence.contracts.events import EVENTS
from whence.contracts.tables import TABLES

DAY, BEFORE = "2026-05-09", tuple(f"2026-05-0{day}" for day in range(2, 9))
Values = dict[tuple[str, str], float | None]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in (*EVENTS, "ingest_counts"):
            connection.register(name, TABLES[name].schema.empty_table())
        yield connection


def measured(con: duckdb.DuckDBPyConnection, table: str, *given: dict[str, Any]) -> Values:
    con.register(table, rows(table, *given))
    found = table_checks(con, DAY, dict.fromkeys(EVENTS, BEFORE))
    return {(check.metric, check.segment): check.value for check in found if check.model == table}


def touches(on: str, count: int = 60, **changes: Any) -> list[dict[str, Any]]:
    """Touches a minute apart from noon on, each with a cookie of its own that comes again on every day."""
    return [a_touch(f"12:{place:02}", on, **{"cookie_id": f"c{place}", **changes}) for place in range(count)]


def test_the_same_people_on_another_day_are_neither_copies_nor_strangers(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, "touches", *touches("2026-05-08", price_micros=4000), *touches(DAY))
    assert found["copied_share", "all"] == found["replayed_share", "all"] == found["clock_ahead_share", "all"] == 0
    assert found["returning_share", "cookie_id"] == 1
    assert found["top_value_share", "cookie_id"] == pytest.approx(1 / 60)


def test_copies_under_new_ids_and_replays_of_yesterday_are_told(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, "touches", *touches("2026-05-08"), *touches(DAY), *touches(DAY))
    assert found["copied_share", "all"] == 0.5
    assert found["replayed_share", "all"] == 1


@pytest.mark.service
def test_other_hashes_and_placeholders_are_told(con: duckdb.DuckDBPyConnection) -> None:
    before = touches("2026-05-08")
    assert measured(con, "touches", *before, *touches(DAY, cookie_id="same"))["top_value_share", "cookie_id"] == 1
    other = [{**row, "cookie_id": f"{row['cookie_id']}-é"} for row in touches(DAY)]
    found = measured(con, "touches", *before, *other)
    assert found["returning_share", "cookie_id"] == 0
    assert found["odd_shape_share", "cookie_id"] == 1


@pytest.mark.service
def test_a_clock_that_is_off_shows_in_delays(con: duckdb.DuckDBPyConnection) -> None:
    slow = [{**row, "seen_at": row["seen_at"].replace(hour=13)} for row in touches(DAY)]
    assert measured(con, "touches", *slow)["log10_delay", "channel=social"] == pytest.approx(3.556, abs=0.001)
    fast = [{**row, "seen_at": row["seen_at"].replace(hour=11)} for row in touches(DAY, count=1)]
    assert measured(con, "touches", *fast)["clock_ahead_share", "all"] == 1


@pytest.mark.service
def test_an_hour_without_rows_is_silent_where_many_came_before(con: duckdb.DuckDBPyConnection) -> None:
    before = [row for day in BEFORE for row in touches(day)]
    late = [{**row, "seen_at": row["seen_at"].replace(hour=15)} for row in touches(DAY)]
    assert measured(con, "touches", *before, *touches(DAY))["silent_hours", "all"] == 0
    assert measured(con, "touches", *before, *late)["silent_hours", "all"] == 1


def test_a_renamed_word_is_new_in_the_place_of_one_that_is_gone(con: duckdb.DuckDBPyConnection) -> None:
    found = measured(con, "touches", *touches("2026-05-08"), *touches(DAY, channel="Social"))
    assert (found["renamed_share", "channel"], found["gone_share", "channel"]) == (1, 1)
    found = measured(con, "touches", *touches("2026-05-08"), *touches(DAY), *touches(DAY, channel="radio"))
    assert (found["renamed_share", "channel"], found["gone_share", "channel"]) == (0, 0)


def test_a_unit_that_changed_for_some_rows_alone_is_a_share_of_far_amounts(con: duckdb.DuckDBPyConnection) -> None:
    before, now = [a_conversion(on="2026-05-08") for _ in range(9)], [a_conversion(on=DAY) for _ in range(3)]
    found = measured(con, "conversions", *before, *now, a_conversion(on=DAY, value_micros=10**9))
    assert found["far_amount_share", "value_micros:source=pixel"] == 0.25


@pytest.mark.service
def test_things_a_person_and_persons_a_thing_are_counted_over_log_ins(con: duckdb.DuckDBPyConnection) -> None:
    logins = [a_sighting(on=DAY, email_hash=f"{place % 30:064}", cookie_id=f"c{place}", ip_key="n1") for place in range(60)]
    found = measured(con, "sightings", *logins)
    assert found["identifiers_per_person", "all"] == 2
    assert found["persons_per_identifier", "all"] == 1
