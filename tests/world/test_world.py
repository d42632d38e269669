"""The simulated world: the same for a seed, told by trackers with gaps, and true to its own causes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.builders import FIRST_DAY, some_settings
from whence.contracts.settings import Scenario, Settings, World
from whence.contracts.times import Window
from whence.world import simulate
from whence.world.scenarios import SCENARIOS, ScenarioError
from whence.world.stream import WorldError

SMALL = World(people=250, days=4, first_day=FIRST_DAY)
BROKEN_FROM = FIRST_DAY + timedelta(days=2)


def small(folder: Path, **changes: object) -> Settings:
    return some_settings(folder, world=replace(SMALL, **changes))  # type: ignore[arg-type]


def digests(settings: Settings) -> dict[str, str]:
    """The SHA-256 of each event file by its place."""
    root = settings.world_events
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*.parquet"))}


def ask(settings: Settings, question: str) -> list[tuple]:  # type: ignore[type-arg]
    """The answer of a query over the world's files, a view for each table."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for table in ("touches", "conversions", "sightings", "truth_signals", "truth_conversions"):
            files = f"{settings.world_events}/*/{table}-*.parquet"
            con.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)")
        return con.sql(question).fetchall()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A world big enough for shares to be steady."""
    settings = some_settings(tmp_path_factory.mktemp("world"), world=World(people=1500, days=6, first_day=FIRST_DAY))
    simulate(settings)
    return settings


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the small world, in which nothing goes wrong."""
    settings = small(tmp_path_factory.mktemp("calm"))
    simulate(settings)
    return digests(settings)


@pytest.mark.service
def test_a_seed_gives_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    alone = small(tmp_path / "alone", people=1100, days=2)
    helped = small(tmp_path / "helped", people=1100, days=2, workers=2)
    simulate(alone)
    simulate(helped)
    assert len(digests(alone)) == 3 * 2 * 5, "three blocks, two days, five tables"
    assert digests(alone) == digests(helped)


def test_another_seed_gives_another_world(tmp_path: Path, calm: dict[str, str]) -> None:
    other = small(tmp_path, seed=8)
    simulate(other)
    assert not set(calm.values()) & set(digests(other).values())


def test_a_world_that_lies_there_is_not_made_again_and_another_one_replaces_it(tmp_path: Path) -> None:
    settings = small(tmp_path)
    assert simulate(settings).was_made
    assert not simulate(settings).was_made
    assert simulate(replace(settings, world=replace(settings.world, days=3))).was_made
    assert {path.split("/")[0] for path in digests(settings)} == {f"day=2026-05-0{d}" for d in (1, 2, 3)}


def test_a_longer_world_begins_like_the_shorter_one(tmp_path: Path, calm: dict[str, str]) -> None:
    short = small(tmp_path, days=SMALL.days - 1)
    simulate(short)
    assert digests(short).items() < calm.items()


def test_an_abandoned_draft_does_not_count_as_a_world(tmp_path: Path) -> None:
    settings = small(tmp_path)
    draft = settings.home / "world.draft" / "day=2026-05-01"
    draft.mkdir(parents=True)
    (draft / "touches-00000.parquet").write_bytes(b"half")
    assert simulate(settings).was_made
    assert not (settings.home / "world.draft").exists()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_changes_its_days_and_not_a_byte_before(tmp_path: Path, calm: dict[str, str], name: str) -> None:
    broken = small(tmp_path, scenarios=(Scenario(name, BROKEN_FROM),))
    simulate(broken)
    found, first = digests(broken), f"day={BROKEN_FROM}"
    before = [path for path in calm if path < first]
    assert before
    assert {p: found[p] for p in before} == {p: calm[p] for p in before}
    assert {p: d for p, d in found.items() if first in p} != {p: d for p, d in calm.items() if first in p}


def broken_world(folder: Path, name: str) -> Settings:
    settings = small(folder, people=400, scenarios=(Scenario(name, BROKEN_FROM),))
    simulate(settings)
    return settings


def split(settings: Settings, measure: str, table: str) -> tuple[float, float]:
    """A measure before and since the scenario, by the day things happened."""
    first = BROKEN_FROM.isoformat()
    found = ask(settings, f"SELECT happened_at >= '{first}'::DATE AS late, {measure} FROM {table} GROUP BY 1 ORDER BY 1")
    return found[0][1], found[1][1]


