"""What a day's feature rows say, with numbers one can check in the head, and then against a brute-force count."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from features.steps import tables_of
from tests.builders import a_click, a_conversion, a_lake, a_sighting, a_touch, a_world, rows
from whence.contracts.events import LINK_KEYS
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.filterwarnings(
    "ignore:`partition_filters` is deprecated:DeprecationWarning"
)  # deltalake, in whence.lake

DAY = date(2026, 5, 20)


def an_answer(identifier: str, person: str, on: str = "2026-05-01", probability: float = 1.0) -> dict[str, Any]:
    end = Window.parse(on).end
    plain = {"method": "exact", "probability": probability, "seen_at": end}
    return {"day": on, "identifier": identifier, "person_id": person, **plain}


def made(lake: Lake, name: str, day: date = DAY) -> list[dict[str, Any]]:
    return tables_of(lake, day)[name].to_pylist()


def only(lake: Lake, name: str, day: date = DAY) -> dict[str, Any]:
    (row,) = made(lake, name, day)
    return row


@pytest.mark.service
def test_an_identifier_is_counted_by_day_and_by_week_with_its_networks(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        touches=[
            a_touch("10:00", DAY, cookie_id="c1", ip_key="home"),
            a_touch("11:00", "2026-05-14", cookie_id="c1", ip_key="work"),
            a_touch("11:00", "2026-05-13", cookie_id="c1", ip_key="train"),
        ],
        persons=[an_answer("cookie_id:c1", "p1", probability=0.8)],
    )
    row = only(lake, "identifier_features")
    assert (row["identifier"], row["person_id"], row["person_probability"]) == ("cookie_id:c1", "p1", 0.8)
    assert (row["events_1d"], row["events_7d"], row["networks_7d"]) == (1, 2, 2)
    assert row["last_seen_at"].isoformat() == "2026-05-20T10:00:00+00:00"


def test_rows_become_known_when_their_day_ends(tmp_path: Path) -> None:
    lake = a_lake(tmp_path, touches=[a_touch("10:00", DAY, cookie_id="c1")])
    row = only(lake, "identifier_features")
    assert (row["day"], row["seen_at"].isoformat()) == ("2026-05-20", "2026-05-21T00:00:00+00:00")


@pytest.mark.service
def test_what_comes_after_the_day_changes_nothing(tmp_path: Path) -> None:
    today = [
        a_click("10:00", DAY, cookie_id="c1", ip_key="n1", user_agent="Chrome"),
        a_click("23:59", DAY, cookie_id="c2", ip_key="n1"),
    ]
    tomorrow = [
        a_click("00:00", "2026-05-21", cookie_id="c1", ip_key="n1"),
        a_click("10:00", "2026-05-25", cookie_id="c2", ip_key="n9"),
    ]
    known = [an_answer("cookie_id:c1", "p1")]
    later = [an_answer("cookie_id:c1", "p2", on="2026-05-21"), an_answer("cookie_id:c2", "p2", on="2026-05-21")]
    before = tables_of(a_lake(tmp_path / "before", touches=today, persons=known), DAY)
    after = tables_of(a_lake(tmp_path / "after", touches=[*today, *tomorrow], persons=[*known, *later]), DAY)
    order = {"network_features": "ip_key"}
    for name, table in before.items():
        key = [(column, "ascending") for column in (order.get(name), *table.column_names) if column][:4]
        assert table.sort_by(key).equals(after[name].sort_by(key)), name


def test_a_late_delivery_counts_on_the_day_it_was_seen(tmp_path: Path) -> None:
    late = a_touch("10:00", "2026-05-18", seen_at="2026-05-20T08:00:00+00:00", cookie_id="c1")
    lake = a_lake(tmp_path, touches=[late])
    assert made(lake, "identifier_features", date(2026, 5, 18)) == []
    assert only(lake, "identifier_features")["events_1d"] == 1


def test_the_strongest_identifier_says_whose_an_event_is(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        sightings=[a_sighting("09:00", DAY, cookie_id="shared", email_hash="mine", ip_key="n1")],
        persons=[an_answer("cookie_id:shared", "somebody"), an_answer("email_hash:mine", "me")],
    )
    assert only(lake, "pair_features")["person_id"] == "me"


def test_the_latest_answer_of_the_day_or_before_is_the_one(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        touches=[a_touch("10:00", DAY, cookie_id="c1", ip_key="n1")],
        persons=[an_answer("cookie_id:c1", "old"), an_answer("cookie_id:c1", "merged", on="2026-05-20")],
    )
    row = only(lake, "person_features")
    assert (row["person_id"], row["identifiers"]) == ("merged", 1)


def test_ghosts_are_no_touches_of_a_person_but_stay_in_the_context(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        touches=[
            a_touch("10:00", DAY, event_id="seen", cookie_id="c1"),
            a_touch("11:00", DAY, event_id="ghost", cookie_id="c1", kind="eligible", holdout=True),
            a_click("12:00", DAY, event_id="click", cookie_id="c1"),
        ],
        persons=[an_answer("cookie_id:c1", "p1")],
    )
    row = only(lake, "person_features")
    assert (row["touches_7d"], row["clicks_7d"]) == (2, 1)
    recent = json.loads(row["recent_touches"])
    assert [(touch["touch_id"], touch["kind"]) for touch in recent] == [
        ("click", "click"),
        ("ghost", "eligible"),
        ("seen", "view"),
    ]
    assert recent[0]["happened_at"] == "2026-05-20T12:00:00.000000+00:00"
    assert recent[0]["device_id"] is None
    assert recent[0]["click_id"] == "click-of-click"


def test_a_persons_sales_are_told_each_once_the_latest_first(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        conversions=[
            a_conversion("09:00", DAY, conversion_id="pixel", order_id="o1", cookie_id="c1", kind="install"),
            a_conversion("09:30", DAY, conversion_id="server", order_id="o1", cookie_id="c1", kind="install"),
            a_conversion("12:00", DAY, conversion_id="plain", cookie_id="c1"),
            a_conversion("13:00", DAY, conversion_id="back", cookie_id="c1", kind="refund", refund_of="plain", value_micros=-1),
        ],
        persons=[an_answer("cookie_id:c1", "p1")],
    )
    assert json.loads(only(lake, "person_features")["recent_sales"]) == [
        {"sale": "plain", "happened_at": "2026-05-20T12:00:00.000000+00:00", "conversion_id": "plain", "kind": "purchase"},
        {"sale": "o1", "happened_at": "2026-05-20T09:00:00.000000+00:00", "conversion_id": "pixel", "kind": "install"},
    ]


def test_an_order_counts_once_and_a_refund_not_at_all(tmp_path: Path) -> None:
    bought = {"order_id": "o1", "click_id": "k1", "external_id": "x1"}
    lake = a_lake(
        tmp_path,
        touches=[a_click("09:00", DAY, click_id="k1", campaign_id="spring")],
        conversions=[
            a_conversion("10:00", DAY, source="pixel", **bought),
            a_conversion("10:05", DAY, source="server", **bought),
            a_conversion("18:00", DAY, kind="refund", value_micros=-1, refund_of="v1", **bought),
        ],
        persons=[an_answer("external_id:x1", "p1")],
    )
    assert only(lake, "campaign_features")["conversions_7d"] == 1
    assert only(lake, "person_features")["conversions_14d"] == 1


def test_campaign_rates_are_pulled_to_the_mean_of_all_campaigns(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        touches=[
            a_click("09:00", DAY, campaign_id="a", price_micros=100),
            a_touch("09:00", DAY, campaign_id="b", price_micros=None),
            a_touch("09:30", DAY, campaign_id="a", kind="eligible", price_micros=900),
        ],
    )
    rates = {row["campaign_id"]: row for row in made(lake, "campaign_features")}
    assert rates["a"]["click_rate_7d"] == pytest.approx(51 / 101)  # (1 + 100 × ½) / (1 + 100)
    assert rates["b"]["click_rate_7d"] == pytest.approx(50 / 101)
    assert (rates["a"]["price_mean_micros_7d"], rates["b"]["price_mean_micros_7d"]) == (100.0, None)
    assert (rates["a"]["views_7d"], rates["b"]["views_7d"]) == (0, 1)


def test_the_mean_hour_goes_round_midnight(tmp_path: Path) -> None:
    lake = a_lake(
        tmp_path,
        touches=[a_touch("23:00", "2026-05-19", cookie_id="c1"), a_touch("01:00", DAY, cookie_id="c1")],
        persons=[an_answer("cookie_id:c1", "p1")],
    )
    assert only(lake, "person_features")["mean_hour"] == pytest.approx(0.0, abs=1e-6)


def test_texts_with_quotes_and_line_breaks_stay_json(tmp_path: Path) -> None:
    strange = 'a "quoted" back\\slash and a\nnew line, é'
    lake = a_lake(
        tmp_path,
        touches=[a_touch("10:00", DAY, cookie_id="c1", user_agent=strange, ip_key="n1")],
        persons=[an_answer("cookie_id:c1", 'p"1')],
    )
    assert json.loads(only(lake, "person_features")["user_agents"]) == [strange.replace("\n", " ")]
    assert json.loads(only(lake, "network_features")["people"]) == ['p"1']


def test_a_crowded_network_names_the_twenty_seen_most(tmp_path: Path) -> None:
    people = [f"p{number:02}" for number in range(25)]
    seen = [
        a_touch("10:00", DAY, cookie_id=f"c-{person}", ip_key="office")
        for number, person in enumerate(people)
        for _ in range(1 + (number >= 20))
    ]
    answers = [an_answer(f"cookie_id:c-{person}", person) for person in people]
    row = only(a_lake(tmp_path, touches=seen, persons=answers), "network_features")
    assert json.loads(row["people"]) == [*people[20:], *people[:15]]
    assert (row["persons_7d"], row["identifiers_7d"], row["events_1d"]) == (25, 25, 30)


def test_a_day_without_events_gives_empty_tables(tmp_path: Path) -> None:
    assert {table.num_rows for table in tables_of(a_lake(tmp_path), DAY).values()} == {0}


@pytest.mark.service
def test_counts_agree_with_a_loop_over_the_events_of_a_world(tmp_path: Path) -> None:
    settings = a_world(tmp_path, people=80, days=5)
    lake, day = Lake.of(settings), date(2026, 5, 4)
    seen = [row for name in ("touches", "conversions", "sightings") for row in lake.read(name).to_pylist()]
    texts = sorted({f"{key}:{row[key]}" for row in seen for key in LINK_KEYS if row[key]})
    whose = {text: f"p{number % 50}" for number, text in enumerate(texts) if number % 3}
    lake.replace(
        "persons", rows("persons", *(an_answer(text, person) for text, person in whose.items())), Window.parse("2026-05-01")
    )
    found = tables_of(lake, day)

    events, together, crowd, agents = Counter(), Counter(), defaultdict(set), defaultdict(Counter)
    for row in (row for row in seen if row["day"] <= day.isoformat()):
        held = [f"{key}:{row[key]}" for key in LINK_KEYS if row[key]]
        person = next((whose[text] for text in held if text in whose), None)
        events.update(held)
        if row["ip_key"]:
            crowd[row["ip_key"]].update(held)
        if person and row["ip_key"]:
            together[row["ip_key"], person] += 1
        if person and row["user_agent"]:
            agents[person][row["user_agent"]] += 1

    identifiers = found["identifier_features"].to_pylist()
    assert {row["identifier"]: row["events_7d"] for row in identifiers} == events
    assert all(row["person_id"] == whose.get(row["identifier"]) for row in identifiers)
    assert {row["ip_key"]: row["identifiers_7d"] for row in found["network_features"].to_pylist()} == {
        key: len(held) for key, held in crowd.items()
    }
    pairs = {(row["ip_key"], row["person_id"]): row["events_together_14d"] for row in found["pair_features"].to_pylist()}
    assert pairs == together
    expected = {person: sorted(seen_by, key=lambda text: (-seen_by[text], text))[:5] for person, seen_by in agents.items()}
    people = {row["person_id"]: json.loads(row["user_agents"]) for row in found["person_features"].to_pylist()}
    assert {person: people[person] for person in expected} == expected
