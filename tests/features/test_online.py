"""The online rows: newer stays, old and future values are not given, and SQLite and Redis keep the same promise."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import features
from features.online import FIELDS, JOIN_KEYS, Columns, Held, OnlineStore, judged, key_text, micros, pack
from features.packing import FORMAT, INSTANTS, LAYOUTS, NOT_A_TIME, PackError, pack_rows, unpack
from features.shelves import (
    MOST_IN_VAIN,
    Asked,
    Breaker,
    OnlineError,
    Question,
    RedisShelf,
    Shelf,
    SqliteShelf,
    StoreDown,
    chunks,
    open_shelf,
)
from tests.features.own_redis import a_redis, until
from whence.contracts.settings import Features, Settings
from whence.contracts.tables import FEATURES
from whence.contracts.times import EPOCH, NaiveTimeError

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
HOUR = 3_600_000_000


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Kind and address of a shelf."""
    path = tmp_path_factory.mktemp("online") / "online.db"
    return request.param, request.getfixturevalue("redis_address") if request.param == "redis" else str(path)


@pytest.fixture(scope="module")
def shelf(place: tuple[str, str]) -> Iterator[Shelf]:
    with closing(open_shelf(*place)) as opened:
        yield opened


@pytest.fixture(scope="module")
def redis_shelf(redis_address: str) -> Iterator[RedisShelf]:
    with closing(RedisShelf.at(redis_address)) as opened:
        yield opened


@pytest.fixture(params=["network_features", "person_features"])
def view(request: pytest.FixtureRequest, shelf: Shelf) -> str:
    """A view without rows; the second keeps long texts apart."""
    name = str(request.param)
    shelf.drop(name)
    return name


def held(seen_at: int, value: int = 0) -> Held:
    return pack("network_features", {"events_1d": value}, seen_at)


def a_store(shelf: Shelf, **rows: datetime) -> OnlineStore:
    """A store of networks by key with when each became known, and 48 hours as the largest age."""
    values = {"events_1d": 3, "last_seen_at": NOW - timedelta(days=1)}
    shelf.drop("network_features")
    shelf.put("network_features", [(key, pack("network_features", values, micros(at))) for key, at in rows.items()])
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
    name = "network_features"
    shelf.drop(name)
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
    shelf.put("pair_features", [(key_text(["n1", "p1"]), pack("pair_features", {}, micros(NOW)))])
    store = OnlineStore(shelf, 48.0)
    found = store.read("pair_features", [{"ip_key": "n1", "person_id": "p1"}, {"ip_key": "n1", "person_id": None}], NOW)
    assert [row.values is not None for row in found] == [True, False]


def test_every_text_is_a_key_of_its_own(shelf: Shelf) -> None:
    shelf.drop("network_features")
    keys = ["", "ab", "a\0b", "a\\u0000b", '"', "[1", "1", "Grüße", "\U0001f600", "\x01"]
    shelf.put("network_features", [(key, held(HOUR, place)) for place, key in enumerate(keys)])
    for asked in (keys, keys[3:]):
        assert shelf.get("network_features", asked) == [held(HOUR, keys.index(key)) for key in asked]
        (block,) = shelf.blocks([("network_features", [*asked, None, "\0"])], Question())
        told = judged(block, HOUR, 48.0).numbers("events_1d")
        np.testing.assert_array_equal(told, [*map(keys.index, asked), np.nan, np.nan])


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
        open_shelf("redis", "127.0.0.1:1").put("network_features", [("n1", held(HOUR))])


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


numbers = st.none() | st.floats(allow_nan=False)
counts = st.none() | st.integers(-(2**53), 2**53)
moments = st.none() | st.integers(-(2**51), 2**52).map(lambda at: EPOCH + timedelta(microseconds=at))
words = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
persons = st.fixed_dictionaries(
    {
        name: counts if name in layout.whole else moments if name in layout.times else words if name in layout.texts else numbers
        for layout in [LAYOUTS["person_features"]]
        for name in FIELDS["person_features"]
    }
)


@hypothesis_settings(max_examples=40, deadline=None)
@given(persons)
def test_what_is_packed_comes_out_as_it_went_in(values: dict[str, Any]) -> None:
    assert unpack("person_features", pack("person_features", values, HOUR)[1]) == values