def test_signal_loss_takes_most_identifiers_and_log_ins(tmp_path: Path) -> None:
    settings = broken_world(tmp_path, "signal_loss")
    known, lost = split(settings, "avg((cookie_id IS NOT NULL OR device_id IS NOT NULL)::INT)", "touches")
    assert known > 0.75
    assert lost < 0.25
    agreed, denied = split(settings, "avg((consent = 'denied')::INT)", "touches")
    assert agreed < 0.3
    assert denied > 0.8
    before, since = split(settings, "count(*) FILTER (kind = 'login')", "sightings")
    assert since < before / 2


def test_a_tracker_outage_silences_one_channel_and_buyers_go_on(tmp_path: Path) -> None:
    settings = broken_world(tmp_path, "tracker_outage")
    before, since = split(settings, "count(*) FILTER (channel = 'social')", "touches")
    assert before > 100
    assert since == 0
    assert min(split(settings, "count(*)", "conversions")) > 0


def test_a_mix_shift_moves_the_budget_to_video_and_affiliates(tmp_path: Path) -> None:
    before, since = split(broken_world(tmp_path, "mix_shift"), "avg((channel IN ('video', 'affiliate'))::INT)", "touches")
    assert since > 2 * before


def test_a_bot_flood_adds_half_as_many_touches_again(tmp_path: Path) -> None:
    settings = broken_world(tmp_path, "bot_flood")
    before, since = split(settings, "avg(is_bot::INT)", "touches JOIN truth_signals USING (event_id)")
    assert before < 0.1
    assert since > 0.3


def test_a_unit_change_makes_the_servers_values_a_hundred_times_too_high(tmp_path: Path) -> None:
    settings = broken_world(tmp_path, "unit_change")
    before, since = split(settings, "median(price_micros) FILTER (channel = 'search')", "touches")
    assert since > 50 * before
    before, since = split(settings, "median(price_micros) FILTER (channel = 'social')", "touches")
    assert since < 2 * before


@pytest.mark.service
def test_every_signal_and_every_conversion_has_one_true_answer(world: Settings) -> None:
    for table in ("touches", "conversions", "sightings"):
        assert ask(world, f"SELECT count(*) FROM {table} ANTI JOIN truth_signals USING (event_id)") == [(0,)]
    assert ask(world, "SELECT count(*) FROM conversions ANTI JOIN truth_conversions USING (conversion_id)") == [(0,)]
    assert ask(world, "SELECT count(*) = count(DISTINCT event_id) FROM truth_signals") == [(True,)]


def test_a_cause_is_a_shown_touch_of_the_same_person_before_the_conversion(world: Settings) -> None:
    causes = """
        FROM conversions c JOIN truth_conversions u USING (conversion_id) JOIN touches t ON t.touch_id = u.caused_by
        JOIN truth_signals s ON s.event_id = t.event_id"""
    assert ask(world, f"SELECT count(*) > 100 {causes}") == [(True,)]
    wrong = "t.happened_at >= c.happened_at OR t.holdout OR t.kind = 'eligible' OR s.true_person <> u.true_person OR s.is_bot"
    assert ask(world, f"SELECT count(*) {causes} WHERE {wrong}") == [(0,)]


def test_about_half_of_the_conversions_would_have_come_without_ads(world: Settings) -> None:
    [(share,)] = ask(world, "SELECT avg((caused_by IS NULL)::INT) FROM truth_conversions")
    assert 0.35 < share < 0.65


def test_most_conversions_after_a_click_carry_its_click_id_and_some_others_a_left_over(world: Settings) -> None:
    found = ask(
        world,
        """SELECT avg((c.click_id = t.click_id)::INT) FILTER (t.kind = 'click'), avg((c.click_id IS NOT NULL)::INT) FILTER (t.kind IS NULL)
        FROM (SELECT * FROM conversions WHERE kind <> 'refund') c JOIN truth_conversions u USING (conversion_id)
        LEFT JOIN (SELECT DISTINCT ON (touch_id) * FROM touches) t ON t.touch_id = u.caused_by WHERE c.click_id IS NOT NULL OR true""",
    )
    own, left_over = found[0]
    assert own > 0.9, "when a conversion by a click carries a click id, it is that click's"
    assert 0.05 < left_over < 0.3


