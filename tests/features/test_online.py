"""The online rows: newer stays, old and future values are not given, and SQLite and Redis keep the same promise."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import features
from features.online import (
    FIELDS,
    JOIN_KEYS,
    Held,
    OnlineError,
    OnlineStore,
    Shelf,
    chunks,
    key_text,
    micros,
    open_shelf,
    pack,
    unpack,
)
from whence.contracts.settings import Features, Settings
from whence.contracts.times import NaiveTimeError

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
HOUR = 3_600_000_000
_views = count()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    path = tmp_path_factory.mktemp("online") / "online.db"
    address = request.getfixturevalue("redis_address") if request.param == "redis" else str(path)
    with closing(open_shelf(request.param, address)) as opened:
        yield opened


@pytest.fixture
def view(shelf: Shelf) -> Iterator[str]:
    name = f"view-{next(_views)}"
    yield name
    shelf.drop(name)


def held(seen_at: int, value: int = 0) -> Held:
    return Held(seen_at, pack({"value": value}))


def a_store(shelf: Shelf, **rows: datetime) -> OnlineStore:
    """A store of networks by key with when each became known, and 48 hours as the largest age."""
    values = pack({**dict.fromkeys(FIELDS["network_features"]), "events_1d": 3, "last_seen_at": NOW - timedelta(days=1)})
    shelf.drop("network_features")
    shelf.put("network_features", [(key, Held(micros(at), values)) for key, at in rows.items()])
    return OnlineStore(shelf, max_age_hours=48.0)


def test_a_newer_row_replaces_and_an_older_one_does_not(shelf: Shelf, view: str) -> None:
    assert shelf.put(view, [("k", held(2 * HOUR, 2))]) == 1
    assert shelf.put(view, [("k", held(1 * HOUR, 1))]) == 0
    assert shelf.get(view, ["k"]) == [held(2 * HOUR, 2)]
    assert shelf.put(view, [("k", held(3 * HOUR, 3))]) == 1
    assert shelf.get(view, ["k"]) == [held(3 * HOUR, 3)]


def test_a_correction_with_the_same_time_lands_and_a_repetition_changes_nothing(shelf: Shelf, view: str) -> None:
    shelf.put(view, [("k", held(HOUR, 1))])
    assert shelf.put(view, [("k", held(HOUR, 1))]) == 0
    assert shelf.put(view, [("k", held(HOUR, 7))]) == 1
    assert shelf.get(view, ["k"]) == [held(HOUR, 7)]


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**53)), max_size=20),
    size=st.integers(1, 5),
)
def test_whatever_the_order_and_the_batches_the_newest_stays(shelf: Shelf, writes: list[tuple[str, int]], size: int) -> None:
    name = f"law-{next(_views)}"
    for batch in chunks(writes, size):
        shelf.put(name, [(key, held(at, at)) for key, at in batch])
    newest = {key: max(at for k, at in writes if k == key) for key, _ in writes}
    assert shelf.get(name, ["a", "b", "c"]) == [held(newest[k], newest[k]) if k in newest else None for k in "abc"]


def test_writers_at_the_same_time_leave_the_newest_on_every_key(shelf: Shelf, view: str, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(600)]
    writers = [
        threading.Thread(
            target=lambda at=at: [shelf.put(view, part) for part in chunks([(key, held(at, at)) for key in keys], 50)]
        )
        for at in (3, 1, 4, 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(shelf.get(view, keys)) == {held(4, 4)}


def test_rows_come_in_the_order_asked_with_their_age(shelf: Shelf) -> None:
    store = a_store(shelf, n1=NOW - timedelta(hours=6), n2=NOW)
    rows = store.read("network_features", [{"ip_key": key} for key in ("n2", "nowhere", "n1", "n2")], NOW)
    assert [row.age_hours for row in rows] == [0.0, None, 6.0, 0.0]
    assert rows[1].values is None
    assert rows[2].values is not None
    assert rows[2].values["last_seen_at"] == NOW - timedelta(days=1)
    assert (rows[2].values["events_1d"], rows[2].values["people"]) == (3, None)
    assert not any(row.is_stale for row in rows)


@pytest.mark.parametrize(("age", "is_stale"), [(timedelta(hours=48), False), (timedelta(hours=48, seconds=1), True)])
def test_a_value_older_than_allowed_counts_as_missing(shelf: Shelf, age: timedelta, is_stale: bool) -> None:
    (row,) = a_store(shelf, n1=NOW - age).read("network_features", [{"ip_key": "n1"}], NOW)
    assert (row.is_stale, row.values is None) == (is_stale, is_stale)
    assert row.age_hours == pytest.approx(age / timedelta(hours=1))


@pytest.mark.parametrize(("ahead", "given_out"), [(timedelta(minutes=5), True), (timedelta(minutes=6), False)])
def test_the_future_is_never_seen_but_a_clock_may_be_a_little_off(shelf: Shelf, ahead: timedelta, given_out: bool) -> None:
    (row,) = a_store(shelf, n1=NOW + ahead).read("network_features", [{"ip_key": "n1"}], NOW)
    assert (row.values is not None) is given_out
    assert row.age_hours is not None
    assert row.age_hours < 0
    assert not row.is_stale


def test_a_null_in_a_key_is_never_found(shelf: Shelf) -> None:
    shelf.put("pair_features", [(key_text(["n1", "p1"]), held(micros(NOW)))])
    store = OnlineStore(shelf, 48.0)
    found = store.read("pair_features", [{"ip_key": "n1", "person_id": "p1"}, {"ip_key": "n1", "person_id": None}], NOW)
    assert [row.values is not None for row in found] == [True, False]


def test_no_two_pairs_share_a_key() -> None:
    parts = ["a", "b", "a,b", 'a","b', "", "a\\"]
    texts = {key_text([one, other]) for one in parts for other in parts}
    assert len(texts) == len(parts) ** 2


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda store: store.read("weather", [{"ip_key": "n1"}], NOW), "no feature view 'weather'"),
        (lambda store: store.read("pair_features", [{"ip_key": "n1"}], NOW), "lacks 'person_id'"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_words(
    shelf: Shelf, ask: Callable[[OnlineStore], Any], words: str
) -> None:
    with pytest.raises(OnlineError, match=words):
        ask(OnlineStore(shelf, 48.0))


def test_a_time_without_a_zone_is_refused(shelf: Shelf) -> None:
    with pytest.raises(NaiveTimeError):
        OnlineStore(shelf, 48.0).read("network_features", [{"ip_key": "n1"}], NOW.replace(tzinfo=None))


def test_an_unknown_kind_of_store_and_a_silent_redis_say_what_to_do() -> None:
    with pytest.raises(OnlineError, match="Set it to sqlite or redis"):
        open_shelf("cassandra", "")
    with pytest.raises(OnlineError, match=r"Start it, or set features\.redis"):
        open_shelf("redis", "127.0.0.1:1")


def test_the_front_door_reads_from_settings_or_from_an_open_store(settings: Settings) -> None:
    with features.open_online(settings) as store:
        a_store(store.shelf, n1=NOW)
        from_store = features.read_online(store, "network_features", [{"ip_key": "n1"}], NOW)
    assert features.read_online(settings, "network_features", [{"ip_key": "n1"}], NOW) == from_store
    assert from_store[0].values is not None


def test_the_front_door_opens_redis_by_setting(tmp_path: Path, redis_address: str) -> None:
    settings = Settings(home=tmp_path, features=Features(online="redis", redis=redis_address))
    with features.open_online(settings) as store:
        a_store(store.shelf, n1=NOW)
    assert features.read_online(settings, "network_features", [{"ip_key": "n1"}], NOW)[0].age_hours == 0.0


def test_a_feature_that_came_later_is_missing_and_one_that_left_is_gone() -> None:
    values = unpack("network_features", pack({"events_1d": 3, "what_was": 1}))
    assert values["events_1d"] == 3
    assert values["events_7d"] is None
    assert set(values) == set(FIELDS["network_features"])


def test_keys_and_features_come_from_the_contract() -> None:
    assert JOIN_KEYS["pair_features"] == ("ip_key", "person_id")
    assert "seen_at" not in FIELDS["pair_features"]


def test_reading_online_imports_no_feast_and_no_pandas(tmp_path: Path) -> None:
    program = (
        "import sys, features\nfrom pathlib import Path\nfrom datetime import datetime, UTC\n"
        "from whence.contracts.settings import Settings\n"
        f"with features.open_online(Settings(home=Path({str(tmp_path)!r}))) as store:\n"
        "    store.read('network_features', [{'ip_key': 'n1'}], datetime.now(UTC))\n"
        "print(sorted({'feast', 'pandas', 'ibis', 'deltalake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