@pytest.mark.parametrize("view", sorted(FEATURES))
def test_rows_packed_in_columns_are_the_bytes_of_rows_packed_alone(view: str) -> None:
    kinds = {name: FEATURES[view].schema.field(name).type for name in FIELDS[view]}
    some = {
        pa.int64(): [0, -1, 2**53, None],
        pa.float64(): [math.nan, -0.0, 1.5, None],
        pa.string(): ["", "Grüße", None, "[]"],
    }
    told = {name: some.get(kind) or [NOW, NOW + timedelta(microseconds=1), EPOCH, None] for name, kind in kinds.items()}
    seen = [NOW, EPOCH, NOW, NOW]
    rows = pa.record_batch({**{name: pa.array(told[name], kinds[name]) for name in kinds}, "seen_at": seen})
    alone = [pack(view, {name: told[name][row] for name in kinds}, micros(at)) for row, at in enumerate(seen)]
    assert pack_rows(view, rows) == alone
    if whole := sorted(LAYOUTS[view].whole):
        far = rows.set_column(rows.schema.get_field_index(whole[0]), whole[0], pa.array([0, 0, -(2**53) - 2, None]))
        with pytest.raises(PackError, match=f"{view}.{whole[0]} is .*beyond 2.53"):
            pack_rows(view, far)


@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(persons, st.integers(-60, 1)), min_size=1, max_size=4))
def test_many_rows_at_once_say_what_each_says_alone(shelf: Shelf, told: list[tuple[dict[str, Any], int]]) -> None:
    shelf.drop("person_features")
    rows = {f"p{i}": pack("person_features", values, micros(NOW + timedelta(hours=at))) for i, (values, at) in enumerate(told)}
    shelf.put("person_features", rows.items())
    store = OnlineStore(shelf, max_age_hours=48.0)
    asked = [*rows, "nobody", None, *reversed(rows)]
    first, (columns, network) = (
        store.read("person_features", [{"person_id": key} for key in asked], NOW),
        store.columns([("person_features", asked), ("network_features", [])], micros(NOW), is_whole=True),
    )
    assert len(network) == 0
    (short,) = store.columns([("person_features", asked)], micros(NOW))
    assert list(short.texts("user_agents")) == list(columns.texts("user_agents"))
    with pytest.raises(KeyError, match="recent_touches"):  # it was not read
        short.texts("recent_touches")
    for name in FIELDS["person_features"]:
        alone = [(row.values or {}).get(name) for row in first]
        together = columns.named([(name, name)])[name]
        if name in LAYOUTS["person_features"].texts:
            assert list(together) == alone
        elif name in INSTANTS["person_features"]:
            assert together.tolist() == [NOT_A_TIME if value is None else micros(value) for value in alone]
        else:
            wanted = np.array([np.nan if value is None else value for value in alone], dtype=np.float64)
            np.testing.assert_array_equal(together, wanted)
    np.testing.assert_array_equal(columns.age_hours, [np.nan if row.values is None else row.age_hours for row in first])
    stale = np.zeros(len(asked), dtype=bool) if columns.is_stale is None else columns.is_stale
    assert stale.tolist() == [row.is_stale for row in first]


def test_a_row_without_its_long_texts_is_not_there_and_one_with_is_read_once_more(redis_shelf: RedisShelf) -> None:
    redis_shelf.drop("person_features")
    redis_shelf.put("person_features", [("p", pack("person_features", {"locale": "de-DE", "recent_sales": "[1]"}, micros(NOW)))])
    store, asked = OnlineStore(redis_shelf, 48.0), [("person_features", ["p"])]

    def told() -> list[Any]:
        (whole,), (short,) = store.columns(asked, micros(NOW), is_whole=True), store.columns(asked, micros(NOW))
        return [whole.texts("recent_sales")[0], whole.lacking, short.texts("locale")[0], short.lacking]

    assert told() == ["[1]", 0, "de-DE", 0]
    redis_shelf.writer.delete(f"whence:{FORMAT}:person_features.long:p")  # as where Redis evicts keys
    assert told() == [None, 1, "de-DE", 0]
    redis_shelf.put("person_features", [("p", pack("person_features", {"recent_sales": "[2]"}, micros(NOW)))])
    assert told() == ["[2]", 0, None, 0]