def test_who_is_held_out_of_a_campaign_never_sees_its_ads(world: Settings) -> None:
    seen = "SELECT true_person, campaign_id, bool_or(holdout) AS held, bool_or(NOT holdout) AS shown FROM touches"
    both = f"SELECT count(*) FILTER (held AND shown), count(*) FILTER (held) FROM ({seen} JOIN truth_signals USING (event_id) GROUP BY ALL)"
    [(mixed, held)] = ask(world, both)
    assert held > 50
    assert mixed == 0
    assert ask(world, "SELECT count(*) FROM touches WHERE holdout <> (kind = 'eligible') OR holdout <> (arm = 'control')") == [
        (0,)
    ]


def test_ads_of_retargeting_meet_people_who_buy_anyway(world: Settings) -> None:
    """The confounding that last-touch reports fall for: buyers without a cause saw more retargeting than others."""
    [(buyers, others)] = ask(
        world,
        """WITH anyway AS (
            SELECT DISTINCT true_person, happened_at::DATE AS day FROM truth_conversions JOIN conversions USING (conversion_id)
            WHERE caused_by IS NULL AND kind <> 'refund'
        ), shown AS (
            SELECT campaign_id LIKE '%retargeting' AS is_retargeting, a.day IS NOT NULL AS buys
            FROM touches t JOIN truth_signals s USING (event_id)
            LEFT JOIN anyway a ON a.true_person = s.true_person AND a.day = t.happened_at::DATE WHERE NOT is_bot
        )
        SELECT avg(is_retargeting::INT) FILTER (buys), avg(is_retargeting::INT) FILTER (NOT buys) FROM shown""",
    )
    assert buyers > 1.3 * others


def test_a_device_that_opted_out_gives_no_ids(world: Settings) -> None:
    assert ask(
        world, "SELECT count(*) FROM touches WHERE consent = 'denied' AND (cookie_id IS NOT NULL OR device_id IS NOT NULL)"
    ) == [(0,)]
    [(share,)] = ask(world, "SELECT avg((consent = 'denied')::INT) FROM touches")
    assert 0.08 < share < 0.25


def test_events_come_late_and_twice_but_never_before_they_happened(world: Settings) -> None:
    [(early, late, twice)] = ask(
        world,
        """SELECT count(*) FILTER (seen_at < happened_at), avg((seen_at > happened_at + INTERVAL 1 HOUR)::INT),
            1 - count(DISTINCT event_id) / count(*) FROM touches""",
    )
    assert early == 0
    assert 0.02 < late < 0.1
    assert 0.005 < twice < 0.03


def test_refunds_take_back_at_most_what_was_paid_under_the_same_order(world: Settings) -> None:
    joined = (
        """FROM conversions r JOIN (SELECT DISTINCT ON (conversion_id) * FROM conversions) o ON r.refund_of = o.conversion_id"""
    )
    [(refunds, wrong)] = ask(
        world,
        f"""SELECT count(*), count(*) FILTER (r.value_micros >= 0 OR -r.value_micros > o.value_micros OR r.order_id <> o.order_id
            OR r.kind <> 'refund' OR r.happened_at <= o.happened_at) {joined}""",
    )
    assert refunds > 3
    assert wrong == 0


def test_a_household_shares_its_network_and_its_people_keep_their_devices(world: Settings) -> None:
    shared = "SELECT count(DISTINCT true_person) AS people FROM touches JOIN truth_signals USING (event_id) WHERE NOT is_bot GROUP BY ip_key"
    [(homes, crowds)] = ask(
        world, f"SELECT count(*) FILTER (people BETWEEN 2 AND 6), count(*) FILTER (people > 30) FROM ({shared})"
    )
    assert homes > 50
    assert crowds > 3


def test_a_day_that_the_world_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"2026-05-01\.\.2026-05-04, and 2026-06-01 was asked for"):
        simulate(small(tmp_path), Window(date(2026, 6, 1), date(2026, 6, 1)))


def test_an_unknown_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no scenario 'meteor'"):
        simulate(small(tmp_path, scenarios=(Scenario("meteor", FIRST_DAY),)))


def test_a_world_without_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="0 people"):
        simulate(small(tmp_path, people=0))
