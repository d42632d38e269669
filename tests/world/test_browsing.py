"""The world's browsing: beside its events, true to its people, and no easier than it should be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from tests.builders import FIRST_DAY, some_settings
from whence.contracts.settings import World
from whence.world import simulate
from whence.world.browsing import SCHEMA, Browsed, browse

SMALL = World(people=400, days=6, first_day=FIRST_DAY)


@pytest.fixture(scope="module")
def browsed() -> Browsed:
    return browse(SMALL)


def ask(browsed: Browsed, question: str) -> list[tuple]:  # type: ignore[type-arg]
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("requests", browsed.requests)
        con.register("owners", browsed.owners)
        return con.sql(question).fetchall()


def test_a_seed_gives_the_same_requests_and_another_seed_others(browsed: Browsed) -> None:
    again, other = browse(SMALL), browse(replace(SMALL, seed=8))
    assert again.requests.equals(browsed.requests)
    assert again.owners.equals(browsed.owners)
    assert not set(other.requests["device"].to_pylist()) & set(browsed.requests["device"].to_pylist())


def test_requests_have_times_in_order_and_every_device_an_owner(browsed: Browsed) -> None:
    assert browsed.requests.schema.equals(SCHEMA)
    [(early, outside)] = ask(
        browsed,
        f"""SELECT count(*) FILTER (seen_at < happened_at), count(*) FILTER (happened_at < TIMESTAMPTZ '{FIRST_DAY} 00:00:00+00')
        FROM requests""",
    )
    assert (early, outside) == (0, 0)
    assert ask(browsed, "SELECT count(*) FROM requests ANTI JOIN owners USING (device)") == [(0,)]
    assert FIRST_DAY + timedelta(days=SMALL.days - 1) in {at.date() for at in browsed.requests["happened_at"].to_pylist()}


def test_no_column_is_shared_by_the_devices_of_one_person_alone(browsed: Browsed) -> None:
    """Nothing told names the person: each network, site, agent and locale is some other person's too, in most cases."""
    for column in ("site", "user_agent", "locale", "country"):
        [(alone,)] = ask(
            browsed,
            f"""SELECT avg((people = 1)::INT) FROM (SELECT count(DISTINCT person) AS people FROM requests JOIN owners USING (device)
            GROUP BY requests.{column} HAVING count(*) >= 20)""",
        )
        assert alone < 0.05, column


def test_most_people_have_several_devices_and_a_shared_tablet_several_owners(browsed: Browsed) -> None:
    [(several, shared)] = ask(
        browsed,
        """SELECT (SELECT avg((n > 1)::INT) FROM (SELECT count(*) AS n FROM owners GROUP BY person)),
            (SELECT count(*) FROM (SELECT device FROM owners GROUP BY device HAVING count(*) > 1))""",
    )
    assert several > 0.8
    assert shared > 0


def test_visits_follow_a_power_law_and_a_person_comes_back_to_favourites(browsed: Browsed) -> None:
    [(head, tail, again)] = ask(
        browsed,
        """WITH s AS (SELECT site, count(*) AS n FROM requests GROUP BY site),
            p AS (SELECT person, site, count(*) AS n FROM requests JOIN owners USING (device) GROUP BY ALL)
        SELECT (SELECT sum(n) FROM (FROM s ORDER BY n DESC LIMIT 40)) / sum(n), avg((n <= 3)::INT),
            (SELECT sum(n) FILTER (n >= 5) / sum(n) FROM p) FROM s""",
    )
    assert 0.2 < head < 0.6, "forty of four thousand sites"
    assert tail > 0.2
    assert again > 0.2


@pytest.mark.service
def test_the_identifiers_are_those_of_the_worlds_own_events(browsed: Browsed, tmp_path: Path) -> None:
    settings = some_settings(tmp_path, world=SMALL)
    simulate(settings)
    [(known,)] = ask(
        browsed,
        f"""SELECT count(DISTINCT device) FROM requests JOIN read_parquet('{settings.world_events}/*/touches-*.parquet') t
        ON device = coalesce('device_id:' || t.device_id, 'cookie_id:' || t.cookie_id)""",
    )
    assert known > 200