def test_what_a_question_went_on_to_ask_last_time_comes_with_it_and_is_as_new(redis_shelf: RedisShelf) -> None:
    def trips() -> int:
        told: Any = redis_shelf.writer.info("commandstats")
        return int(told.get("cmdstat_mget", {"calls": 0})["calls"])

    def ask(*names: str) -> tuple[int, list[float]]:
        """The round trips of a question that goes on from one network to the next, and what they are known by."""
        before, question = trips(), Question()
        blocks = [redis_shelf.blocks([("network_features", [name])], question)[0] for name in names]
        return trips() - before, [judged(each, 9 * HOUR, 48.0).numbers("events_1d")[0] for each in blocks]

    redis_shelf.drop("network_features")
    redis_shelf.put("network_features", [(name, held(HOUR, 1)) for name in "nabc"])
    assert [ask("n", "a", "b"), ask("n", "a", "b")] == [(3, [1, 1, 1]), (1, [1, 1, 1])]
    redis_shelf.put("network_features", [(name, held(2 * HOUR, 2)) for name in "ab"])
    assert ask("n", "a", "b") == (1, [1, 2, 2])
    assert [ask("n", "c")[0], ask("n", "c")[0]] == [2, 1]
    assert [ask("n")[0], ask("n", "c")[0]] == [1, 1]
    assert {ask("n")[0] for _ in range(MOST_IN_VAIN)} == {1}
    assert [ask("n", "c")[0], ask("n", "c")[0]] == [2, 1], "it is not asked for again where it came in vain"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"events_1d": 2**53 + 1}, r"network_features.events_1d is 9007199254740993, and beyond 2\^53"),
        ({"events_1d": "3"}, "events_1d takes numbers, and '3'"),
        ({"people": 3}, "people takes text, and 3"),
        ({"last_seen_at": 3}, "last_seen_at takes times, and 3"),
    ],
    ids=["too large", "text for a number", "number for a text", "number for a time"],
)
def test_a_value_that_does_not_fit_is_refused_by_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(PackError, match=words):
        pack("network_features", values, HOUR)


def test_a_row_that_another_version_packed_is_unknown_and_a_person_is_told_what_to_do(shelf: Shelf) -> None:
    at = micros(NOW)
    known = pack("network_features", {"events_1d": 3}, at)
    shelf.drop("network_features")
    shelf.put("network_features", [("old", (at, b'{"events_1d":3}')), ("new", known), ("other", pack("pair_features", {}, at))])
    (columns,) = OnlineStore(shelf, 48.0).columns([("network_features", ["old", "new", "other", "none"])], at)
    assert (columns.numbers("events_1d")[1], columns.foreign) == (3.0, 2)
    assert columns.is_known is not None
    assert columns.is_known.tolist() == [False, True, False, False]
    assert list(columns.texts("people")) == [None] * 4
    with pytest.raises(PackError, match="Run `whence materialise`"):
        OnlineStore(shelf, 48.0).read("network_features", [{"ip_key": "old"}], NOW)


def test_rows_of_the_first_format_are_dropped_and_can_be_made_again(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE online (view TEXT, key TEXT, seen_at INTEGER, payload BLOB, PRIMARY KEY (view, key))")
        con.execute("INSERT INTO online VALUES ('network_features', 'n1', 1, '{}')")
        con.commit()
    with closing(SqliteShelf(path)) as shelf:
        assert shelf.get("network_features", ["n1"]) == [None]
        shelf.put("network_features", [("n1", held(HOUR))])
    with closing(SqliteShelf(path)) as again:
        assert again.get("network_features", ["n1"]) == [held(HOUR)]


def test_the_file_is_opened_without_a_write_where_there_is_nothing_to_make(tmp_path: Path) -> None:
    """On a full disk a write would fail; here another's write would be waited for, half a minute long."""
    path = tmp_path / "online.db"
    with closing(SqliteShelf(path)) as first:
        first.put("network_features", [("n1", held(HOUR))])
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            with closing(SqliteShelf(path)) as second:
                assert second.get("network_features", ["n1"]) == [held(HOUR)]
            assert time.monotonic() - started < 5


def test_a_damaged_file_is_a_store_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    with closing(SqliteShelf(path)) as shelf:
        shelf.put("network_features", [(f"n{n}", pack("network_features", {"people": "p" * 500}, 7)) for n in range(200)])
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(3 * 4096)
        file.write(b"\xff" * (size - 3 * 4096))
    with closing(OnlineStore(SqliteShelf(path), 48.0)) as store:
        (columns,) = store.columns([("network_features", [f"n{n}" for n in range(200)])], 7)
        assert columns.lacking == 200
        assert "cannot be read" in columns.down


def test_what_another_process_writes_is_seen_by_the_next_read(tmp_path: Path) -> None:
    with closing(SqliteShelf(tmp_path / "online.db")) as reader, closing(SqliteShelf(tmp_path / "online.db")) as writer:
        store = OnlineStore(reader, 48.0)

        def events() -> float:
            (columns,) = store.columns([("network_features", ["n1"])], micros(NOW))
            return float(columns.numbers("events_1d")[0])

        assert math.isnan(events())
        for count in (1, 2):
            writer.put("network_features", [("n1", held(micros(NOW), count))])
            assert events() == count
        writer.drop("network_features")
        assert math.isnan(events())


def test_a_store_that_fails_thrice_in_a_row_is_left_alone_and_then_tried_by_one_reader() -> None:
    now, tried = [100.0], []
    breaker = Breaker(clock=lambda: now[0])

    def ask(answer: Exception | None) -> str:
        tried.append(now[0])
        if answer is not None:
            raise answer
        return "rows"

    def outcome(answer: Exception | None) -> str:
        try:
            with breaker.asking((OSError,)):
                return ask(answer)
        except StoreDown as down:
            return str(down)

    down, hiccup = "the online store does not answer (TimeoutError)", TimeoutError()
    assert [outcome(None), outcome(hiccup), outcome(hiccup), outcome(None)] == ["rows", down, down, "rows"]
    assert [outcome(each) for each in (hiccup, hiccup, hiccup, None)] == [down] * 4
    now[0] += 1.0
    assert [outcome(hiccup), outcome(None)] == [down, down]
    now[0] += 1.0
    assert [outcome(None), outcome(None)] == ["rows", "rows"]
    assert tried == [100.0] * 7 + [101.0, 102.0, 102.0]


def test_questions_on_an_event_loop_read_what_a_thread_reads(place: tuple[str, str], shelf: Shelf) -> None:
    asked = [[("network_features", keys)] for keys in (["a"], ["b", None, "a"], [], ["c"], [None], ["a"])]
    store = a_store(shelf, a=NOW, b=NOW - timedelta(hours=50))

    async def together() -> list[list[Columns]]:
        with closing(open_shelf(*place)) as own:
            other = OnlineStore(own, store.max_age_hours)
            found = await asyncio.gather(*(other.columns_awaited(each, micros(NOW), Question()) for each in asked))
        await asyncio.sleep(0)  # the line is closed
        return found

    for each, (columns,) in zip(asked, asyncio.run(together()), strict=True):
        (alone,) = store.columns(each, micros(NOW))
        np.testing.assert_array_equal(columns.numbers("events_1d"), alone.numbers("events_1d"))
        assert (columns.lacking, columns.stale, columns.down) == (alone.lacking, alone.stale, "")


@pytest.mark.service
@pytest.mark.parametrize("is_awaited", [False, True], ids=["in a thread", "on a loop"])
def test_a_redis_that_hangs_or_dies_degrades_in_time_and_comes_back_by_itself(tmp_path: Path, is_awaited: bool) -> None:
    with (
        a_redis(tmp_path) as (server, address),
        closing(open_shelf("redis", address)) as shelf,
        asyncio.Runner() as runner,
    ):
        store = a_store(shelf, n1=NOW)

        async def awaited(asked: Asked) -> list[Columns]:
            return await store.columns_awaited(asked, micros(NOW), Question())

        def read() -> tuple[str, float]:
            start, asked = time.monotonic(), [("network_features", ["n1"])]
            (columns,) = runner.run(awaited(asked)) if is_awaited else store.columns(asked, micros(NOW))
            assert bool(np.isnan(columns.numbers("events_1d")[0])) is bool(columns.down)
            return columns.down, time.monotonic() - start

        assert read()[0] == ""
        server.send_signal(signal.SIGSTOP)
        hung = [read() for _ in range(50)]
        assert {words for words, _ in hung} == {"the online store does not answer (TimeoutError)"}
        assert sum(seconds for _, seconds in hung) < 50 * 0.05
        server.send_signal(signal.SIGCONT)
        assert until(lambda: read()[0] == "")
        server.kill()
        server.wait()
        assert "does not answer" in read()[0]
        with a_redis(tmp_path, address) as _:
            shelf.put("network_features", [("n1", held(micros(NOW), 3))])
            assert until(lambda: read()[0] == "")


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
